"""Parts of encoded images, of which no more is decoded than is needed."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from supcon_tf.data.augmentation.resized_crop import crop_boxes
from supcon_tf.data.decoding.jpeg import JpegHeader, jpeg_header

# By these a JPEG can be made smaller while it is decoded.
_REDUCTIONS = (8, 4, 2)


def cut(
    content: bytes,
    decode: Callable[[bytes], np.ndarray],
    crops: np.ndarray,
    size: tuple[int, int],
    keep_proportions: bool,
) -> np.ndarray:
    """Some parts of one image, each in the same size.

    A part of more than twice that size is made smaller by a whole number, as the mean
    of pixels, before it is brought to its size by bilinear interpolation.

    Args:
        content: the bytes of the image.
        decode: from these to upright pixels (H, W, 3) uint8; called where the image is
            no JPEG of which a part could be decoded.
        crops: (V, 5) float32, see `draw_crops`.
        size: height and width of what is returned.
        keep_proportions: whether the aspect ratio of a crop is one of the image's
            pixels, or of the image once its sides have the proportions of `size`.

    Returns:
        (V, height, width, 3) float32, 0 to 255.
    """
    header = jpeg_header(content)
    pixels, reduction = None, 1
    if header is not None:
        height, width = upright(header.height, header.width, header.turn)
    else:
        pixels = decode(content)
        height, width = pixels.shape[:2]
    seen = (height, width) if keep_proportions else size
    boxes = np.stack(
        crop_boxes(_columns(crops), *seen, keep_ratio=keep_proportions, library=np),
        axis=1,
    )
    # Where the outermost pixels of the parts lie: tops, lefts, bottoms, rights.
    ends = boxes * np.array([height - 1, width - 1] * 2)
    first = np.zeros(2)
    if header is not None:
        found = _decoded_part(content, header, ends, size)
        if found is not None:
            pixels, first, reduction = found
        else:
            # Damaged, or of a kind that needs another decoder, which says so.
            pixels = decode(content)
    assert pixels is not None
    ends = _reduced(ends, reduction) - np.tile(first, 2)
    return np.stack([_resampled(pixels, part, size) for part in ends])


def upright(height: int, width: int, turn: int) -> tuple[int, int]:
    return (width, height) if turn >= 5 else (height, width)


def _columns(crops: np.ndarray) -> list[np.ndarray]:
    # In float64 the last bit does not depend on a processor's vectors.
    area, ratio, down, right, flip = crops.astype(np.float64).T
    return [area, ratio, down, right, flip > 0]


def _reduced(places: np.ndarray, factor: int | np.ndarray) -> np.ndarray:
    """Where places lie in an image made smaller: each pixel is the mean of some."""
    return (places - (factor - 1) / 2) / factor


def _decoded_part(
    content: bytes, header: JpegHeader, ends: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Upright pixels of a window around all parts of a JPEG.

    Returns:
        The pixels, the window's first row and column, and by how much the image is
        smaller; None if it can't be decoded so.
    """
    extents = np.abs(ends[:, 2:] - ends[:, :2]).min(axis=0) + 1
    largest = (extents / size).min()
    reduction = next((factor for factor in _REDUCTIONS if factor <= largest), 1)
    height, width = (math.ceil(side / reduction) for side in header[:2])
    rows, columns = upright(height, width, header.turn)
    whole = np.array([rows, columns])
    ends = _reduced(ends, reduction)
    first = np.floor(np.minimum(ends[:, :2], ends[:, 2:]).min(axis=0)).astype(int)
    last = np.ceil(np.maximum(ends[:, :2], ends[:, 2:]).max(axis=0)).astype(int)
    first, last = np.clip(first, 0, whole - 1), np.clip(last, 0, whole - 1)
    (top, left), (bottom, right) = first.tolist(), last.tolist()
    if header.turn in (3, 4, 7, 8):
        top, bottom = rows - 1 - bottom, rows - 1 - top
    if header.turn in (2, 3, 6, 7):
        left, right = columns - 1 - right, columns - 1 - left
    if header.turn >= 5:
        top, left, bottom, right = left, top, right, bottom
    window = [top, left, bottom - top + 1, right - left + 1]
    try:
        # Eager operations would go to a GPU, where there is one.
        with tf.device("CPU"):
            pixels = tf.io.decode_and_crop_jpeg(
                content, window, 3, reduction, dct_method="INTEGER_ACCURATE"
            ).numpy()
    except tf.errors.OpError:
        return None
    if header.turn >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if header.turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if header.turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels, first, reduction


def _resampled(
    pixels: np.ndarray, ends: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """(H, W, 3) float32 of the part with these first and last rows and columns."""
    spans, (top, left, bottom, right) = [], ends.tolist()
    for start, stop, length, wanted in (
        (top, bottom, pixels.shape[0], size[0]),
        (left, right, pixels.shape[1], size[1]),
    ):
        low = min(max(math.floor(min(start, stop)), 0), length - 1)
        high = min(max(math.ceil(max(start, stop)), 0), length - 1)
        factor = max(1, int((abs(stop - start) + 1) // wanted))
        spans.append((low, high + 1, factor, start - low, stop - low))
    (low_y, high_y, down, top, bottom), (low_x, high_x, across, left, right) = spans
    part = np.ascontiguousarray(pixels[low_y:high_y, low_x:high_x])
    if down > 1 or across > 1:
        part = np.asarray(Image.fromarray(part).reduce((across, down)))
    ends = _reduced(np.array([top, left, bottom, right]), np.array([down, across] * 2))
    last = np.array([part.shape[0] - 1, part.shape[1] - 1] * 2)
    box = ends / np.maximum(last, 1)
    # A place beyond the last pixel would be black.
    box = np.clip(box, 0, 1 - 1e-6)[None].astype(np.float32)
    with tf.device("CPU"):
        return tf.raw_ops.CropAndResize(
            image=part[None], boxes=box, box_ind=[0], crop_size=size, method="bilinear"
        ).numpy()[0]
