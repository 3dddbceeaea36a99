"""How the pixels of a file are turned, by EXIF's orientation tag alone.

Pillow's `exif_transpose` writes the other tags again and fails on odd ones; this reads
the one that matters. `encoded_headers` is its twin in TensorFlow operations.
"""

import struct

from PIL import Image

TAG = 0x0112
PREFIX = b"Exif\0\0"
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SHORT, _LONG = 3, 4


def orientation(exif: bytes) -> int:
    """The orientation, 1 (upright) to 8, that an EXIF block tells.

    It is the first tag of that number, a SHORT or LONG from 1 to 8, in the first
    directory; 1 where there is none or the block is damaged.
    """
    block = exif.removeprefix(PREFIX)
    order = _BYTE_ORDERS.get(block[:4])
    if order is None or len(block) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", block, 4)
    if start + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(order + "H", block, start)
    entries = block[start + 2 : start + 2 + 12 * count]
    for at in range(0, len(entries) // 12 * 12, 12):
        tag, kind = struct.unpack_from(order + "HH", entries, at)
        if tag == TAG and kind in (_SHORT, _LONG):
            code = order + ("H" if kind == _SHORT else "I")
            (value,) = struct.unpack_from(code, entries, at + 8)
            if 1 <= value <= 8:
                return value
    return 1
