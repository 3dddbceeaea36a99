"""Parts of encoded images, of which no more is decoded than is needed."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from supcon_tf.data.augmentation.resized_crop import crop_boxes
from supcon_tf.data.decoding.jpeg import JpegHeader, jpeg_header

# By these a JPEG can be made smaller while it is decoded.
_REDUCTIONS = (8, 4, 2)
# Of EXIF's orientations, after those from 5 on were mirrored at the diagonal.
_UPSIDE_DOWN, _MIRRORED = (3, 4, 7, 8), (2, 3, 6, 7)


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


def cut(
    content: bytes,
    decode: Callable[[bytes], np.ndarray],
    crops: np.ndarray,
    keep_proportions: bool,
    out: np.ndarray,
) -> None:
    """Some parts of one image, each in the same size.

    A part of more than twice that size is made smaller by a whole number, as the mean
    of pixels, before it is brought to its size by bilinear interpolation.

    Args:
        content: the bytes of the image.
        decode: from these to upright pixels (H, W, 3) uint8; called where the image is
            no JPEG of which a part could be decoded.
        crops: (V, 5) float32, see `draw_crops`.
        keep_proportions: whether the aspect ratio of a crop is one of the image's
            pixels, or of the image once its sides have the proportions of `out`.
        out: (V, H, W, 3) float32, which gets the parts, in [0, 1].
    """
    size = out.shape[1:3]
    header = jpeg_header(content)
    if header is not None:
        stored = upright(header.height, header.width, header.turn)
        parts = pixel_parts(crops, stored, size, keep_proportions)
        window = _decoded_window(content, header, parts, size)
        if window is not None:
            _resample(*window, out)
            return
        # Damaged, or of a kind that needs another decoder, which says so.
    pixels = decode(content)
    parts = pixel_parts(crops, pixels.shape[:2], size, keep_proportions)
    _resample(pixels, parts, out)


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


class _Python:
    """What `crop_boxes` needs, of single numbers."""

    sqrt, minimum, maximum = math.sqrt, min, max

    @staticmethod
    def where(condition: bool, one: float, other: float) -> float:
        return one if condition else other


def upright(height: int, width: int, turn: int) -> tuple[int, int]:
    return (width, height) if turn >= 5 else (height, width)


def _decoded_window(
    content: bytes, header: JpegHeader, parts: list[Part], size: tuple[int, ...]
) -> tuple[Any, list[Part]] | None:
    """Upright pixels of a window around all parts of a JPEG, and where these lie in it.

    None if it can't be decoded so.
    """
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
    if header.turn in _UPSIDE_DOWN:
        top, bottom = rows - bottom, rows - top
    if header.turn in _MIRRORED:
        left, right = columns - right, columns - left
    if header.turn >= 5:
        top, left, bottom, right = left, top, right, bottom
    window = [top, left, bottom - top, right - left]
    try:
        # Eager operations would go to a GPU, where there is one.
        with tf.device("CPU"):
            # Of tensors an operation is begun in a seventh of the time.
            pixels = tf.io.decode_and_crop_jpeg(
                tf.constant(content),
                tf.constant(window, tf.int32),
                3,
                reduction,
                dct_method="INTEGER_ACCURATE",
            )
    except tf.errors.OpError:
        return None
    if header.turn > 1:
        pixels = _turned(np.asarray(memoryview(pixels)), header.turn)
    return pixels, parts


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    if turn >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if turn in _UPSIDE_DOWN:
        pixels = pixels[::-1]
    if turn in _MIRRORED:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _resample(pixels: Any, parts: list[Part], out: np.ndarray) -> None:
    """Brings parts of (h, w, 3) uint8 pixels to their size."""
    height, width = out.shape[1:3]
    for place, (top, left, bottom, right, mirrored) in enumerate(parts):
        part = pixels
        if (top, left, bottom, right) != (0, 0, *pixels.shape[:2]):
            part = np.asarray(memoryview(pixels))[top:bottom, left:right]
        down, across = (bottom - top) // height, (right - left) // width
        if down > 1 or across > 1:
            image = Image.fromarray(np.ascontiguousarray(part))
            part = np.asarray(image.reduce((max(across, 1), max(down, 1))))
        with tf.device("CPU"):
            part = tf.convert_to_tensor(part)
            if mirrored:
                part = tf.raw_ops.ReverseV2(tensor=part, axis=_constant(1))
            resized = tf.raw_ops.ResizeBilinear(
                images=tf.raw_ops.ExpandDims(input=part, axis=_constant(0)),
                size=_constant(height, width),
                half_pixel_centers=True,
            )
        # `numpy` would copy it, while all other threads wait.
        np.divide(np.asarray(memoryview(resized))[0], 255, out[place])


@functools.lru_cache(maxsize=16)
def _constant(*values: int) -> tf.Tensor:
    with tf.device("CPU"):
        return tf.constant(values)
