"""Projected gradient descent."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages
from supcon_tf.attacks.bounds import steepest_direction, uniform_in_unit_ball
from supcon_tf.attacks.inputs import Inputs, check_count, check_number, check_switch
from supcon_tf.attacks.search_attack import SearchAttack
from supcon_tf.attacks.target import Judgement, Target
from supcon_tf.errors import UserError


class PGD(SearchAttack):
    """Projected gradient descent: repeated steps, each back into the epsilon ball.

    `x <- project(x + step_size * direction(gradient of the loss at x))`, where the
    direction is the sign (linf) or the gradient over its length (l2). Every iterate
    counts, a random start too, so an image is done with once one fools the model.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units.
        steps: gradient steps of each restart.
        step_size: length of a step in [0, 1] pixel units; None: `epsilon / 4`.
        restarts: random starts; images that are fooled take no further one.
        random_start: start uniformly in the ball rather than at the image.
        norm: "linf" or "l2".
        loss: what is maximised: "ce" (cross-entropy), "cw" (margin) or "dlr". If
            targeted, "ce" of the target is minimised, "cw" is the target's margin,
            and "dlr" is refused.
        targeted: whether labels are targets.
        seed: of the random starts.
        early_stop: False takes every image through all steps and returns, of those
            iterates that fool the model, the one with the highest loss. Images that
            shall transfer to another model need it; `survivors` doesn't change.

    Raises:
        UserError: if a value is not allowed, or restarts would all be the same.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import PGD

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    attack = PGD(epsilon=4 / 255, steps=20)
    adversarial = attack(model, images, labels)
    accuracy = attack.survivors(model, images, labels).mean()
    ```

    Reference:
        Madry et al. 2018, arXiv 1706.06083, section 2.1.
    """

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        steps: int = 20,
        step_size: float | None = None,
        restarts: int = 1,
        random_start: bool = True,
        norm: str = "linf",
        loss: str = "ce",
        targeted: bool = False,
        seed: int = 0,
        early_stop: bool = True,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            norm=norm,
            loss=loss,
            targeted=targeted,
            seed=seed,
            early_stop=early_stop,
        )
        self.steps = check_count("steps", steps)
        self.restarts = check_count("restarts", restarts)
        self.random_start = check_switch("random_start", random_start)
        self._step_size = (
            None if step_size is None else check_number("step_size", step_size)
        )
        self.starts_at_image = not self.random_start
        if self.restarts > 1 and not self.random_start:
            raise UserError(
                "more than one of restarts needs random_start=True. "
                f"Received: restarts={restarts}, random_start=False"
            )

    @property
    def step_size(self) -> float:
        return self.epsilon / 4 if self._step_size is None else self._step_size

    def tries(self, classes: int) -> int:
        # A restart judges its start, unless that is the image, and each step's result.
        return self.restarts * (self.steps + self.random_start)

    def cost(self, classes: int) -> int:
        return 3 * self.tries(classes)

    def propose(self, active: ActiveImages) -> tf.Tensor:
        direction = steepest_direction(active.gradient, self.norm)
        stepped = active.candidate + self.step_size * direction
        starting = np.flatnonzero(self._steps_before(active) == 0)
        if not len(starting):
            return stepped
        start = tf.gather(
            active.origin, starting
        ) + self.epsilon * uniform_in_unit_ball(
            active.origin.shape[1:],
            self.norm,
            seed=self.seed,
            identities=active.identities[starting],
            tries=active.tries[starting],
        )
        return tf.tensor_scatter_nd_update(stepped, starting[:, None], start)

    def wants_gradient(self, active: ActiveImages) -> np.ndarray:
        return self._steps_before(active) != self.steps

    def _steps_before(self, active: ActiveImages) -> np.ndarray:
        """(N,) steps from the start to the candidate that is proposed; 0: the start."""
        return (active.tries + (not self.random_start)) % (self.steps + 1)

    def gradients(
        self,
        model: Callable | Target,
        images: Any,
        labels: Any,
        *,
        batch_size: int = 128,
    ) -> np.ndarray:
        """The objective's gradient at the images themselves, as the attack sees it.

        Zeros or values that are not finite tell of masked gradients.

        Args:
            model, images, labels, batch_size: as for `__call__`.

        Returns:
            (N, H, W, C) float32.

        Raises:
            UserError: as for `__call__`.
        """
        inputs = Inputs.checked(images, labels)
        target = self._target(model, inputs)
        check_count("batch_size", batch_size)
        result = np.zeros_like(inputs.images)
        for rows, judged in self._at_images(target, inputs, batch_size):
            result[rows] = judged.gradient.numpy()
        return result

    def _at_images(
        self, target: Target, inputs: Inputs, batch_size: int
    ) -> Iterator[tuple[np.ndarray, Judgement]]:
        """Row numbers of each batch, and how its images fare, with the gradient."""
        for start in range(0, len(inputs), batch_size):
            rows = np.arange(start, min(start + batch_size, len(inputs)))
            yield (
                rows,
                target.judge(
                    tf.constant(inputs.images[rows]),
                    inputs.labels[rows],
                    self.objective,
                    gradient=True,
                ),
            )

    def parameters(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "step_size": self.step_size,
            "restarts": self.restarts,
            "random_start": self.random_start,
            "loss": self.loss,
            "targeted": self.targeted,
            "seed": self.seed,
        }
