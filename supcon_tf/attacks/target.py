"""The model under attack: compiled once, refused if it gives probabilities."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.attacks import streams
from supcon_tf.attacks.objectives import Objective
from supcon_tf.errors import UserError

_PROBE_IMAGES = 4


class ProbabilityOutputError(UserError):
    """The model gives probabilities; their gradients vanish and fake robustness."""


@dataclass(frozen=True)
class Judgement:
    """How a batch of candidates fares, one entry each.

    Args:
        loss: (N,) values of the objective that the attack maximises.
        fooled: (N,) booleans.
        logits: (N, classes).
        gradient: (N, H, W, C), of the objective in the images; zeros if not asked for.
    """

    loss: np.ndarray
    fooled: np.ndarray
    logits: np.ndarray
    gradient: tf.Tensor

    def joined(self, other: "Judgement", order: np.ndarray) -> "Judgement":
        """These entries and the other ones, in this order."""
        return Judgement(
            np.concatenate([self.loss, other.loss])[order],
            np.concatenate([self.fooled, other.fooled])[order],
            np.concatenate([self.logits, other.logits])[order],
            tf.gather(tf.concat([self.gradient, other.gradient], axis=0), order),
        )


class Target:
    """A model that is under attack, compiled once for all attacks that it is given to.

    What was compiled lives as long as the target, and stays what the model was when
    it was first used: new values of variables are seen, other changes of the model
    (its attributes, layers, globals) are not. They want a new target.

    Args:
        model: maps float32 images (N, H, W, C) in [0, 1] to logits (N, classes). A
            Keras layer, and any callable with a parameter `training`, is called with
            `training=False`. What a trace can't follow (NumPy code) runs eagerly.
        images: (N, H, W, C) in [0, 1]; the model is tried on a few of them.

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
        UserError: if the output is no logits (N, classes) or isn't finite.

    Example:

    ```python
    target = Target(model, images)
    curve = FGSM().survivors_at(target, images, labels, [1 / 255, 2 / 255])
    survived = PGD(epsilon=2 / 255).survivors(target, images, labels)
    ```
    """

    def __init__(self, model: Callable, images: Any) -> None:
        self.model = model
        self.image_shape = tuple(np.shape(images)[1:])
        self.classes: int = _probe(model, np.asarray(images[:_PROBE_IMAGES]))
        self._compiled: dict[tuple[Objective, bool], Callable] = {}

    @classmethod
    def of(cls, model: "Callable | Target", images: Any) -> "Target":
        """The target that `model` is, or a new one.

        Raises:
            UserError: as for a new one, and if it is one of images of another shape.
        """
        if not isinstance(model, Target):
            return cls(model, images)
        if model.image_shape != tuple(np.shape(images)[1:]):
            raise UserError(
                f"images must be of shape {model.image_shape}, as those that the "
                f"target was made with. Received: {tuple(np.shape(images)[1:])}"
            )
        return model

    def judge(
        self,
        images: tf.Tensor,
        labels: np.ndarray,
        objective: Objective,
        *,
        targets: np.ndarray | None = None,
        gradient: bool = False,
    ) -> Judgement:
        """Tries images on the model, with one pass for everything that is asked for.

        Args:
            images: (N, H, W, C) float32.
            labels: (N,) integers.
            objective: to maximise.
            targets: (N,) integers, for an objective that compares two classes.
            gradient: whether the objective's gradient is wanted.

        Raises:
            UserError: if a logit is not finite.
        """
        key = (objective, gradient)
        if key not in self._compiled:
            self._compiled[key] = _compile(
                self.model, objective, gradient, self.image_shape
            )
        loss, fooled, finite, logits, slope = self._compiled[key](
            images,
            tf.constant(labels, tf.int32),
            tf.constant(labels if targets is None else targets, tf.int32),
        )
        if not finite:
            raise UserError("the model's logits must be finite. Received: NaN or inf")
        return Judgement(
            loss.numpy(),
            fooled.numpy(),
            logits.numpy(),
            slope if gradient else tf.zeros_like(images),
        )


def logits_function(model: Callable) -> Callable[[tf.Tensor], tf.Tensor]:
    """The model in inference mode, of images alone."""
    if isinstance(model, keras.Layer) or _has_training(model):
        return lambda images: model(images, training=False)
    return model


def _compile(
    model: Callable, objective: Objective, gradient: bool, shape: tuple[int, ...]
) -> Callable:
    logits_of = logits_function(model)

    def forward(images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tuple:
        logits = tf.convert_to_tensor(logits_of(images))
        finite = tf.reduce_all(tf.math.is_finite(logits))
        fooled = objective.fools(logits, labels)
        loss = objective.values(logits, labels, targets)
        return loss, fooled, finite, tf.cast(logits, tf.float32), ()

    def with_gradient(
        images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tuple:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            loss, *rest, _ = forward(images, labels, targets)
        # A model that rounds its input has no gradient; that's a finding, no error.
        slope = tape.gradient(
            loss, images, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return loss, *rest, slope

    function = with_gradient if gradient else forward
    # The open batch size is what lets a last, smaller batch share the trace.
    signature = [
        tf.TensorSpec([None, *shape], tf.float32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.int32),
    ]
    compiled = tf.function(function, input_signature=signature, autograph=False)
    try:
        compiled.get_concrete_function()
    except (NotImplementedError, AttributeError, TypeError):
        # The probe ran, so the model works, but only on values.
        return function
    return compiled


def _probe(model: Callable, sample: np.ndarray) -> int:
    """Tries the model on a few images and on noise; returns its number of classes."""
    activation = _last_activation(model)
    if activation in ("softmax", "sigmoid", "hard_sigmoid"):
        raise ProbabilityOutputError(
            "the model must end in logits, without an activation. "
            f"Received: an output through {activation}"
        )
    shape = sample.shape[1:]
    count = np.arange(_PROBE_IMAGES)
    noise = streams.uniform(0, count, 0 * count, int(np.prod(shape)))
    images = np.concatenate([sample, noise.reshape(-1, *shape)], dtype=np.float32)
    logits = np.asarray(logits_function(model)(tf.constant(images)))
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise UserError(
            "the model must return logits of shape (N, classes), with two classes or "
            f"more. Received: shape {logits.shape} for {len(images)} images"
        )
    logits = logits.astype(np.float64)
    if not np.isfinite(logits).all():
        raise UserError("the model's logits must be finite. Received: NaN or inf")
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise ProbabilityOutputError(
            "the model must return logits: attacks on probabilities are misleadingly "
            f"weak. Received: rows that sum to 1, such as {logits[0].round(4)[:4]}"
        )
    return logits.shape[1]


def _last_activation(model: Any) -> str | None:
    while isinstance(model, keras.Model) and getattr(model, "outputs", None):
        model = model.layers[-1]
    if isinstance(model, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(model, "activation", None), "__name__", None)


def _has_training(model: Callable) -> bool:
    try:
        return "training" in inspect.signature(model).parameters
    except (TypeError, ValueError):
        return False
