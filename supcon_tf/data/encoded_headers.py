"""What the headers of an encoded image tell, in TensorFlow operations.

TensorFlow's decoders ignore EXIF, so that a photo of a turned camera stays turned, and
read some files otherwise than Pillow and browsers. `orientation` is the twin of the
function of that name in `supcon_tf.data.orientation`.
"""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.data.orientation import PREFIX, TAG

# Enough to read any number or name at the last byte of a file.
_PADDING = b"\0" * 16


def text(
    encoded: tf.Tensor, start: tf.Tensor | int, count: tf.Tensor | int
) -> tf.Tensor:
    """`count` bytes of a string; up to 16 beyond its end are zeros."""
    start = tf.clip_by_value(tf.cast(start, tf.int64), 0, length(encoded))
    count = tf.cast(count, tf.int64)
    there = tf.strings.substr(encoded, start, count)
    zero = tf.zeros([], tf.int64)
    return tf.strings.substr(tf.strings.join([there, _PADDING]), zero, count)


def number(
    encoded: tf.Tensor, start: tf.Tensor | int, size: int, big: bool | tf.Tensor
) -> tf.Tensor:
    """An unsigned number of 1 to 4 bytes, int64; `big` if its first byte is highest."""
    digits = tf.cast(tf.io.decode_raw(text(encoded, start, size), tf.uint8), tf.int64)
    digits = tf.where(big, tf.reverse(digits, [0]), digits)
    return tf.reduce_sum(digits * tf.constant([256**k for k in range(size)], tf.int64))


def length(encoded: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(encoded), tf.int64)


def jpeg_headers(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The EXIF block of a JPEG, and whether it is CMYK without Adobe's mark.

    Without the mark nothing tells whether 255 is full ink or none, and decoders differ.
    """

    def at(position: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        marker = number(encoded, position + 1, 1, True)
        is_frame = (marker >= 0xC0) & (marker <= 0xCF)
        for table in (0xC4, 0xC8, 0xCC):
            is_frame &= marker != table
        found = [
            (marker == 0xE1) & (text(encoded, position + 4, 6) == PREFIX),
            (marker == 0xEE) & (text(encoded, position + 4, 5) == b"Adobe"),
            is_frame & (number(encoded, position + 9, 1, True) == 4),
        ]
        step = 2 + tf.maximum(number(encoded, position + 2, 2, True), 2)
        # Fill bytes may stand before a marker; after the start of scan come pixels.
        step = tf.where(marker == 0xFF, tf.constant(1, tf.int64), step)
        ends = (marker == 0xDA) | (number(encoded, position, 1, True) != 0xFF)
        return tf.where(ends, length(encoded), position + step), found

    exif, adobe, cmyk = tf.unstack(_walk(encoded, 2, at, 3))
    size = number(encoded, exif + 2, 2, True) - 2
    return _block(encoded, exif, exif + 4, size), (cmyk >= 0) & (adobe < 0)


def png_headers(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The EXIF block of a PNG, and whether it has alpha or a transparent colour."""

    def at(position: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        kind = text(encoded, position + 4, 4)
        following = position + 12 + number(encoded, position, 4, True)
        following = tf.where(kind == b"IEND", length(encoded), following)
        return following, [kind == b"eXIf", kind == b"tRNS"]

    # Most have neither, and thousands of other chunks.
    some = tf.strings.regex_full_match(encoded, r"\C*(eXIf|tRNS)\C*")
    start = tf.where(some, tf.constant(8, tf.int64), length(encoded))
    exif, transparent = tf.unstack(_walk(encoded, start, at, 2))
    has_alpha = tf.bitwise.bitwise_and(number(encoded, 25, 1, True), 4) > 0
    size = number(encoded, exif, 4, True)
    return _block(encoded, exif, exif + 8, size), has_alpha | (transparent >= 0)


def webp_headers(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The EXIF block of a WebP image, and whether it is animated."""

    def at(position: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        size = number(encoded, position + 4, 4, False)
        kind = text(encoded, position, 4)
        return position + 8 + size + size % 2, [kind == b"EXIF", kind == b"ANIM"]

    exif, animation = tf.unstack(_walk(encoded, 12, at, 2))
    size = number(encoded, exif + 4, 4, False)
    return _block(encoded, exif, exif + 8, size), animation >= 0


def orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation, 1 (upright) to 8, that an EXIF block tells; int64."""
    exif = tf.where(text(exif, 0, 6) == PREFIX, text(exif, 6, length(exif)), exif)
    big = text(exif, 0, 4) == b"MM\0*"
    known = (big | (text(exif, 0, 4) == b"II*\0")) & (length(exif) >= 8)
    start = number(exif, 4, 4, big)
    known &= start + 2 <= length(exif)
    # No more entries than are there.
    count = tf.minimum(number(exif, start, 2, big), (length(exif) - start - 2) // 12)
    count = tf.where(known, count, tf.zeros_like(count))
    entries = tf.io.decode_raw(text(exif, start + 2, 12 * count), tf.uint8)
    entries = tf.cast(tf.reshape(entries, (-1, 12)), tf.int64)

    def field(start: int, size: int) -> tf.Tensor:
        digits = entries[:, start : start + size]
        digits = tf.where(big, tf.reverse(digits, [1]), digits)
        return tf.reduce_sum(digits * [256**k for k in range(size)], axis=1)

    kind = field(2, 2)
    value = tf.where(kind == 3, field(8, 2), field(8, 4))
    counts = (field(0, 2) == TAG) & ((kind == 3) | (kind == 4))
    counts &= (value >= 1) & (value <= 8)
    upright = tf.ones([1], tf.int64)
    return tf.concat([tf.boolean_mask(value, counts), upright], axis=0)[0]


def _walk(
    encoded: tf.Tensor,
    start: tf.Tensor | int,
    at: Callable[[tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]],
    count: int,
) -> tf.Tensor:
    """Where segments of `count` kinds first begin, -1 for what is not there.

    `at` gives for a segment's position the next one's, and whether it is of each kind.
    """

    def inside(position: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        return position < length(encoded)

    def step(position: tf.Tensor, first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        following, found = at(position)
        new = tf.stack(found) & (first < 0)
        return following, tf.where(new, position, first)

    begin = tf.cast(start, tf.int64)
    return tf.while_loop(inside, step, (begin, -tf.ones([count], tf.int64)))[1]


def _block(
    encoded: tf.Tensor, segment: tf.Tensor, start: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    size = tf.clip_by_value(size, 0, tf.maximum(length(encoded) - start, 0))
    return tf.where(segment < 0, tf.constant(b""), text(encoded, start, size))
