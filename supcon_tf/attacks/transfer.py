"""Adversarial images made on another model."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from supcon_tf.attacks.base import Attack
from supcon_tf.attacks.slots import Slots
from supcon_tf.attacks.target import Target


class Transfer(Attack):
    """Attacks `source`, and tries the images it gets on the model it is called with.

    Args:
        attack: makes the images. Let PGD carry on beyond the point where the source
            is just fooled (`early_stop=False`), or little will transfer.
        source: the model that `attack` sees, of the same classes and image shape.

    Raises:
        UserError: on a call, if `source` gives no logits.

    Example:

    ```python
    attack = Transfer(PGD(early_stop=False), source=baseline)
    accuracy = attack.survivors(model, images, labels).mean()
    ```

    Reference:
        Papernot, McDaniel and Goodfellow 2016, arXiv 1605.07277.
    """

    def __init__(self, attack: Attack, source: Callable) -> None:
        super().__init__(
            epsilon=attack.epsilon,
            norm=attack.norm,
            targeted=attack.targeted,
            seed=attack.seed,
        )
        self.attack = attack
        self.source = source

    @property
    def rounds(self) -> int:
        return 1

    def propose(self, target: Target, slots: Slots) -> tf.Tensor:
        return self.attack(
            self.source,
            slots.origin,
            slots.labels,
            indices=slots.identities,
            batch_size=len(slots),
        )

    def parameters(self) -> dict[str, Any]:
        return {"attack": type(self.attack).__name__, **self.attack.parameters()}
