"""The fast gradient sign method."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.bounds import project, steepest_direction
from supcon_tf.attacks.inputs import Inputs, check_count
from supcon_tf.attacks.pgd import PGD
from supcon_tf.attacks.target import Target


class FGSM(PGD):
    """Fast gradient sign method: one step of PGD from the image, of length epsilon.

    `x + epsilon * sign(gradient of the loss at x)`, clipped to [0, 1]. With
    `norm="l2"` it is the fast gradient method: a step along the gradient. An image
    that is wrong as it is, and would be right after the step, is returned as it is.

    Args:
        epsilon: length of the step in [0, 1] pixel units.
        norm: "linf" or "l2".
        loss: "ce", "cw" or "dlr", as for PGD.
        targeted: whether labels are targets.

    Raises:
        UserError: if a value is not allowed.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import FGSM

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    adversarial = FGSM(epsilon=8 / 255)(model, images, labels)
    curve = FGSM().survivors_at(model, images, labels, [1 / 255, 2 / 255, 4 / 255])
    ```

    Reference:
        Goodfellow, Shlens and Szegedy 2015, arXiv 1412.6572, section 4.
    """

    shares_epsilons = True

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        norm: str = "linf",
        loss: str = "ce",
        targeted: bool = False,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            steps=1,
            random_start=False,
            norm=norm,
            loss=loss,
            targeted=targeted,
            # Images that are wrong take their step too.
            early_stop=False,
        )

    @property
    def step_size(self) -> float:
        return self.epsilon

    def survivors_at(
        self,
        model: Callable | Target,
        images: Any,
        labels: Any,
        epsilons: Sequence[float],
        *,
        indices: Any = None,
        known_right: bool = False,
        batch_size: int = 128,
    ) -> np.ndarray:
        """As in `Attack`; all epsilons share the gradient at the image."""
        radii = [self.with_epsilon(epsilon).epsilon for epsilon in epsilons]
        inputs = Inputs.checked(images, labels, indices)
        target = self._target(model, inputs)
        check_count("batch_size", batch_size)
        survived = np.zeros((len(radii), len(inputs)), bool)
        for rows, judged in self._at_images(target, inputs, batch_size):
            standing = np.flatnonzero(~judged.fooled)
            if not len(standing):
                continue
            direction = steepest_direction(
                tf.gather(judged.gradient, standing), self.norm
            )
            rows = rows[standing]
            origin, truth = tf.constant(inputs.images[rows]), inputs.labels[rows]
            for of_epsilon, epsilon in zip(survived, radii, strict=True):
                moved = project(
                    origin + epsilon * direction, origin, epsilon, self.norm
                )
                of_epsilon[rows] = ~target.judge(moved, truth, self.objective).fooled
        return survived

    def parameters(self) -> dict[str, Any]:
        return {"loss": self.loss, "targeted": self.targeted}
