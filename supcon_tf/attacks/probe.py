"""What a model answers to a few images: logits, or a reason to refuse it."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.attacks import streams
from supcon_tf.attacks.inputs import Inputs
from supcon_tf.errors import UserError

COUNT = 4


class ProbabilityOutputError(UserError):
    """The model gives probabilities; their gradients vanish and fake robustness.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import FGSM, ProbabilityOutputError

    layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    try:
        FGSM()(keras.Sequential(layers), np.random.rand(8, 4, 4, 1), np.arange(8))
    except ProbabilityOutputError as error:
        print(error)
    ```
    """


def in_inference(model: Callable) -> Callable[[tf.Tensor], Any]:
    """The model in inference mode, of images alone."""
    if isinstance(model, keras.Layer) or _has_training(model):
        return lambda images: model(images, training=False)
    return model


def probe_images(images: Any) -> tf.Tensor:
    """Some of the images and as much noise, float32, to try a model on.

    Raises:
        UserError: if they are no images (N, H, W, C) in [0, 1].
    """
    sample = images[:COUNT]
    sample = Inputs.checked(sample, np.zeros(len(sample), int)).images
    shape, count = sample.shape[1:], np.arange(COUNT)
    noise = streams.uniform(0, count, 0 * count, int(np.prod(shape)))
    both = [sample, noise.reshape(-1, *shape)]
    return tf.constant(np.concatenate(both, dtype=np.float32))


def probed(forward: Callable, images: tf.Tensor) -> np.ndarray:
    """The model's output (N, classes) for the images.

    Raises:
        UserError: if the model can't be called, or gives no such output.
    """
    try:
        output = forward(images)
    # Code of other people may raise anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the model can't be called on images {tuple(images.shape)}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    if not (tf.is_tensor(output) or isinstance(output, np.ndarray)):
        raise UserError(
            f"the model must return one tensor of logits. Received: {_named(output)}"
        )
    logits = np.asarray(output)
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise UserError(
            "the model must return logits of shape (N, classes), with two classes or "
            f"more. Received: shape {logits.shape} for {len(images)} images"
        )
    dtype = tf.as_dtype(logits.dtype)
    if not dtype.is_floating:
        raise UserError(
            f"the model's logits must be floating-point numbers. Received: {dtype.name}"
        )
    if not np.isfinite(logits.astype(np.float64)).all():
        raise UserError("the model's logits must be finite. Received: NaN or inf")
    return logits


def refuse_probabilities(logits: np.ndarray) -> None:
    """Refuses rows without negative numbers that all have one sum, such as 1 or 100.

    Rows that are equal, of a model that is blind, only if the sum is 1.

    Raises:
        ProbabilityOutputError: if they look so.
    """
    # Half precision rounds each number by up to 0.4 %.
    tolerance = 2e-2 if logits.itemsize == 2 else 1e-3
    logits = logits.astype(np.float64)
    sums = logits.sum(axis=1)
    whole = 1.0 if np.ptp(logits, axis=0).max() == 0 else sums[0]
    if (logits >= 0).all() and whole > 0 and np.allclose(sums / whole, 1, 0, tolerance):
        raise ProbabilityOutputError(
            "the model must return logits: attacks on probabilities are misleadingly "
            f"weak. Received: rows that sum to {whole:.3g}, such as "
            f"{logits[0].round(4)[:4]}"
        )


def is_faithful(compiled: Callable, forward: Callable, images: tf.Tensor) -> bool:
    """Whether a compiled model is the function that it was compiled from.

    It isn't where Python draws random numbers, or asks whether it runs eagerly.
    """
    first, second = (np.asarray(forward(images), np.float64) for _ in range(2))
    ours, again = (np.asarray(compiled(images), np.float64) for _ in range(2))
    repeats = _close(first, second, 1e-4)
    if repeats != _close(ours, again, 1e-4):
        return False
    # Half precision rounds differently where operations are fused.
    return not repeats or _close(first, ours, 0.05)


def _close(first: np.ndarray, second: np.ndarray, share: float) -> bool:
    return np.abs(first - second).max() <= share * max(np.abs(first).max(), 1e-30)


def _named(output: Any) -> str:
    if isinstance(output, dict):
        return f"a dict of {', '.join(map(str, output))}"
    if isinstance(output, list | tuple):
        return f"a {type(output).__name__} of {len(output)}"
    return str(type(output))


def _has_training(model: Callable) -> bool:
    try:
        return "training" in inspect.signature(model).parameters
    except (TypeError, ValueError):
        return False
