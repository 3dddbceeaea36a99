"""SimCLR's colour distortion, batched: each image has factors of its own."""

import math

import numpy as np
import tensorflow as tf

from supcon_tf.data.augmentation.random_numbers import Draws

_JITTER = 0.4
_HUE = 0.1
_JITTER_PROBABILITY = 0.8
_GRAYSCALE_PROBABILITY = 0.2

# NTSC: luma, and the plane of the colours in which hue is an angle.
_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]],
    np.float64,
)
_RGB_FROM_YIQ = np.linalg.inv(_YIQ)
_GRAY = np.tile(_YIQ[:1], (3, 1))


def color_jitter(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Brightness, contrast, saturation and hue with probability 0.8, gray with 0.2.

    The order is fixed: brightness, contrast, saturation, hue, grayscale (SimCLR draws
    an order for each image, which a batched operation can't follow cheaply).
    Factors of the first three lie in [0.6, 1.4); hue turns by up to a tenth of the
    circle. Saturation and hue act in YIQ space, where both and grayscale are one 3x3
    matrix for each image, rather than in HSV as `tf.image` does, whose `adjust_hue`
    takes one delta for a whole batch. Values are clipped after brightness, after
    contrast and at the end.

    Args:
        images: (B, H, W, 3) float32 in [0, 1].
        draws: of the global batch.

    Returns:
        (B, H, W, 3) float32 in [0, 1].

    Reference:
        https://arxiv.org/abs/2002.05709, appendix A, at colour strength 0.5.
    """
    jitter = draws.chance(_JITTER_PROBABILITY)
    brightness = draws.uniform(1 - _JITTER, 1 + _JITTER)
    contrast = draws.uniform(1 - _JITTER, 1 + _JITTER)
    saturation = draws.uniform(1 - _JITTER, 1 + _JITTER)
    hue = draws.uniform(-_HUE, _HUE)
    gray = draws.chance(_GRAYSCALE_PROBABILITY)

    brightness = tf.where(jitter, brightness, 1.0)
    contrast = tf.where(jitter, contrast, 1.0)
    matrix = color_matrix(saturation, hue)
    matrix = tf.where(jitter[:, None, None], matrix, tf.eye(3))
    grayed = tf.einsum("ij,bjk->bik", tf.constant(_GRAY, tf.float32), matrix)
    matrix = tf.where(gray[:, None, None], grayed, matrix)

    images = adjust_brightness(images, draws.mine(brightness))
    images = adjust_contrast(images, draws.mine(contrast))
    return mix_channels(images, draws.mine(matrix))


def adjust_brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies image b by factor[b]."""
    return tf.clip_by_value(images * factor[:, None, None, None], 0.0, 1.0)


def adjust_contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Spreads each channel of image b around its mean by factor[b]."""
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    factor = factor[:, None, None, None]
    return tf.clip_by_value(images * factor + mean * (1.0 - factor), 0.0, 1.0)


def color_matrix(saturation: tf.Tensor, hue: tf.Tensor) -> tf.Tensor:
    """Scales the colour of image b by saturation[b] and turns it by hue[b].

    In YIQ: luma stays, (I, Q) becomes `saturation * R(2 pi hue) (I, Q)`.

    Args:
        saturation: (B,), 0 gives gray.
        hue: (B,) in parts of the colour circle.

    Returns:
        (B, 3, 3), from RGB column vectors to RGB.
    """
    cosine = saturation * tf.cos(2 * math.pi * hue)
    sine = saturation * tf.sin(2 * math.pi * hue)
    zero, one = tf.zeros_like(hue), tf.ones_like(hue)
    turn = tf.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], axis=1)
    into, out = tf.constant(_YIQ, tf.float32), tf.constant(_RGB_FROM_YIQ, tf.float32)
    return tf.einsum("ij,bjk,kl->bil", out, tf.reshape(turn, (-1, 3, 3)), into)


def mix_channels(images: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Applies matrix[b], (3, 3), to every pixel of image b."""
    if images.shape[0] == 1:
        # An image alone would be multiplied by a kernel that rounds in another way than
        # the one for several, and a worker's pixels are those of the whole batch.
        twice = tf.repeat(images, 2, axis=0), tf.repeat(matrix, 2, axis=0)
        return mix_channels(*twice)[:1]
    shape = tf.shape(images)
    pixels = tf.reshape(images, (shape[0], -1, 3))
    mixed = tf.linalg.matmul(pixels, matrix, transpose_b=True)
    return tf.clip_by_value(tf.reshape(mixed, shape), 0.0, 1.0)
