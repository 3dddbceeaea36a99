"""Adversarial images made within a training step, as one more view of their class."""

from typing import Any

import tensorflow as tf

from supcon_tf.attacks.bounds import project, steepest_direction

METHODS = ("nfgsm", "zerograd", "pgd")
CONTRASTIVE_VIEWS = ("both", "adversarial", "clean")

# Share of an image's pixels, those of the smallest gradient, that ZeroGrad leaves.
_LEFT_OUT = 0.45
# By default TensorFlow chooses one by the device, and another one under XLA.
_ALGORITHM = "philox"


class Adversary:
    """Turns training images x into a noisy start x1 and an adversarial image x'.

    Given to `ContrastiveClassifier.compile`, which lets the gradient g of the
    cross-entropy be taken in training mode. Cross-entropy (and the hinge) then act on
    x', the contrastive losses on the features of both views, labels repeated. With e
    the radius and all images in [0, 1]:

    - `nfgsm`: x1 = x + U(-2e, 2e), x' = x1 + e sign(g(x1)), not projected.
    - `zerograd`: x1 = x + U(-e, e), x' = x1 + 2e sign(g(x1)) projected into the ball,
      where the 45 % of each image's values with the smallest |g| do not move.
    - `pgd`: x1 = x + U(-e, e), then `steps` steps of min(e, 2.5 e / steps), each
      projected into the ball.

    The noise is a function of (seed, step, place in the global batch) alone.

    Args:
        method: one of the above.
        epsilon: e, in [0, 1] pixel units.
        steps: of `pgd`; the others take one.
        contrastive_views: what the contrastive losses act on: `"both"` x1 and x',
            `"adversarial"` x' alone, `"clean"` x and x'.
        seed: one integer or two, all random numbers are made of.

    Raises:
        ValueError: if a value is not allowed.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.losses import CrossEntropyLoss
    from supcon_tf.models import ContrastiveClassifier, resnet18
    from supcon_tf.training.adversary import Adversary

    images, labels = np.random.rand(64, 16, 16, 3), np.arange(64) % 4
    model = ContrastiveClassifier(resnet18((16, 16, 3), width=4), num_classes=4)
    model.compile(
        keras.optimizers.SGD(0.1),
        losses={"cross_entropy": (1.0, CrossEntropyLoss())},
        adversary=Adversary("nfgsm", epsilon=8 / 255),
    )
    model.fit(images, labels, batch_size=32)
    ```

    Reference:
        nfgsm: de Jorge et al. 2022, arXiv 2202.01181; zerograd: Golgooni et al. 2021,
        arXiv 2103.15476; pgd: Madry et al. 2018, arXiv 1706.06083.
    """

    def __init__(
        self,
        method: str = "nfgsm",
        *,
        epsilon: float = 8 / 255,
        steps: int = 2,
        contrastive_views: str = "both",
        seed: int | tuple[int, int] = 0,
    ) -> None:
        for name, value, allowed in (
            ("method", method, METHODS),
            ("contrastive_views", contrastive_views, CONTRASTIVE_VIEWS),
        ):
            if value not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}. Received: {value!r}"
                )
        if isinstance(epsilon, bool) or not 0 < epsilon <= 1:
            raise ValueError(
                f"epsilon must be above 0 and at most 1 (8/255, not 8). "
                f"Received: {epsilon!r}"
            )
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be 1 or more. Received: {steps!r}")
        self.method = method
        self.epsilon = float(epsilon)
        self.steps = steps if method == "pgd" else 1
        self.contrastive_views = contrastive_views
        self.seed = seed if isinstance(seed, tuple) else (seed, 0)

    def start(self, images: tf.Tensor, step: Any, first_place: Any = 0) -> tf.Tensor:
        """The noisy start x1 of each image.

        Args:
            images: (N, H, W, C) in [0, 1].
            step: optimisation steps before this one.
            first_place: of `images[0]` in the global batch.
        """
        radius = (2 if self.method == "nfgsm" else 1) * self.epsilon
        key = _folded(tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64))
        shape = tf.shape(images)

        # One stream an image: of how many replicas it is one must not matter.
        def noise(place: tf.Tensor) -> tf.Tensor:
            return tf.random.stateless_uniform(
                shape[1:], _folded(key, place), -radius, radius, alg=_ALGORITHM
            )

        places = tf.range(shape[0]) + tf.cast(first_place, tf.int32)
        drawn = tf.map_fn(noise, places, fn_output_signature=tf.float32)
        drawn = tf.reshape(drawn, shape)
        return tf.clip_by_value(images + tf.cast(drawn, images.dtype), 0.0, 1.0)

    def advance(
        self, images: tf.Tensor, current: tf.Tensor, gradient: tf.Tensor
    ) -> tf.Tensor:
        """The next image, given the loss' gradient at the current one.

        Args:
            images: (N, H, W, C), x.
            current: x1, or what the last call gave.
            gradient: of the loss at `current`.
        """
        if self.method == "nfgsm":
            moved = current + self.epsilon * steepest_direction(gradient, "linf")
            return tf.clip_by_value(moved, 0.0, 1.0)
        if self.method == "zerograd":
            gradient = _without_smallest(gradient)
            size = 2 * self.epsilon
        else:
            size = min(self.epsilon, 2.5 * self.epsilon / self.steps)
        moved = current + size * steepest_direction(gradient, "linf")
        return project(moved, images, self.epsilon, "linf")


def _folded(seed: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, data, alg=_ALGORITHM)


def _without_smallest(gradient: tf.Tensor) -> tf.Tensor:
    """Each image's gradient with the smallest 45 % of its values set to 0."""
    flat = tf.abs(tf.reshape(gradient, [tf.shape(gradient)[0], -1]))
    count = tf.cast(tf.shape(flat)[1], tf.float32)
    place = tf.cast(tf.floor(_LEFT_OUT * count), tf.int32)
    threshold = tf.sort(flat, axis=1)[:, place]
    kept = tf.abs(gradient) >= threshold[:, None, None, None]
    return tf.where(kept, gradient, tf.zeros_like(gradient))
