"""The model under attack: compiled once, refused if it gives probabilities."""

import inspect
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.attacks import objectives, streams
from supcon_tf.errors import UserError

# Model -> what was compiled for it. No value may refer to its key: it would never die.
_COMPILED: weakref.WeakKeyDictionary[Any, dict[Hashable, Any]] = (
    weakref.WeakKeyDictionary()
)
_PROBE_IMAGES = 4


class ProbabilityOutputError(UserError):
    """The model gives probabilities; their gradients vanish and fake robustness."""


@dataclass(frozen=True)
class Judgement:
    """How a batch of candidates fares, one entry each.

    Args:
        loss: (N,) values of the objective that the attack maximises.
        fooled: (N,) booleans.
        gradient: (N, H, W, C), of the objective in the images; zeros if not asked for.
    """

    loss: np.ndarray
    fooled: np.ndarray
    gradient: tf.Tensor


class Target:
    """A model together with the objective that an attack maximises on it.

    Args:
        model: maps float32 images (N, H, W, C) in [0, 1] to logits (N, classes). A
            Keras layer, and any callable with a parameter `training`, is called with
            `training=False`. What a trace can't follow (NumPy code) runs eagerly.
        loss: "ce", "cw" or "dlr".
        targeted: whether labels are targets.
        sample: some images, (N, H, W, C); the model is tried on a few of them.

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
        UserError: if the output is no logits (N, classes) or isn't finite.
    """

    def __init__(
        self, model: Callable, *, loss: str, targeted: bool, sample: np.ndarray
    ) -> None:
        # The strong reference that keeps weak ones in compiled functions alive.
        self.model = model
        self.loss = loss
        self.targeted = targeted
        self._shape = sample.shape[1:]
        self._cache = _cache_of(model)
        probe_key = (getattr(model, "__func__", None), self._shape)
        if probe_key not in self._cache:
            self._cache[probe_key] = _probe(model, sample)
        self.classes: int = self._cache[probe_key]
        if loss == "dlr" and self.classes < 3:
            raise UserError(
                f"loss='dlr' needs at least 3 classes. Received: {self.classes} logits"
            )

    def judge(
        self, images: tf.Tensor, labels: np.ndarray, *, gradient: bool = False
    ) -> Judgement:
        """Tries images on the model, with one pass for everything that is asked for.

        Raises:
            UserError: if a logit is not finite.
        """
        function = self._function("gradient" if gradient else "forward")
        loss, fooled, finite, slope = function(images, tf.constant(labels, tf.int32))
        if not finite:
            raise UserError("the model's logits must be finite. Received: NaN or inf")
        return Judgement(
            loss.numpy(), fooled.numpy(), slope if gradient else tf.zeros_like(images)
        )

    def _function(self, kind: str) -> Callable:
        method = getattr(self.model, "__func__", None)
        key = (method, kind, self.loss, self.targeted, self._shape)
        if key not in self._cache:
            self._cache[key] = _compile(
                self.model,
                objectives.make_objective(self.loss, targeted=self.targeted),
                targeted=self.targeted,
                shape=self._shape,
                gradient=kind == "gradient",
            )
        return self._cache[key]


def logits_function(model: Callable) -> Callable[[tf.Tensor], tf.Tensor]:
    """The model in inference mode, of images alone."""
    if isinstance(model, keras.Layer) or _has_training(model):
        return lambda images: model(images, training=False)
    return model


def _compile(
    model: Callable,
    objective: Callable,
    *,
    targeted: bool,
    shape: tuple[int, ...],
    gradient: bool,
) -> Callable:
    reference: Callable = (
        weakref.WeakMethod(model) if inspect.ismethod(model) else _weak(model)
    )

    def forward(images: tf.Tensor, labels: tf.Tensor) -> tuple:
        logits = tf.convert_to_tensor(logits_function(reference())(images))
        finite = tf.reduce_all(tf.math.is_finite(logits))
        fooled = objectives.fools(logits, labels, targeted=targeted)
        return objective(logits, labels), fooled, finite, ()

    def with_gradient(images: tf.Tensor, labels: tf.Tensor) -> tuple:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            loss, fooled, finite, _ = forward(images, labels)
        # A model that rounds its input has no gradient; that's a finding, no error.
        slope = tape.gradient(
            loss, images, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return loss, fooled, finite, slope

    function = with_gradient if gradient else forward
    # The open batch size is what lets a last, smaller batch share the trace.
    signature = [
        tf.TensorSpec([None, *shape], tf.float32),
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
    images = np.concatenate(
        [sample[:_PROBE_IMAGES], noise.reshape(-1, *shape)], dtype=np.float32
    )
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


def _weak(model: Callable) -> Callable:
    try:
        return weakref.ref(model)
    except TypeError:
        return lambda: model


def _cache_of(model: Callable) -> dict[Hashable, Any]:
    # A bound method is a new object at each access; what it is bound to stays.
    owner = model.__self__ if inspect.ismethod(model) else model
    try:
        return _COMPILED.setdefault(owner, {})
    except TypeError:
        # It can't be hashed or weakly referenced, so it's compiled for each call.
        return {}
