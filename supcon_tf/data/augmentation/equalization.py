"""Histogram equalization of a batch, each channel of each image on its own."""

import tensorflow as tf

_LEVELS = 256


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Spreads the values of each channel evenly over [0, 255].

    Equal to `keras_cv.layers.Equalization`, which loops over the images, warns that it
    does, and fails on an empty batch. (`keras.layers.Equalization` won't do: it takes
    one histogram for the whole batch, so that an image depends on its neighbours.)

    Args:
        images: (B, H, W, C) float32 in [0, 255]; rounded first.

    Returns:
        (B, H, W, C) float32, whole values in [0, 255]. A channel with too few values to
        be spread is only rounded.
    """
    height, width, channels = images.shape[1:]
    # Transposed as floats: the kernel for integers complains on some processors.
    planes = tf.transpose(tf.round(images), (0, 3, 1, 2))
    values = tf.cast(tf.reshape(planes, (-1, height * width)), tf.int32)
    histogram = tf.math.bincount(values, minlength=_LEVELS, maxlength=_LEVELS, axis=-1)
    rarest = tf.reduce_min(
        tf.where(histogram > 0, histogram, height * width), axis=1, keepdims=True
    )
    step = (height * width - rarest) // (_LEVELS - 1)
    divisor = tf.maximum(step, 1)
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    # Level 0 stays 0: nothing lies below it, and no half step is added to it.
    table = tf.where(tf.range(_LEVELS) > 0, (below + divisor // 2) // divisor, 0)
    spread = tf.gather(tf.minimum(table, _LEVELS - 1), values, batch_dims=1)
    result = tf.cast(tf.where(step > 0, spread, values), tf.float32)
    result = tf.reshape(result, (-1, channels, height, width))
    return tf.transpose(result, (0, 2, 3, 1))
