"""Which pixels the parts of an image are, and which of them must be decoded."""

import math
from typing import NamedTuple

import numpy as np

from supcon_tf.data.augmentation.resized_crop import crop_boxes
from supcon_tf.data.decoding.jpeg import JpegHeader

# By these a JPEG can be made smaller while it is decoded.
_REDUCTIONS = (8, 4, 2)
# Of EXIF's orientations, after those from 5 on were mirrored at the diagonal.
UPSIDE_DOWN, MIRRORED = (3, 4, 7, 8), (2, 3, 6, 7)


class Part(NamedTuple):
    """First row and column of a part, those behind its last ones, and its direction."""

    top: int
    left: int
    bottom: int
    right: int
    mirrored: bool

    def reduced(self, factor: int) -> "Part":
        """Where it lies in an image that is smaller."""
        ends = -(-self.bottom // factor), -(-self.right // factor)
        return Part(self.top // factor, self.left // factor, *ends, self.mirrored)

    def moved(self, down: int, right: int) -> "Part":
        return Part(
            *(self.top + down, self.left + right),
            *(self.bottom + down, self.right + right),
            self.mirrored,
        )

    def shrinks(self, size: tuple[int, ...]) -> tuple[int, int]:
        """By which whole numbers (down, across) it is made smaller for a size (H, W).

        Before it is interpolated, which would leave pixels out.
        """
        down = (self.bottom - self.top) // size[0]
        across = (self.right - self.left) // size[1]
        return max(down, 1), max(across, 1)


def pixel_parts(
    crops: np.ndarray,
    stored: tuple[int, ...],
    size: tuple[int, ...],
    keep_proportions: bool,
) -> list[Part]:
    """Crops (V, 5) of an image of a height and width, in whole pixels."""
    height, width = stored
    tall, broad = stored if keep_proportions else size
    found = []
    # Numbers of Python: for one image that takes less time than arrays do.
    for *numbers, flip in crops.tolist():
        box = crop_boxes(
            (*numbers, flip > 0),
            tall,
            broad,
            keep_ratio=keep_proportions,
            library=_Python,
        )
        left, right = sorted((box[1], box[3]))
        first_row = min(round(box[0] * height), height - 1)
        first_column = min(round(left * width), width - 1)
        found.append(
            Part(
                first_row,
                first_column,
                max(round(box[2] * height), first_row + 1),
                max(round(right * width), first_column + 1),
                flip > 0,
            )
        )
    return found


def jpeg_window(
    header: JpegHeader,
    crops: np.ndarray,
    size: tuple[int, ...],
    keep_proportions: bool,
) -> tuple[int, list[int], list[Part]]:
    """What is decoded of a JPEG for its crops (V, 5), each to be of a size (H, W).

    Returns:
        By what it is made smaller meanwhile; the top, left, height and width of a
        window around all crops in the image as it is stored; and these in the upright
        window.
    """
    stored = upright(header.height, header.width, header.turn)
    parts = pixel_parts(crops, stored, size, keep_proportions)
    largest = min(
        min((part.bottom - part.top) / size[0], (part.right - part.left) / size[1])
        for part in parts
    )
    reduction = next((factor for factor in _REDUCTIONS if factor <= largest), 1)
    parts = [part.reduced(reduction) for part in parts]
    top, left = min(part.top for part in parts), min(part.left for part in parts)
    bottom, right = max(p.bottom for p in parts), max(p.right for p in parts)
    parts = [part.moved(-top, -left) for part in parts]
    height, width = (-(-side // reduction) for side in header[:2])
    rows, columns = upright(height, width, header.turn)
    if header.turn in UPSIDE_DOWN:
        top, bottom = rows - bottom, rows - top
    if header.turn in MIRRORED:
        left, right = columns - right, columns - left
    if header.turn >= 5:
        top, left, bottom, right = left, top, right, bottom
    return reduction, [top, left, bottom - top, right - left], parts


def upright(height: int, width: int, turn: int) -> tuple[int, int]:
    return (width, height) if turn >= 5 else (height, width)


class _Python:
    """What `crop_boxes` needs, of single numbers."""

    sqrt, minimum, maximum = math.sqrt, min, max

    @staticmethod
    def where(condition: bool, one: float, other: float) -> float:
        return one if condition else other
