"""Random noise: the control that every real attack has to beat."""

from typing import Any

import tensorflow as tf

from supcon_tf.attacks.base import Attack
from supcon_tf.attacks.bounds import uniform_in_unit_ball
from supcon_tf.attacks.inputs import check_count
from supcon_tf.attacks.slots import Slots
from supcon_tf.attacks.target import Target


class RandomNoise(Attack):
    """Points drawn uniformly from the epsilon ball; of several, the worst counts.

    Uniform in the ball, not at its corners: a random start of PGD is such a point.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units.
        norm: "linf" or "l2".
        trials: points tried for each image.
        seed: of the points.

    Raises:
        UserError: if a value is not allowed.

    Example:

    ```python
    accuracy = RandomNoise(epsilon=8 / 255).survivors(model, images, labels).mean()
    ```
    """

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        norm: str = "linf",
        trials: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(epsilon=epsilon, norm=norm, seed=seed)
        self.trials = check_count("trials", trials)

    @property
    def rounds(self) -> int:
        return self.trials

    def propose(self, target: Target, slots: Slots) -> tf.Tensor:
        return slots.origin + self.epsilon * uniform_in_unit_ball(
            slots.origin.shape[1:],
            self.norm,
            seed=self.seed,
            identities=slots.identities,
            rounds=slots.rounds,
        )

    def parameters(self) -> dict[str, Any]:
        return {"trials": self.trials, "seed": self.seed}
