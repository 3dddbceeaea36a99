"""Random changes of training images, batched and stateless.

Every policy is a pure function of (images, seed, place in the global batch): stateful
layers can't promise that inside a parallel `map`.
"""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.data.augmentation.color_jitter import color_jitter
from supcon_tf.data.augmentation.randaugment import rand_augment
from supcon_tf.data.augmentation.random_numbers import Draws
from supcon_tf.data.augmentation.resized_crop import crop_boxes, draw_crops


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
    - `resized_crop`: a random resized crop (area 0.08 to 1, aspect ratio 3/4 to 4/3,
      sides cut to the image) and a flip, the recipe of ImageNet.
    - `simclr`: the same with an area from 0.2 to 1, then `color_jitter`.
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
        Resized crop: https://arxiv.org/abs/1409.4842, section 6.
        SimCLR: https://arxiv.org/abs/2002.05709, appendix A.
        RandAugment: https://arxiv.org/abs/1909.13719.
    """
    if policy not in {*_POLICIES, *_CROPPING}:
        known = ", ".join([*_POLICIES, *_CROPPING])
        raise ValueError(f"policy must be one of {known}. Received: {policy!r}")
    if rows and batch_size is None:
        raise ValueError(f"rows needs batch_size. Received: rows={rows}")
    images = tf.convert_to_tensor(images, tf.float32)
    size = tf.shape(images)[0] if batch_size is None else batch_size
    draws = Draws(seed, size, rows)
    if policy in _CROPPING:
        areas, following = _CROPPING[policy]
        augmented = following(_resized_crop_flip(images, draws, areas), draws)
    else:
        augmented = _POLICIES[policy](images, draws)
    return tf.ensure_shape(tf.clip_by_value(augmented, 0.0, 1.0), images.shape)


def begins_with_crop(policy: str) -> bool:
    """Whether a policy shows parts of images, which need not be decoded whole."""
    return policy in _CROPPING


def augment_parts(
    cut: Callable[[tf.Tensor], tf.Tensor],
    policy: str,
    seed: tf.Tensor,
    *,
    batch_size: int,
    rows: tuple[int, int],
) -> tf.Tensor:
    """As `augment`, of images of which `cut` gives the parts that a policy shows.

    Args:
        cut: from (R, 5) float32 crops of the images of `rows` (see `draw_crops`) to
            what these show, (R, H, W, 3) float32 in [0, 1].
        policy: one that begins with a crop.
        seed: (2,) integers.
        batch_size: images in the global batch.
        rows: (first, last + 1) of the global batch.
    """
    draws = Draws(seed, batch_size, rows)
    areas, following = _CROPPING[policy]
    crops = [tf.cast(part, tf.float32) for part in draw_crops(draws, areas)]
    parts = cut(draws.mine(tf.stack(crops, axis=1)))
    if following is _none:
        return parts
    return tf.clip_by_value(following(parts, draws), 0.0, 1.0)


def _none(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    return images


def _crop_flip(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    height, width = images.shape[1:3]
    up = draws.integers(-(height // 8), height // 8 + 1)
    left = draws.integers(-(width // 8), width // 8 + 1)
    flip = draws.chance(0.5)
    return shift_and_flip(images, *map(draws.mine, (up, left, flip)))


def shift_and_flip(
    images: tf.Tensor, up: tf.Tensor, left: tf.Tensor, flip: tf.Tensor
) -> tf.Tensor:
    """Moves each image by whole pixels, filling with zeros, and mirrors it if `flip`.

    Args:
        images: (B, H, W, C) float32.
        up: (B,) int32 in [-H/8, H/8], rows that the content moves up.
        left: (B,) int32 in [-W/8, W/8], columns that the content moves left.
        flip: (B,) bool, mirror left to right after moving.
    """
    height, width = images.shape[1:3]
    # One ring of zeros more than the moves need: a box that rounding carries beyond the
    # padded image meets a zero either way.
    pad_y, pad_x = height // 8 + 1, width // 8 + 1
    padded = tf.pad(images, [[0, 0], [pad_y, pad_y], [pad_x, pad_x], [0, 0]])
    top = tf.cast(up + pad_y, tf.float32)
    left_end = tf.cast(left + pad_x, tf.float32)
    right_end = left_end + (width - 1)
    rows, columns = height + 2 * pad_y - 1, width + 2 * pad_x - 1
    boxes = [
        top / rows,
        tf.where(flip, right_end, left_end) / columns,
        (top + (height - 1)) / rows,
        tf.where(flip, left_end, right_end) / columns,
    ]
    return _crop(padded, boxes, (height, width), "nearest")


def _crop(
    images: tf.Tensor, boxes: list[tf.Tensor], size: tuple[int, int], method: str
) -> tf.Tensor:
    """Box b of image b; one whose left side lies right of its right side mirrors it.

    `boxes` holds (B,) tops, lefts, bottoms and rights in parts of the sides. This
    kernel is several times faster than a gather or a projective transform.
    """
    places = tf.range(tf.shape(images)[0])
    return tf.image.crop_and_resize(
        images, tf.stack(boxes, axis=1), places, size, method
    )


def _resized_crop_flip(
    images: tf.Tensor, draws: Draws, areas: tuple[float, float]
) -> tf.Tensor:
    height, width = images.shape[1:3]
    boxes = crop_boxes(draw_crops(draws, areas), height, width)
    return _crop(images, list(map(draws.mine, boxes)), (height, width), "bilinear")


def _randaugment(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    return rand_augment(_crop_flip(images, draws), draws)


_POLICIES: dict[str, Callable[[tf.Tensor, Draws], tf.Tensor]] = {
    "none": _none,
    "crop_flip": _crop_flip,
    "randaugment": _randaugment,
}
# Those that begin with a resized crop: the areas that it may have, and what follows.
_CROPPING: dict[str, tuple[tuple[float, float], Callable]] = {
    "resized_crop": ((0.08, 1.0), _none),
    "simclr": ((0.2, 1.0), color_jitter),
}
