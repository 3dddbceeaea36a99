"""RandAugment with parameters of our own drawing and the transforms of a library.

keras_cv's layer of that name draws from a global generator, so that two of them with
one seed differ; its transforms are pure functions of the parameters they are handed.
One of them, Equalization, is replaced: see `supcon_tf.data.augmentation.equalization`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from supcon_tf.data.augmentation.equalization import equalize
from supcon_tf.data.augmentation.random_numbers import Draws
from supcon_tf.data.augmentation.transforms import transforms

_PER_IMAGE = 2
_MAGNITUDE = 0.5
_DEVIATION = 0.15
# Solarization adds at most this before it inverts, as in keras_cv.
_MAX_ADDITION = 110.0


class Parameters(NamedTuple):
    """(B,) float32 each; an operation uses what it needs.

    `strength` and `threshold` lie in [0, 1], `signed` in [-1, 1).
    """

    strength: tf.Tensor
    threshold: tf.Tensor
    signed: tf.Tensor


def rand_augment(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Two operations in a row, drawn for each image, with keras_cv's magnitudes.

    Each is one of ten (AutoContrast, Equalization, Solarization, colour degeneration,
    contrast, brightness, shear and translation in x and y) or, with probability 1/11,
    none. Magnitudes follow keras_cv's defaults, magnitude 0.5 and deviation 0.15:

    - strength ~ N(0.5, 0.15), clipped to [0, 1]: of colour degeneration; of shear,
      with a random sign; times 110, what solarization adds;
    - threshold of solarization: 255 N(0.5, 0.15), clipped to [0, 255];
    - uniform in [-0.5, 0.5): contrast (1 + it), brightness (255 times it added),
      translation (in parts of the side).

    Pixels from outside an image are reflected.

    Args:
        images: (B, H, W, 3) float32 in [0, 1].
        draws: of the global batch.

    Returns:
        (B, H, W, 3) float32 in [0, 1].

    Reference:
        https://arxiv.org/abs/1909.13719; `keras_cv.layers.RandAugment`.
    """
    pixels = images * 255.0
    for _ in range(_PER_IMAGE):
        operation = draws.integers(0, len(OPERATIONS) + 1)
        strength = draws.normal(_MAGNITUDE, _DEVIATION)
        threshold = draws.normal(1.0 - _MAGNITUDE, _DEVIATION)
        parameters = Parameters(
            draws.mine(tf.clip_by_value(strength, 0.0, 1.0)),
            draws.mine(tf.clip_by_value(threshold, 0.0, 1.0)),
            draws.mine(draws.uniform(-1.0, 1.0)),
        )
        pixels = _apply_drawn(pixels, draws.mine(operation), parameters)
    return tf.clip_by_value(pixels / 255.0, 0.0, 1.0)


def _apply_drawn(
    images: tf.Tensor, operation: tf.Tensor, parameters: Parameters
) -> tf.Tensor:
    """Hands each operation the images that drew it; the last number means none."""
    places = tf.dynamic_partition(
        tf.range(tf.shape(images)[0]), operation, len(OPERATIONS) + 1
    )
    results = []
    for where, name in zip(places[:-1], OPERATIONS, strict=True):
        mine = Parameters(*(tf.gather(values, where) for values in parameters))
        results.append(apply(name, tf.gather(images, where), mine))
    results.append(tf.gather(images, places[-1]))
    return tf.reshape(tf.dynamic_stitch(places, results), tf.shape(images))


def apply(name: str, images: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """One of `OPERATIONS` on (B, H, W, 3) float32 images in [0, 255]."""
    if name == "equalize":
        return equalize(images)
    return transforms()[name](images, OPERATIONS[name](parameters))


def _shears(parameters: Parameters) -> tf.Tensor:
    return (parameters.strength * tf.sign(parameters.signed))[:, None]


def _shifts(parameters: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
    """Translations along one axis, and none along the other."""
    shifts = _MAGNITUDE * parameters.signed[:, None]
    return shifts, tf.zeros_like(shifts)


def _translate_x(parameters: Parameters) -> dict[str, tf.Tensor]:
    shifts, still = _shifts(parameters)
    return {"width_translations": shifts, "height_translations": still}


def _translate_y(parameters: Parameters) -> dict[str, tf.Tensor]:
    shifts, still = _shifts(parameters)
    return {"width_translations": still, "height_translations": shifts}


def _per_image(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]


# What keras_cv calls the transformation of each operation, in the order of the draw.
OPERATIONS: dict[str, Callable[[Parameters], Any]] = {
    "auto_contrast": lambda p: None,
    "equalize": lambda p: None,
    "solarize": lambda p: {
        "additions": _per_image(_MAX_ADDITION * p.strength),
        "thresholds": _per_image(255.0 * p.threshold),
    },
    "color": lambda p: _per_image(p.strength),
    "contrast": lambda p: _per_image(1.0 + _MAGNITUDE * p.signed),
    "brightness": lambda p: _per_image(255.0 * _MAGNITUDE * p.signed),
    "shear_x": lambda p: {"shear_x": _shears(p), "shear_y": None},
    "shear_y": lambda p: {"shear_x": None, "shear_y": _shears(p)},
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
