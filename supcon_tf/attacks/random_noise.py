"""Random noise: the control that every real attack has to beat."""

from typing import Any

import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages
from supcon_tf.attacks.bounds import uniform_in_unit_ball
from supcon_tf.attacks.inputs import check_count
from supcon_tf.attacks.search_attack import SearchAttack


class RandomNoise(SearchAttack):
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
    import keras, numpy as np
    from supcon_tf.attacks import RandomNoise

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
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

    def tries(self, classes: int) -> int:
        return self.trials

    def propose(self, active: ActiveImages) -> tf.Tensor:
        return active.origin + self.epsilon * uniform_in_unit_ball(
            active.origin.shape[1:],
            self.norm,
            seed=self.seed,
            identities=active.identities,
            tries=active.tries,
        )

    def parameters(self) -> dict[str, Any]:
        return {"trials": self.trials, "seed": self.seed}
