"""The fast adaptive boundary attack."""

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages, Array
from supcon_tf.attacks.bounds import on_unit_sphere
from supcon_tf.attacks.hyperplanes import step_to_hyperplane
from supcon_tf.attacks.inputs import check_count
from supcon_tf.attacks.search_attack import SearchAttack
from supcon_tf.attacks.wrong_classes import nearest_wrong_classes

# The paper's alpha_max, eta and beta.
_PULL, _OVERSHOOT, _BACK = 0.1, 1.05, 0.9


class FAB(SearchAttack):
    """Fast adaptive boundary attack: looks for the closest image that fools.

    It walks along the decision boundary towards the image: each step goes to the
    boundary as it looks from here, the plane where the linearised logits of the label
    and of another class are equal, a little beyond it, and a little towards the plane's
    point closest to the image. From a point that fools it goes a tenth of the way back.
    Points may lie outside the ball of radius epsilon; an image has fallen if one inside
    it fools the model. Without restarts it draws no random numbers.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units.
        norm: "linf" or "l2".
        targets: how many wrong classes, the nearest ones, it walks towards, one after
            the other; all, if there are fewer. None: in each step the one whose plane
            is closest, at the cost of a gradient for every class.
        restarts: walks towards each target: the first starts at the image, further
            ones at random points at distance epsilon / 2.
        steps: of each walk.
        seed: of the random starts.
        early_stop: False takes every image through all steps, and returns the closest
            point that fools and lies within epsilon.

    Raises:
        UserError: if a value is not allowed.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import FAB

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    accuracy = FAB(epsilon=0.3).survivors(model, images, labels).mean()
    closest = FAB(epsilon=1, targets=2, steps=10, early_stop=False)
    print(np.abs(closest(model, images, labels) - images).max(axis=(1, 2, 3)))
    ```

    Reference:
        Croce and Hein 2020, arXiv 1907.02044, algorithm 1; towards targets: arXiv
        2003.01690, section 5.
    """

    losses = ("cw_targeted",)
    leaves_ball = True
    # The classes to walk towards are those of the image's own logits.
    starts_at_image = True

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        norm: str = "linf",
        targets: int | None = 9,
        restarts: int = 1,
        steps: int = 100,
        seed: int = 0,
        early_stop: bool = True,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            norm=norm,
            loss="cw_targeted",
            seed=seed,
            early_stop=early_stop,
        )
        self.targets = None if targets is None else check_count("targets", targets)
        self.restarts = check_count("restarts", restarts)
        self.steps = check_count("steps", steps)

    def tries(self, classes: int) -> int:
        # A step takes a try for each plane, at the point itself, and one for its end.
        return self._walks(classes) * self.steps * (self._planes(classes) + 1)

    def cost(self, classes: int) -> int:
        return self._walks(classes) * self.steps * (3 * self._planes(classes) + 1)

    def memory(self, entering: ActiveImages) -> dict[str, Array]:
        count, classes = entering.logits.shape
        nothing = tf.zeros_like(entering.origin)
        return {
            "targets": nearest_wrong_classes(
                entering.logits, entering.labels, self.targets or classes
            ),
            "here": nothing,
            "normal": nothing,
            "gap": np.zeros(count, np.float32),
            "nearness": np.zeros(count, np.float32),
        }

    def propose(self, active: ActiveImages) -> tf.Tensor:
        planes = self._planes(active.logits.shape[1])
        step, part = np.divmod(active.tries, planes + 1)
        walk, step = np.divmod(step, self.steps)
        self._arrive(active, (part == 0) & (step == 0), walk)
        self._go_back(active, (part == 0) & (step > 0))
        self._keep_plane(active, part)
        aims = part if self.targets is None else walk // self.restarts
        aims = np.minimum(aims, active.memory["targets"].shape[1] - 1)
        active.targets = active.memory["targets"][np.arange(len(aims)), aims]
        moving = np.flatnonzero(part == planes)
        here = active.memory["here"]
        if not len(moving):
            return here
        moved = _steps(self.norm)(
            *(
                tf.gather(array, moving)
                for array in (active.origin, here, active.memory["normal"])
            ),
            tf.constant(active.memory["gap"][moving]),
        )
        return tf.tensor_scatter_nd_update(here, moving[:, None], moved)

    def wants_gradient(self, active: ActiveImages) -> np.ndarray:
        return ~self.may_be_result(active)

    def may_be_result(self, active: ActiveImages) -> np.ndarray:
        planes = self._planes(active.logits.shape[1])
        return active.tries % (planes + 1) == planes

    def parameters(self) -> dict[str, Any]:
        return {
            "targets": self.targets,
            "restarts": self.restarts,
            "steps": self.steps,
            "seed": self.seed,
        }

    def _planes(self, classes: int) -> int:
        """Of how many classes each step asks for the plane."""
        return classes - 1 if self.targets is None else 1

    def _walks(self, classes: int) -> int:
        targets = 1 if self.targets is None else min(self.targets, classes - 1)
        return targets * self.restarts

    def _arrive(
        self, active: ActiveImages, starting: np.ndarray, walk: np.ndarray
    ) -> None:
        """Takes the images that start a walk to its starting point."""
        here = _chosen(starting, active.origin, active.memory["here"])
        rows = np.flatnonzero(starting & (walk % self.restarts > 0))
        if len(rows):
            drawn = on_unit_sphere(
                active.origin.shape[1:],
                self.norm,
                seed=self.seed,
                identities=active.identities[rows],
                tries=active.tries[rows],
            )
            start = tf.gather(active.origin, rows) + self.epsilon / 2 * drawn
            start = tf.clip_by_value(start, 0.0, 1.0)
            here = tf.tensor_scatter_nd_update(here, rows[:, None], start)
        active.memory["here"] = here

    @staticmethod
    def _go_back(active: ActiveImages, stepped: np.ndarray) -> None:
        """Goes on from the points that were stepped to, from closer if they fool."""
        share = np.where(active.candidate_fools, _BACK, 1).astype(np.float32)
        change = share[:, None, None, None] * (active.candidate - active.origin)
        point = tf.where(
            active.candidate_fools[:, None, None, None],
            active.origin + change,
            active.candidate,
        )
        active.memory["here"] = _chosen(stepped, point, active.memory["here"])

    def _keep_plane(self, active: ActiveImages, part: np.ndarray) -> None:
        """Keeps the plane that was just asked for, if none of the step is closer."""
        memory = active.memory
        finite = tf.math.is_finite(active.gradient)
        normal = tf.where(finite, active.gradient, 0.0)
        nearness, keeps = memory["nearness"], part == 1
        if self.targets is None:
            distance = np.abs(active.loss) / (1e-12 + _dual_length(normal, self.norm))
            keeps = keeps | ((part > 1) & (distance < nearness))
            memory["nearness"] = np.where(keeps, distance, nearness)
        memory["normal"] = _chosen(keeps, normal, memory["normal"])
        memory["gap"] = np.where(keeps, active.loss, memory["gap"]).astype(np.float32)


@cache
def _steps(norm: str) -> tf.types.experimental.PolymorphicFunction:
    """The step from points (N, H, W, C), compiled once for batches of all shapes."""

    def step(
        origin: tf.Tensor, here: tf.Tensor, normal: tf.Tensor, gap: tf.Tensor
    ) -> tf.Tensor:
        shape = tf.shape(origin)
        origin, here, normal = (
            tf.reshape(array, [shape[0], -1]) for array in (origin, here, normal)
        )
        # What the linearised logits differ by at `here`, and at the image.
        height = gap + tf.reduce_sum(normal * (origin - here), axis=1)
        from_here = step_to_hyperplane(here, normal, gap, norm)
        from_image = step_to_hyperplane(origin, normal, height, norm)
        lengths = [
            tf.maximum(_length(change, norm), 1e-8)
            for change in (from_here, from_image)
        ]
        pull = tf.minimum(lengths[0] / (lengths[0] + lengths[1]), _PULL)
        moved = (1 - pull) * (here + _OVERSHOOT * from_here)
        moved += pull * (origin + _OVERSHOOT * from_image)
        return tf.reshape(moved, shape)

    images = tf.TensorSpec([None] * 4, tf.float32)
    signature = [images, images, images, tf.TensorSpec([None], tf.float32)]
    return tf.function(step, input_signature=signature, autograph=False)


def _length(changes: tf.Tensor, norm: str) -> tf.Tensor:
    """Lengths (N, 1) of changes (N, D)."""
    if norm == "linf":
        return tf.reduce_max(tf.abs(changes), axis=1, keepdims=True)
    return tf.norm(changes, axis=1, keepdims=True)


def _dual_length(normals: tf.Tensor, norm: str) -> np.ndarray:
    """(N,) how much linear functions with these normals rise in a step of length 1."""
    if norm == "linf":
        return tf.reduce_sum(tf.abs(normals), axis=(1, 2, 3)).numpy()
    return tf.sqrt(tf.reduce_sum(tf.square(normals), axis=(1, 2, 3))).numpy()


def _chosen(flags: np.ndarray, yes: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
    return tf.where(flags[:, None, None, None], yes, no)
