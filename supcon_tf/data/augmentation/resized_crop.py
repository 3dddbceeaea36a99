"""Random resized crops: which part of an image is shown in its place.

Which part is drawn apart from cutting it out, since images that stay encoded are cut
while they are decoded (`supcon_tf.data.decoding.cutting`).
"""

import math
from typing import Any

import tensorflow as tf

from supcon_tf.data.augmentation.random_numbers import Draws

_RATIO = (3 / 4, 4 / 3)
# Of a side: a thousandth of a pixel at 1,000 pixels.
_INSIDE = 1e-6


def draw_crops(draws: Draws, areas: tuple[float, float]) -> list[tf.Tensor]:
    """What a crop of each image of the global batch is made of.

    Args:
        draws: of the global batch.
        areas: smallest and largest share of the image that a crop shows.

    Returns:
        (B,) each: area, aspect ratio (width to height, from 3/4 to 4/3), how far down
        and how far right of what is possible, and whether it is mirrored.
    """
    area = draws.uniform(*areas)
    ratio = tf.exp(draws.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
    down, right = draws.uniform(0.0, 1.0), draws.uniform(0.0, 1.0)
    return [area, ratio, down, right, draws.chance(0.5)]


def crop_boxes(
    crops: Any, height: int, width: int, keep_ratio: bool = False, library: Any = tf
) -> list[Any]:
    """Tops, lefts, bottoms and rights of crops, in parts of an image's sides.

    A box whose left side lies right of its right side is to be mirrored.

    Args:
        crops: the five of `draw_crops`.
        height: of the image.
        width: of the image.
        keep_ratio: make a crop that is too large for the image smaller, rather than
            cut its sides to those of the image; long images have many of them.
        library: what takes roots and so on: `tf` of tensors, `np` of arrays.
    """
    area, ratio, down, right, flip = crops
    # Shares of the sides: tall * wide = area, (wide * W) / (tall * H) = ratio.
    tall = library.sqrt(area / ratio * (width / height))
    wide = library.sqrt(area * ratio * (height / width))
    if keep_ratio:
        longest = library.maximum(library.maximum(tall, wide), 1.0)
        tall, wide = tall / longest, wide / longest
    tall, wide = library.minimum(tall, 1.0), library.minimum(wide, 1.0)
    top = down * (1.0 - tall)
    left = right * (1.0 - wide)
    end = left + wide
    sides = [
        top,
        library.where(flip, end, left),
        top + tall,
        library.where(flip, left, end),
    ]
    # Rounding must not carry a box beyond the image, where zeros begin.
    return [
        library.minimum(library.maximum(side, _INSIDE), 1.0 - _INSIDE) for side in sides
    ]
