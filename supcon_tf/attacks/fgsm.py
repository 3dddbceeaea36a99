"""The fast gradient sign method."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.bounds import project, steepest_direction
from supcon_tf.attacks.inputs import Inputs, check_count
from supcon_tf.attacks.pgd import PGD


class FGSM(PGD):
    """Fast gradient sign method: one step of PGD from the image, of length epsilon.

    `x + epsilon * sign(gradient of the loss at x)`, clipped to [0, 1]. With
    `norm="l2"` it is the fast gradient method: a step along the gradient.

    Args:
        epsilon: length of the step in [0, 1] pixel units.
        norm: "linf" or "l2".
        loss: "ce", "cw" or "dlr", as for PGD.
        targeted: whether labels are targets.

    Raises:
        UserError: if a value is not allowed.

    Example:

    ```python
    adversarial = FGSM(epsilon=8 / 255)(model, images, labels)
    curve = FGSM().survivors_at(model, images, labels, [1 / 255, 2 / 255, 4 / 255])
    ```

    Reference:
        Goodfellow, Shlens and Szegedy 2015, arXiv 1412.6572, section 4.
    """

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
            step_size=epsilon,
            random_start=False,
            norm=norm,
            loss=loss,
            targeted=targeted,
        )

    def survivors_at(
        self,
        model: Callable,
        images: Any,
        labels: Any,
        epsilons: Sequence[float],
        *,
        batch_size: int = 128,
    ) -> np.ndarray:
        """`survivors` for several epsilons, which share one gradient.

        An image that the model gets wrong without an attack (targeted: that it gives
        the target) counts as fallen, and is not moved.

        Args:
            model, images, labels, batch_size: as for `__call__`.
            epsilons: lengths of the step; the attack's own epsilon plays no part.

        Returns:
            (len(epsilons), N) booleans.

        Raises:
            UserError: as for `__call__`, and if an epsilon is not allowed.
        """
        lengths = [FGSM(epsilon=value, norm=self.norm).epsilon for value in epsilons]
        inputs = Inputs.checked(images, labels)
        target = self._target(model, inputs)
        survived = np.zeros((len(lengths), len(inputs)), bool)
        for start in range(0, len(inputs), check_count("batch_size", batch_size)):
            rows = np.arange(start, min(start + batch_size, len(inputs)))
            judged = target.judge(
                tf.constant(inputs.images[rows]), inputs.labels[rows], gradient=True
            )
            standing = np.flatnonzero(~judged.fooled)
            if not len(standing):
                continue
            direction = steepest_direction(
                tf.gather(judged.gradient, standing), self.norm
            )
            rows = rows[standing]
            origin, truth = tf.constant(inputs.images[rows]), inputs.labels[rows]
            for of_epsilon, epsilon in zip(survived, lengths, strict=True):
                moved = project(
                    origin + epsilon * direction, origin, epsilon, self.norm
                )
                of_epsilon[rows] = ~target.judge(moved, truth).fooled
        return survived

    def parameters(self) -> dict[str, Any]:
        return {"loss": self.loss, "targeted": self.targeted}
