"""Encoded images to RGB pixels, in TensorFlow operations.

For tensorflow-datasets and for the graph that an export serves. The same bytes give the
same pixels as through Pillow (`image_files`), or are refused.
"""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.data.encoded_bmp import decode_bmp
from supcon_tf.data.encoded_headers import (
    jpeg_headers,
    number,
    orientation,
    png_headers,
    text,
    webp_headers,
)

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
    decoders: list[tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]] = [
        (text(encoded, 0, 3) == b"\xff\xd8\xff", _decode_jpeg),
        (text(encoded, 0, 8) == b"\x89PNG\r\n\x1a\n", _decode_png),
        (text(encoded, 0, 4) == b"GIF8", _decode_gif),
        (text(encoded, 0, 2) == b"BM", decode_bmp),
        (
            (text(encoded, 0, 4) == b"RIFF") & (text(encoded, 8, 4) == b"WEBP"),
            _decode_webp,
        ),
    ]
    matches = tf.stack([match for match, _ in decoders])
    known = tf.reduce_any(matches)
    check = tf.debugging.Assert(known, [f"image_bytes must be a {FORMATS} image"])
    with tf.control_dependencies([check]):
        encoded = tf.identity(encoded)
    pixels = tf.switch_case(
        tf.argmax(matches, output_type=tf.int32),
        [lambda decoder=decoder: decoder(encoded) for _, decoder in decoders],
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def resize(pixels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """(H, W, 3) uint8 pixels in another size, without keeping their proportions."""
    resized = tf.image.resize(pixels, size, antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    exif, ambiguous = jpeg_headers(encoded)
    message = "a CMYK JPEG must have Adobe's mark, which says how its inks are stored"
    with tf.control_dependencies([tf.debugging.Assert(~ambiguous, [message])]):
        # TensorFlow's own choice of arithmetic is off by up to 16 levels.
        pixels = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")
    return _upright(pixels, orientation(exif))


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    exif, transparent = png_headers(encoded)
    eight = number(encoded, 24, 1, True) <= 8
    message = "a PNG must have at most 8 bits a channel"
    with tf.control_dependencies([tf.debugging.Assert(eight, [message])]):
        # Where there is none, the decoder's alpha may be any number.
        pixels = tf.io.decode_png(encoded, 4)
    pixels = tf.cond(transparent, lambda: _on_black(pixels), lambda: pixels[..., :3])
    return _upright(pixels, orientation(exif))


def _decode_gif(encoded: tf.Tensor) -> tf.Tensor:
    # TensorFlow makes transparent pixels black, too.
    pixels = tf.io.decode_gif(encoded)[0]
    screen = [number(encoded, 8, 2, False), number(encoded, 6, 2, False)]
    fills = tf.reduce_all(tf.shape(pixels, tf.int64)[:2] == tf.stack(screen))
    message = "the first frame of a GIF must fill its screen"
    with tf.control_dependencies([tf.debugging.Assert(fills, [message])]):
        return tf.identity(pixels)


def _decode_webp(encoded: tf.Tensor) -> tf.Tensor:
    exif, animated = webp_headers(encoded)
    # TensorFlow's decoder writes beyond its memory on some of them.
    check = tf.debugging.Assert(~animated, ["a WebP image must not be animated"])
    with tf.control_dependencies([check]):
        pixels = tf.io.decode_webp(encoded, 0)[0]
    pixels = tf.cond(
        tf.shape(pixels)[-1] == 4, lambda: _on_black(pixels), lambda: pixels
    )
    return _upright(tf.ensure_shape(pixels, (None, None, 3)), orientation(exif))


def _on_black(pixels: tf.Tensor) -> tf.Tensor:
    """(H, W, 4) uint8 as (H, W, 3): colours times alpha, rounded to the nearest."""
    pixels = tf.cast(pixels, tf.int32)
    return tf.cast((pixels[..., :3] * pixels[..., 3:4] * 2 + 255) // 510, tf.uint8)


def _upright(pixels: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """The pixels as EXIF's orientation 1 to 8 says: mirrored at the diagonal from 5
    on, then upside down or left to right or both."""
    pixels = tf.cond(turn >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    for axis, turns in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        pixels = tf.cond(
            tf.reduce_any(turn == turns),
            lambda pixels=pixels, axis=axis: tf.reverse(pixels, [axis]),
            lambda pixels=pixels: pixels,
        )
    return pixels
