"""Encoded images to RGB pixels, in TensorFlow operations.

For tensorflow-datasets and for the graph that an export serves. The same bytes give the
same pixels as through Pillow (`image_files`), or are refused.
"""

import tensorflow as tf

from supcon_tf.data.decoding.bmp import decode_bmp
from supcon_tf.data.decoding.headers import (
    PADDING,
    jpeg_headers,
    number,
    orientation,
    png_headers,
    text,
    webp_headers,
)

# Pixels (H, W, 3) uint8 as they are stored, and a padded EXIF block.
Decoded = tuple[tf.Tensor, tf.Tensor]
FORMATS = "JPEG, PNG, GIF (first frame), BMP or WebP"


# One trace for all that decode: making its graph takes as long as many images.
@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode(encoded: tf.Tensor) -> tf.Tensor:
    """An encoded image, a scalar string, as upright (H, W, 3) uint8 pixels.

    Colours are weighed by their alpha: transparent pixels are black.

    Raises:
        tf.errors.InvalidArgumentError: if it is damaged or of another format, has more
            than 8 bits a channel, or is one that TensorFlow would show wrongly.
    """
    padded = tf.strings.join([encoded, PADDING])
    matches = tf.stack(
        [
            text(padded, 0, 3) == b"\xff\xd8\xff",
            text(padded, 0, 8) == b"\x89PNG\r\n\x1a\n",
            text(padded, 0, 4) == b"GIF8",
            text(padded, 0, 2) == b"BM",
            (text(padded, 0, 4) == b"RIFF") & (text(padded, 8, 4) == b"WEBP"),
        ]
    )
    message = f"image_bytes must be a {FORMATS} image"
    check = tf.debugging.Assert(tf.reduce_any(matches), [message])
    with tf.control_dependencies([check]):
        kind = tf.argmax(matches, output_type=tf.int32)
    # Each kind is another branch, and what is in none is made once: the nodes of the
    # branches not taken cost as much time as a small image.
    pixels, exif = tf.switch_case(
        kind,
        [
            lambda: _decode_jpeg(encoded, padded),
            lambda: _decode_png(encoded, padded),
            lambda: _decode_gif(encoded, padded),
            lambda: (decode_bmp(padded), tf.constant(PADDING)),
            lambda: _decode_webp(encoded, padded),
        ],
    )
    pixels = tf.ensure_shape(pixels, (None, None, 3))
    return _upright(pixels, orientation(exif))


def resize(
    pixels: tf.Tensor, size: tuple[int, int], crop_to_aspect_ratio: bool = False
) -> tf.Tensor:
    """(H, W, 3) uint8 pixels in another size; the twin of `image_files.fitted`."""
    if crop_to_aspect_ratio:
        height, width = tf.unstack(tf.shape(pixels)[:2])
        tall = tf.maximum(tf.minimum(height, width * size[0] // size[1]), 1)
        wide = tf.maximum(tf.minimum(width, height * size[1] // size[0]), 1)
        top, left = (height - tall) // 2, (width - wide) // 2
        pixels = pixels[top : top + tall, left : left + wide]
    resized = tf.image.resize(pixels, size, antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _decode_jpeg(encoded: tf.Tensor, padded: tf.Tensor) -> Decoded:
    exif, ambiguous = jpeg_headers(padded)
    message = (
        "a CMYK JPEG must have the mark of Adobe, which says how its inks are stored"
    )
    with tf.control_dependencies([tf.debugging.Assert(~ambiguous, [message])]):
        # TensorFlow's own choice of arithmetic is off by up to 16 levels.
        pixels = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")
    return pixels, exif


def _decode_png(encoded: tf.Tensor, padded: tf.Tensor) -> Decoded:
    exif, transparent = png_headers(padded)
    deep = text(padded, 24, 1) == b"\x10"
    check = tf.debugging.Assert(~deep, ["a PNG must have at most 8 bits a channel"])
    with tf.control_dependencies([check]):
        # Where there is none, the decoder's alpha may be any number.
        pixels = tf.io.decode_png(encoded, 4)
    pixels = tf.cond(transparent, lambda: _on_black(pixels), lambda: pixels[..., :3])
    return pixels, exif


def _decode_gif(encoded: tf.Tensor, padded: tf.Tensor) -> Decoded:
    # TensorFlow makes transparent pixels black, too.
    pixels = tf.io.decode_gif(encoded)[0]
    screen = tf.stack([number(padded, 8, 2), number(padded, 6, 2)])
    fills = tf.reduce_all(tf.shape(pixels, tf.int64)[:2] == screen)
    message = "the first frame of a GIF must fill its screen"
    with tf.control_dependencies([tf.debugging.Assert(fills, [message])]):
        return tf.identity(pixels), tf.constant(PADDING)


def _decode_webp(encoded: tf.Tensor, padded: tf.Tensor) -> Decoded:
    exif, animated = webp_headers(padded)
    # TensorFlow's decoder writes beyond its memory on some of them.
    check = tf.debugging.Assert(~animated, ["a WebP image must not be animated"])
    with tf.control_dependencies([check]):
        pixels = tf.io.decode_webp(encoded, 0)[0]
    pixels = tf.cond(
        tf.shape(pixels)[-1] == 4, lambda: _on_black(pixels), lambda: pixels
    )
    return pixels, exif


def _on_black(pixels: tf.Tensor) -> tf.Tensor:
    """(H, W, 4) uint8 as (H, W, 3): colours times alpha, rounded to the nearest."""
    pixels = tf.cast(pixels, tf.int32)
    return tf.cast((pixels[..., :3] * pixels[..., 3:] * 2 + 255) // 510, tf.uint8)


def _upright(pixels: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """The pixels as EXIF's orientation 1 to 8 says."""

    def turned() -> tf.Tensor:
        # From 5 on mirrored at the diagonal; then upside down, left to right, or both.
        found = tf.cond(
            turn >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels
        )
        for axis, turns in ((0, [3, 4, 7, 8]), (1, [2, 3, 6, 7])):
            order = tf.range(tf.shape(found)[axis])
            backwards = tf.reduce_any(turn == turns)
            order = tf.where(backwards, tf.reverse(order, [0]), order)
            found = tf.gather(found, order, axis=axis)
        return found

    return tf.cond(turn == 1, lambda: pixels, turned)
