"""Random changes of training images, batched and stateless.

Every policy is a pure function of (images, seed, place in the global batch): stateful
layers can't promise that inside a parallel `map`.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from supcon_tf.data.color_jitter import color_jitter
from supcon_tf.data.draws import Draws
from supcon_tf.data.randaugment import rand_augment

_CROP_AREA = (0.2, 1.0)
_CROP_RATIO = (3 / 4, 4 / 3)


def augment(
    images: tf.Tensor,
    policy: str,
    seed: tf.Tensor,
    *,
    batch_size: int | None = None,
    rows: tuple[int, int] | None = None,
) -> tf.Tensor:
    """Applies a policy with parameters drawn for each image.

    Policies:

    - `none`: the images as they are.
    - `crop_flip`: zero padding of H/8 and W/8 (4 pixels at 32), a random crop of the
      original size, a horizontal flip with probability 1/2.
    - `simclr`: a random resized crop (area 0.2 to 1, aspect ratio 3/4 to 4/3, sides
      cut to the image), a flip, then `color_jitter`.
    - `randaugment`: `crop_flip`, then `rand_augment`.

    Args:
        images: (B, H, W, 3) float32 in [0, 1]; those of `rows` if it is given.
        policy: one of the above.
        seed: (2,) integers.
        batch_size: images in the global batch; needed with `rows`.
        rows: (first, last + 1) of the global batch that `images` are; default all.

    Returns:
        (B, H, W, 3) float32 in [0, 1].

    Raises:
        ValueError: if the policy is unknown, or `rows` comes without `batch_size`.

    Reference:
        SimCLR: https://arxiv.org/abs/2002.05709, appendix A.
        RandAugment: https://arxiv.org/abs/1909.13719.
    """
    if policy not in _POLICIES:
        raise ValueError(
            f"policy must be one of {', '.join(_POLICIES)}. Received: {policy!r}"
        )
    if rows and batch_size is None:
        raise ValueError(f"rows needs batch_size. Received: rows={rows}")
    images = tf.convert_to_tensor(images, tf.float32)
    size = tf.shape(images)[0] if batch_size is None else batch_size
    augmented = _POLICIES[policy](images, Draws(seed, size, rows))
    return tf.ensure_shape(tf.clip_by_value(augmented, 0.0, 1.0), images.shape)


def _none(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    return images


def _crop_flip(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    height, width = images.shape[1:3]
    up = draws.integers(-(height // 8), height // 8 + 1)
    left = draws.integers(-(width // 8), width // 8 + 1)
    flip = draws.chance(0.5)
    return shift_and_flip(images, up, left, flip)


def shift_and_flip(
    images: tf.Tensor, up: tf.Tensor, left: tf.Tensor, flip: tf.Tensor
) -> tf.Tensor:
    """Moves each image by whole pixels, filling with zeros, and mirrors it if `flip`.

    Args:
        images: (B, H, W, C) float32.
        up: (B,) int32, rows that the content moves up; negative moves it down.
        left: (B,) int32, columns that the content moves left.
        flip: (B,) bool, mirror left to right after moving.
    """
    width = images.shape[2]
    zero, one = tf.zeros_like(up, tf.float32), tf.ones_like(up, tf.float32)
    # Output (x, y) shows input (a x + c, y + up), a = -1 for mirrored images. On whole
    # pixels, nearest is exact, and many times faster than gathering pixels.
    a = tf.where(flip, -one, one)
    c = tf.cast(tf.where(flip, width - 1 + left, left), tf.float32)
    matrix = [a, zero, c, zero, one, tf.cast(up, tf.float32), zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(matrix, axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )


def _simclr(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    return color_jitter(_resized_crop_flip(images, draws), draws)


def _resized_crop_flip(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    height, width = images.shape[1:3]
    area = draws.uniform(*_CROP_AREA)
    ratio = tf.exp(draws.uniform(math.log(_CROP_RATIO[0]), math.log(_CROP_RATIO[1])))
    # Shares of the sides: tall * wide = area, (wide * W) / (tall * H) = ratio.
    tall = tf.minimum(tf.sqrt(area / ratio * (width / height)), 1.0)
    wide = tf.minimum(tf.sqrt(area * ratio * (height / width)), 1.0)
    top = draws.uniform(0.0, 1.0) * (1.0 - tall)
    left = draws.uniform(0.0, 1.0) * (1.0 - wide)
    right = left + wide
    flip = draws.chance(0.5)
    # A box whose left side lies right of its right side mirrors the image.
    boxes = [
        top,
        tf.where(flip, right, left),
        # Rounding must not carry it beyond the image, where zeros begin.
        tf.minimum(top + tall, 1.0),
        tf.where(flip, left, right),
    ]
    return tf.image.crop_and_resize(
        images,
        tf.clip_by_value(tf.stack(boxes, axis=1), 0.0, 1.0),
        tf.range(tf.shape(images)[0]),
        (height, width),
    )


def _randaugment(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    return rand_augment(_crop_flip(images, draws), draws)


_POLICIES: dict[str, Callable[[tf.Tensor, Draws], tf.Tensor]] = {
    "none": _none,
    "crop_flip": _crop_flip,
    "simclr": _simclr,
    "randaugment": _randaugment,
}
