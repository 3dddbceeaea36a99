"""Adversarial images made on another model."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages
from supcon_tf.attacks.attack import Attack
from supcon_tf.attacks.inputs import Inputs
from supcon_tf.attacks.search import search
from supcon_tf.attacks.search_attack import SearchAttack
from supcon_tf.attacks.target import Target
from supcon_tf.errors import UserError


class Transfer(SearchAttack):
    """Attacks `source`, and tries the images it gets on the model it is called with.

    Args:
        attack: makes the images. Let PGD carry on beyond the point where the source
            is just fooled (`early_stop=False`), or little will transfer.
        source: the model that `attack` sees, of the same classes and image shape.

    Raises:
        UserError: if `attack` is none; on a call, if `source` gives no logits, or not
            as many as the model.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import PGD, Transfer

    model, baseline = (
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
        for _ in range(2)
    )
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    attack = Transfer(PGD(early_stop=False), source=baseline)
    accuracy = attack.survivors(model, images, labels).mean()
    ```

    Reference:
        Papernot, McDaniel and Goodfellow 2016, arXiv 1605.07277.
    """

    def __init__(self, attack: Attack, source: Callable | Target) -> None:
        if not isinstance(attack, Attack):
            raise UserError(f"attack must be an Attack. Received: {attack!r}")
        super().__init__(
            epsilon=attack.epsilon,
            norm=attack.norm,
            targeted=attack.targeted,
            seed=attack.seed,
        )
        self.attack = attack
        self.source: Callable | Target = source

    def tries(self, classes: int) -> int:
        return 1

    def cost(self, classes: int) -> int:
        return self.attack.cost(classes) + 1

    def propose(self, active: ActiveImages) -> tf.Tensor:
        return self.attack(
            self.source,
            active.origin,
            active.labels,
            indices=active.identities,
            batch_size=len(active),
        )

    def run(self, target: Target, inputs: Inputs, **settings: Any) -> np.ndarray:
        # One target for all batches of a call; the next call sees what has changed.
        bound = copy.copy(self)
        bound.source = Target.of(self.source, inputs.images)
        if bound.source.classes != target.classes:
            raise UserError(
                f"source must have {target.classes} classes, as the model that is "
                f"attacked. Received: one of {bound.source.classes}"
            )
        return search(bound, target, inputs, **settings)

    def with_epsilon(self, epsilon: float) -> "Transfer":
        other = super().with_epsilon(epsilon)
        other.attack = self.attack.with_epsilon(epsilon)
        return other

    def parameters(self) -> dict[str, Any]:
        return {"attack": type(self.attack).__name__, **self.attack.parameters()}
