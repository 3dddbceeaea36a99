"""What the headers of an encoded image tell, in TensorFlow operations.

TensorFlow's decoders ignore EXIF, so that a photo of a turned camera stays turned, and
read some files otherwise than Pillow and browsers. `orientation` is the twin of the
function of that name in `supcon_tf.data.decoding.orientation`.

All functions take bytes with `PADDING` behind them, so that fixed places of a header
can be read in a file of any length.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from supcon_tf.data.decoding.orientation import PREFIX, TAG

PADDING = b"\0" * 64
_FRAMES = [0xC0 + k for k in range(16) if k not in (4, 8, 12)]


def number(
    padded: tf.Tensor, start: tf.Tensor | int, size: int, big: bool = False
) -> tf.Tensor:
    """An unsigned number of 2 or 4 bytes, int64; `big` if its first byte is highest."""
    kind = {2: tf.uint16, 4: tf.int32}[size]
    value = tf.io.decode_raw(text(padded, start, size), kind, little_endian=not big)
    # TensorFlow reads no unsigned number of 4 bytes.
    return tf.cast(value[0], tf.int64) % 256**size


def text(
    padded: tf.Tensor, start: tf.Tensor | int, count: tf.Tensor | int
) -> tf.Tensor:
    start, count = (tf.cast(value, tf.int64) for value in (start, count))
    return tf.strings.substr(padded, start, count)


def length(padded: tf.Tensor) -> tf.Tensor:
    """How many bytes there are before the padding, int64."""
    return tf.cast(tf.strings.length(padded), tf.int64) - len(PADDING)


def jpeg_headers(padded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The EXIF block of a JPEG, and whether it is CMYK without Adobe's mark.

    Without the mark nothing tells whether 255 is full ink or none, and decoders differ.
    """
    end = length(padded)

    def at(position: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        head = tf.io.decode_raw(text(padded, position, 10), tf.uint8)
        head = tf.cast(head, tf.int64)
        marker = head[1]
        found = [
            (marker == 0xE1) & tf.reduce_all(head[4:10] == list(PREFIX)),
            (marker == 0xEE) & tf.reduce_all(head[4:9] == list(b"Adobe")),
            tf.reduce_any(marker == _FRAMES) & (head[9] == 4),
        ]
        following = position + 2 + tf.maximum(head[2] * 256 + head[3], 2)
        # Fill bytes may stand before a marker; after the start of scan come pixels.
        following = tf.where(marker == 0xFF, position + 1, following)
        is_last = (marker == 0xDA) | (head[0] != 0xFF)
        return tf.where(is_last, end, following), found

    # Most have neither; a walk through the segments takes as long as a small image.
    some = tf.strings.regex_full_match(padded, r"\C*Exif\x00\x00\C*")
    some |= tf.io.extract_jpeg_shape(padded)[2] == 4
    start = tf.where(some, tf.constant(2, tf.int64), end)
    exif, adobe, cmyk = _first_segments(padded, start, at, 3)
    size = number(padded, tf.maximum(exif, 0) + 2, 2, big=True) - 2
    return _block(padded, exif, 4, size), (cmyk >= 0) & (adobe < 0)


def png_headers(padded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The EXIF block of a PNG, and whether it has alpha or a transparent colour."""
    end = length(padded)

    def at(position: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        kind = text(padded, position + 4, 4)
        following = position + 12 + number(padded, position, 4, big=True)
        following = tf.where(kind == b"IEND", end, following)
        return following, [kind == b"eXIf", kind == b"tRNS"]

    # Most have neither, and thousands of other chunks.
    some = tf.strings.regex_full_match(padded, r"\C*(eXIf|tRNS)\C*")
    start = tf.where(some, tf.constant(8, tf.int64), end)
    exif, transparent = _first_segments(padded, start, at, 2)
    size = number(padded, tf.maximum(exif, 0), 4, big=True)
    colour_type = number(padded, 24, 2, big=True)
    has_alpha = tf.bitwise.bitwise_and(colour_type, 4) > 0
    return _block(padded, exif, 8, size), has_alpha | (transparent >= 0)


def webp_headers(padded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The EXIF block of a WebP image, and whether it is animated."""

    def at(position: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        size = number(padded, position + 4, 4)
        kind = text(padded, position, 4)
        return position + 8 + size + size % 2, [kind == b"EXIF", kind == b"ANIM"]

    exif, animation = _first_segments(padded, 12, at, 2)
    size = number(padded, tf.maximum(exif, 0) + 4, 4)
    return _block(padded, exif, 8, size), animation >= 0


def orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation, 1 (upright) to 8, that an EXIF block tells; int64."""
    shift = tf.where(text(exif, 0, len(PREFIX)) == PREFIX, len(PREFIX), 0)
    exif = text(exif, shift, length(exif) + len(PADDING))
    end = tf.cast(tf.strings.length(exif), tf.int64) - len(PADDING)
    big = text(exif, 0, 4) == b"MM\0*"
    known = big | (text(exif, 0, 4) == b"II*\0")
    # What a byte counts for in numbers of 2 and of 4 bytes.
    short = tf.where(big, [256, 1], [1, 256])
    long = tf.where(big, 256 ** np.arange(4)[::-1], 256 ** np.arange(4))

    def numbers(found: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(weights, tf.int64)
        return tf.reduce_sum(tf.cast(found, tf.int64) * weights, axis=-1)

    def read(start: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
        return tf.io.decode_raw(text(exif, start, count), tf.uint8)

    start = tf.minimum(numbers(read(4, 4), long), end)
    # No more entries than are there.
    count = tf.minimum(numbers(read(start, 2), short), (end - start - 2) // 12)
    count = tf.where(known, tf.maximum(count, 0), tf.zeros_like(count))
    entries = tf.reshape(read(start + 2, 12 * count), (-1, 12))
    kind = numbers(entries[:, 2:4], short)
    value = tf.where(
        kind == 3, numbers(entries[:, 8:10], short), numbers(entries[:, 8:], long)
    )
    counts = (numbers(entries[:, :2], short) == TAG) & ((kind == 3) | (kind == 4))
    counts &= (value >= 1) & (value <= 8)
    upright = tf.ones([1], tf.int64)
    return tf.concat([tf.boolean_mask(value, counts), upright], axis=0)[0]


def _first_segments(
    padded: tf.Tensor,
    start: tf.Tensor | int,
    at: Callable[[tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]],
    count: int,
) -> list[tf.Tensor]:
    """Where the first segment of each of `count` kinds begins, -1 if there is none.

    `at` gives for a segment's position the next one's, and whether it is of each kind.
    """
    end = length(padded)

    def step(position: tf.Tensor, first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        following, found = at(position)
        return following, tf.where(tf.stack(found) & (first < 0), position, first)

    begin = (tf.cast(start, tf.int64), tf.constant([-1] * count, tf.int64))
    walked = tf.while_loop(lambda position, _: position < end, step, begin)
    return tf.unstack(walked[1])


def _block(
    padded: tf.Tensor, segment: tf.Tensor, header: int, size: tf.Tensor
) -> tf.Tensor:
    """What a segment holds, padded; nothing if there is no such segment."""
    start = tf.minimum(tf.maximum(segment, 0) + header, length(padded))
    size = tf.clip_by_value(size, 0, length(padded) - start)
    size = tf.where(segment < 0, tf.zeros_like(size), size)
    return tf.strings.join([text(padded, start, size), PADDING])
