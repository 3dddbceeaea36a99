"""BMP images to pixels, in TensorFlow operations.

`tf.io.decode_bmp` takes the indices of a palette for levels of grey.
"""

import tensorflow as tf

from supcon_tf.data.decoding.headers import length, number, text

_FILE_HEADER = 14
_INFO_HEADER = 40


def decode_bmp(padded: tf.Tensor) -> tf.Tensor:
    """An uncompressed BMP of 1, 4 or 8 (palette), 24 or 32 bits as (H, W, 3) uint8.

    Its bytes are padded, see `encoded_headers`.

    Raises:
        tf.errors.InvalidArgumentError: for other BMP images, and damaged ones.
    """
    header = number(padded, 14, 4)
    width, height = (_signed(number(padded, at, 4)) for at in (18, 22))
    bits = number(padded, 28, 2)
    known = tf.reduce_any(bits == [1, 4, 8, 24, 32])
    uncompressed = number(padded, 30, 4) == 0
    checks = [
        tf.debugging.Assert(
            known & uncompressed & (header >= _INFO_HEADER),
            ["a BMP must be uncompressed, with 1, 4, 8, 24 or 32 bits a pixel"],
        )
    ]
    rows = tf.abs(height)
    stride = (width * bits + 31) // 32 * 4
    start = number(padded, 10, 4)
    whole = (width > 0) & (rows > 0) & (start + stride * rows <= length(padded))
    checks.append(tf.debugging.Assert(whole, ["BMP is cut off or damaged"]))
    with tf.control_dependencies(checks):
        data = text(padded, start, stride * rows)
    data = tf.reshape(tf.io.decode_raw(data, tf.uint8), (rows, stride))
    # The last row comes first, unless the height is negative.
    data = tf.cond(height > 0, lambda: tf.reverse(data, [0]), lambda: data)
    return tf.cond(
        bits <= 8,
        lambda: _of_palette(padded, data, width, bits, _FILE_HEADER + header),
        lambda: _of_colours(data, width, bits // 8),
    )


def _of_colours(data: tf.Tensor, width: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
    pixels = data[:, : width * channels]
    pixels = tf.reshape(pixels, (tf.shape(data, tf.int64)[0], width, channels))
    return tf.reverse(pixels[..., :3], [-1])


def _of_palette(
    padded: tf.Tensor,
    data: tf.Tensor,
    width: tf.Tensor,
    bits: tf.Tensor,
    start: tf.Tensor,
) -> tf.Tensor:
    used = number(padded, 46, 4)
    colours = tf.where(used == 0, tf.bitwise.left_shift(tf.ones_like(bits), bits), used)
    palette = tf.io.decode_raw(text(padded, start, 4 * colours), tf.uint8)
    palette = tf.reverse(tf.reshape(palette, (-1, 4))[:, :3], [-1])
    # The leftmost pixel has a byte's highest bits.
    shifts = tf.range(8 - bits, -1, -bits)
    indices = tf.bitwise.right_shift(tf.cast(data, tf.int64)[..., None], shifts)
    indices %= tf.bitwise.left_shift(tf.ones_like(bits), bits)
    indices = tf.reshape(indices, (tf.shape(data, tf.int64)[0], -1))[:, :width]
    inside = tf.reduce_max(indices) < tf.shape(palette, tf.int64)[0]
    check = tf.debugging.Assert(inside, ["BMP has a pixel beyond its palette"])
    with tf.control_dependencies([check]):
        return tf.gather(palette, indices)


def _signed(value: tf.Tensor) -> tf.Tensor:
    return tf.where(value >= 2**31, value - 2**32, value)
