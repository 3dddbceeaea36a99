"""Auto-PGD, which chooses its step sizes itself."""

from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages, Array
from supcon_tf.attacks.bounds import on_unit_sphere, project, steepest_direction
from supcon_tf.attacks.inputs import check_count
from supcon_tf.attacks.search_attack import SearchAttack
from supcon_tf.attacks.step_sizes import StepSizes
from supcon_tf.attacks.wrong_classes import nearest_wrong_classes

# Of a step, the share that follows the gradient; the rest goes on as the last one did.
_GRADIENT_SHARE = 0.75


class APGD(SearchAttack):
    """Auto-PGD: gradient steps with momentum, halved where they stop to pay.

    A run starts at a random point at distance epsilon, with steps of twice epsilon. At
    checkpoints an image whose loss hardly rises goes back to its best point, with half
    the step (`StepSizes`). Every point counts, so an image is done with once one fools
    the model.

    `loss="dlr_targeted"` makes a run towards each of the classes that the model takes
    the image for next; what fools it counts, whatever the image is then taken for.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units.
        norm: "linf" or "l2".
        loss: what is maximised: "ce", "cw", "dlr", or "dlr_targeted" (which needs four
            classes).
        targets: how many wrong classes "dlr_targeted" aims at; all, if there are fewer.
        restarts: random starts, towards each target.
        steps: gradient steps of each run.
        eot_iter: passes of the model for one gradient, several if it answers at
            random: their mean is followed, and the last answer judged.
        seed: of the random starts.

    Raises:
        UserError: if a value is not allowed.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import APGD

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    attack = APGD(epsilon=8 / 255, loss="dlr_targeted")
    accuracy = attack.survivors(model, images, labels).mean()
    ```

    Reference:
        Croce and Hein 2020, arXiv 2003.01690, algorithm 1 and section 4.
    """

    losses = ("ce", "cw", "dlr", "dlr_targeted")

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        norm: str = "linf",
        loss: str = "ce",
        targets: int = 9,
        restarts: int = 1,
        steps: int = 100,
        eot_iter: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(epsilon=epsilon, norm=norm, loss=loss, seed=seed)
        self.targets = check_count("targets", targets)
        self.restarts = check_count("restarts", restarts)
        self.steps = check_count("steps", steps)
        self.eot_iter = check_count("eot_iter", eot_iter)
        self.aims = loss == "dlr_targeted"
        # The classes to aim at are those of the image's own logits.
        self.starts_at_image = self.aims
        self._step_sizes = StepSizes(self.steps)

    def tries(self, classes: int) -> int:
        aims = min(self.targets, classes - 1) if self.aims else 1
        return aims * self.restarts * (self.steps + 1)

    def cost(self, classes: int) -> int:
        return 3 * self.eot_iter * self.tries(classes)

    def memory(self, entering: ActiveImages) -> dict[str, Array]:
        here = tf.zeros_like(entering.origin)
        memory: dict[str, Array] = {"previous": here, "best": here, "best_slope": here}
        if self.aims:
            memory["targets"] = nearest_wrong_classes(
                entering.logits, entering.labels, self.targets
            )
        # Every run starts these anew.
        return memory | self._step_sizes.start(entering.loss, 2 * self.epsilon)

    def propose(self, active: ActiveImages) -> tf.Tensor:
        run, point = np.divmod(active.tries, self.steps + 1)
        moved = self._step(active, point)
        starting = np.flatnonzero(point == 0)
        if not len(starting):
            return moved
        if self.aims:
            towards = active.memory["targets"][starting, run[starting] // self.restarts]
            active.targets = active.targets.copy()
            active.targets[starting] = towards
        start = tf.gather(active.origin, starting) + self.epsilon * on_unit_sphere(
            active.origin.shape[1:],
            self.norm,
            seed=self.seed,
            identities=active.identities[starting],
            tries=active.tries[starting],
        )
        return tf.tensor_scatter_nd_update(moved, starting[:, None], start)

    def wants_gradient(self, active: ActiveImages) -> np.ndarray:
        return active.tries % (self.steps + 1) != self.steps

    def parameters(self) -> dict[str, Any]:
        return {
            "loss": self.loss,
            **({"targets": self.targets} if self.aims else {}),
            "restarts": self.restarts,
            "steps": self.steps,
            **({"eot_iter": self.eot_iter} if self.eot_iter > 1 else {}),
            "seed": self.seed,
        }

    def _step(self, active: ActiveImages, point: np.ndarray) -> tf.Tensor:
        """The next points, from the last ones, of which the losses are now known.

        `point` (N,) numbers the next point in its run; where it is 0, the run's start,
        what is returned here means nothing.
        """
        memory = active.memory
        fresh = self._step_sizes.start(active.loss, 2 * self.epsilon)
        state, best, back = self._step_sizes.advance(
            {name: memory[name] for name in fresh},
            np.maximum(point - 2, 0),
            active.loss,
        )
        first = point == 1
        for name, value in state.items():
            memory[name] = np.where(first, fresh[name], value)
        best |= first
        back &= ~first
        memory["best"] = _chosen(best, active.candidate, memory["best"])
        memory["best_slope"] = _chosen(best, active.gradient, memory["best_slope"])
        here = _chosen(back, memory["best"], active.candidate)
        slope = _chosen(back, memory["best_slope"], active.gradient)
        step = _each(memory["step_size"]) * steepest_direction(slope, self.norm)
        along = project(here + step, active.origin, self.epsilon, self.norm)
        share = _each(np.where(first, 1, _GRADIENT_SHARE))
        drift = here - memory["previous"]
        memory["previous"] = here
        return here + share * (along - here) + (1 - share) * drift


def _chosen(flags: np.ndarray, yes: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
    return tf.where(flags[:, None, None, None], yes, no)


def _each(numbers: np.ndarray) -> np.ndarray:
    """(N,) numbers, to be multiplied with images."""
    return numbers.astype(np.float32)[:, None, None, None]
