"""The image transforms of RandAugment, of keras_cv or, where that fails, of Keras."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

RANGE = (0, 255)
# Layers draw nothing here, but want to know what they might draw.
_FACTOR = 0.5

# From (B, H, W, 3) float32 images in [0, 255] and what keras_cv calls their
# transformations, to such images.
Transform = Callable[[tf.Tensor, Any], tf.Tensor]


@functools.cache
def transforms() -> dict[str, Transform]:
    """Those of keras_cv by the name of the operation; if it can't be imported, Keras'.

    keras_cv is no longer maintained, and imports parts of Keras that are not public.
    The images are the same, to rounding.
    """
    try:
        return of_keras_cv()
    # It breaks at import in other ways than by not being there.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(
            "note: keras_cv can't be imported, so randaugment takes the transforms of "
            f"keras.layers, which give the same images ({reason})",
            file=sys.stderr,
        )
        return of_keras()


def of_keras_cv() -> dict[str, Transform]:
    """The transforms of keras_cv's layers, whose own random factors are never used."""
    # It takes seconds to import, and only this policy needs it.
    from keras_cv import layers

    # A dtype of their own, or a mixed precision policy would lower that of the pixels;
    # a seed, or they would make TensorFlow's global generator.
    common: dict[str, Any] = {"seed": 1, "dtype": "float32"}
    ranged = {**common, "value_range": RANGE}
    shear = layers.RandomShear(_FACTOR, _FACTOR, **common)
    translation = layers.RandomTranslation(_FACTOR, _FACTOR, **common)
    made = {
        "auto_contrast": layers.AutoContrast(**ranged),
        "solarize": layers.Solarization(**ranged),
        "color": layers.RandomColorDegeneration(_FACTOR, **common),
        "contrast": layers.RandomContrast(factor=_FACTOR, **ranged),
        "brightness": layers.RandomBrightness(factor=_FACTOR, **ranged),
        "shear_x": shear,
        "shear_y": shear,
        "translate_x": translation,
        "translate_y": translation,
    }
    return {name: layer.augment_images for name, layer in made.items()}


def of_keras() -> dict[str, Transform]:
    """The same of `keras.layers`, which name what they are given otherwise."""
    from keras import layers

    ranged: dict[str, Any] = {"value_range": RANGE, "dtype": "float32"}
    drawn = {**ranged, "seed": 1}
    moved: dict[str, Any] = {"dtype": "float32", "seed": 1}
    # Layers with a seed hold a variable, which no graph may make.
    with tf.init_scope():
        auto_contrast = layers.AutoContrast(**ranged)
        solarization = layers.Solarization(**drawn)
        color = layers.RandomColorDegeneration(_FACTOR, **drawn)
        contrast = layers.RandomContrast(_FACTOR, **drawn)
        brightness = layers.RandomBrightness(_FACTOR, **drawn)
        shear = layers.RandomShear(_FACTOR, _FACTOR, **moved)
        translation = layers.RandomTranslation(_FACTOR, _FACTOR, **moved)

    def contrasted(images: tf.Tensor, given: None) -> tf.Tensor:
        # It takes no empty batch, which an operation that no image drew has.
        padded = tf.pad(images, [[0, 1], [0, 0], [0, 0], [0, 0]])
        return auto_contrast.transform_images(padded)[:-1]

    def sheared(images: tf.Tensor, given: dict[str, Any]) -> tf.Tensor:
        x, y = given["shear_x"], given["shear_y"]
        factors = [tf.zeros_like(y) if x is None else x]
        factors += [tf.zeros_like(x) if y is None else y]
        return shear.transform_images(images, {"shear_factor": tf.concat(factors, 1)})

    def translated(images: tf.Tensor, given: dict[str, Any]) -> tf.Tensor:
        height, width = images.shape[1:3]
        pixels = [
            given["width_translations"] * width,
            given["height_translations"] * height,
        ]
        return translation.transform_images(
            images, {"translations": tf.concat(pixels, 1)}
        )

    return {
        "auto_contrast": contrasted,
        "solarize": solarization.transform_images,
        "color": lambda images, given: color.transform_images(
            images, {"factor": given}
        ),
        "contrast": lambda images, given: contrast.transform_images(
            images, {"contrast_factor": given}
        ),
        "brightness": lambda images, given: brightness.transform_images(
            images, {"rgb_delta": given}
        ),
        "shear_x": sheared,
        "shear_y": sheared,
        "translate_x": translated,
        "translate_y": translated,
    }
