"""Parts of encoded images, of which no more is decoded than is needed.

What most images need is done in a graph, for many at once: Python's lock is not held
meanwhile.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from supcon_tf.data.decoding.jpeg import jpeg_header
from supcon_tf.data.decoding.parts import (
    MIRRORED,
    UPSIDE_DOWN,
    Part,
    jpeg_window,
    pixel_parts,
)
from supcon_tf.data.threads import thread_count


class Window(NamedTuple):
    """Pixels around all parts of an image, and where these lie in them.

    `content` is a JPEG, of which `box` (top, left, height, width) is to be decoded; or,
    unless `is_jpeg`, the pixels (height, width, 3) uint8 themselves.
    """

    content: bytes
    is_jpeg: bool
    box: list[int]
    parts: list[Part]


def window(
    content: bytes,
    decode: Callable[[bytes], np.ndarray],
    crops: np.ndarray,
    size: tuple[int, ...],
    keep_proportions: bool,
    *,
    decode_later: bool = True,
) -> Window:
    """What `cut` needs of an image.

    A part of more than twice its size is made smaller by a whole number, as the mean
    of pixels, before it is brought to its size by bilinear interpolation.

    Args:
        content: the bytes of the image.
        decode: from these to upright pixels (H, W, 3) uint8; called where the image is
            no JPEG of which a part could be decoded.
        crops: (V, 5) float32, see `draw_crops`.
        size: (H, W) of each part.
        keep_proportions: whether the aspect ratio of a crop is one of the image's
            pixels, or of the image once its sides have the proportions of `size`.
        decode_later: leave a JPEG to `cut`, if nothing but that is needed.
    """
    header = jpeg_header(content)
    if header is not None:
        reduction, box, parts = jpeg_window(header, crops, size, keep_proportions)
        as_it_is = header.turn == 1 and reduction == 1
        if decode_later and as_it_is and all(p.shrinks(size) == (1, 1) for p in parts):
            return Window(content, True, box, parts)
        pixels = _decoded(content, reduction, box)
        if pixels is not None:
            return _joined(_turned(pixels, header.turn), parts, size)
        # Damaged, or of a kind that needs another decoder, which says so.
    pixels = decode(content)
    parts = pixel_parts(crops, pixels.shape[:2], size, keep_proportions)
    return _joined(pixels, parts, size)


def cut(windows: Sequence[Window], size: tuple[int, ...]) -> np.ndarray | None:
    """The parts of images, each in the same size.

    Returns:
        (N, V, H, W, 3) float32 in [0, 1]; None if a JPEG among them can't be decoded.
    """
    # tf.data calls this in threads of its own: those that the graph needs are not among
    # those that wait for it. Eager operations would go to a GPU, where there is one.
    with tf.device("CPU"):
        try:
            found = _graph(len(windows[0].parts), (size[0], size[1]))(
                tf.constant([window.content for window in windows]),
                tf.constant([window.is_jpeg for window in windows]),
                tf.constant([window.box for window in windows]),
                tf.constant([window.parts for window in windows], tf.int32),
                tf.constant(255.0),
            )
        except tf.errors.InvalidArgumentError:
            return None
    # `numpy` would copy it, while all other threads wait.
    return np.asarray(memoryview(found))


@functools.lru_cache(maxsize=8)
def _graph(views: int, size: tuple[int, int]) -> Callable[..., tf.Tensor]:
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None], tf.bool),
            tf.TensorSpec([None, 4], tf.int32),
            tf.TensorSpec([None, views, 5], tf.int32),
            # An input: by a constant TensorFlow would not divide, but multiply with its
            # inverse.
            tf.TensorSpec([], tf.float32),
        ],
        autograph=False,
    )
    def cut_all(
        contents: tf.Tensor,
        are_jpeg: tf.Tensor,
        boxes: tf.Tensor,
        parts: tf.Tensor,
        brightest: tf.Tensor,
    ) -> tf.Tensor:
        def cut_one(image: tuple[tf.Tensor, ...]) -> tf.Tensor:
            content, is_jpeg, box, its_parts = image
            height, width = box[2], box[3]
            pixels = tf.cond(
                is_jpeg,
                lambda: tf.io.decode_and_crop_jpeg(
                    content, box, 3, dct_method="INTEGER_ACCURATE"
                ),
                lambda: tf.reshape(
                    tf.io.decode_raw(content, tf.uint8), (height, width, 3)
                ),
            )
            return tf.stack([resized(pixels, part) for part in tf.unstack(its_parts)])

        def resized(pixels: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
            top, left, bottom, right, mirrored = tf.unstack(part)
            # The only one is all of the window.
            if views > 1:
                pixels = pixels[top:bottom, left:right]
            # At the second axis, or at none.
            pixels = tf.reverse(pixels, tf.range(1, 1 + mirrored))
            found = tf.raw_ops.ResizeBilinear(
                images=pixels[None], size=size, half_pixel_centers=True
            )
            return found[0] / brightest

        return tf.map_fn(
            cut_one,
            (contents, are_jpeg, boxes, parts),
            fn_output_signature=tf.TensorSpec([views, *size, 3], tf.float32),
            parallel_iterations=thread_count(),
        )

    return cut_all


def _decoded(content: bytes, reduction: int, box: list[int]) -> np.ndarray | None:
    """Pixels (h, w, 3) of a part of a JPEG; None if it can't be decoded so."""
    try:
        with tf.device("CPU"):
            # Of tensors an operation is begun in a seventh of the time.
            pixels = tf.io.decode_and_crop_jpeg(
                tf.constant(content),
                tf.constant(box, tf.int32),
                3,
                reduction,
                dct_method="INTEGER_ACCURATE",
            )
    except tf.errors.OpError:
        return None
    return np.asarray(memoryview(pixels))


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    if turn >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if turn in UPSIDE_DOWN:
        pixels = pixels[::-1]
    if turn in MIRRORED:
        pixels = pixels[:, ::-1]
    return pixels


def _joined(pixels: Any, parts: list[Part], size: tuple[int, ...]) -> Window:
    """Parts of (h, w, 3) pixels, made smaller where they must be, below each other."""
    found = []
    for part in parts:
        shown = pixels[part.top : part.bottom, part.left : part.right]
        down, across = part.shrinks(size)
        if (down, across) != (1, 1):
            image = Image.fromarray(np.ascontiguousarray(shown))
            shown = np.asarray(image.reduce((across, down)))
        found.append(shown)
    width = max(shown.shape[1] for shown in found)
    below = np.cumsum([0, *(len(shown) for shown in found)]).tolist()
    canvas = np.zeros((below[-1], width, 3), np.uint8)
    places = []
    for top, shown, part in zip(below, found, parts, strict=False):
        height, right = shown.shape[:2]
        canvas[top : top + height, :right] = shown
        places.append(Part(top, 0, top + height, right, part.mirrored))
    return Window(canvas.tobytes(), False, [0, 0, *canvas.shape[:2]], places)
