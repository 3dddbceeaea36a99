"""What the header of a JPEG tells."""

from typing import NamedTuple

from supcon_tf.data.decoding.orientation import PREFIX, orientation

_SCAN, _APP1 = 0xDA, 0xE1
# Some programs write a little behind the end.
_END, _TRAILER = b"\xff\xd9", 1024
_FRAMES = {0xC0 + k for k in range(16) if k not in (4, 8, 12)}


class JpegHeader(NamedTuple):
    """As the image is stored; `turn` is EXIF's orientation, 1 to 8."""

    height: int
    width: int
    turn: int


def jpeg_header(content: bytes) -> JpegHeader | None:
    """The header of a JPEG in grey or colours.

    None for another format or colour space, and where the header is damaged or the end
    is missing.
    """
    if content[:3] != b"\xff\xd8\xff" or _END not in content[-_TRAILER:]:
        return None
    place, exif, frame = 2, b"", b""
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            return None
        marker = content[place + 1]
        # Fill bytes may stand before a marker.
        if marker == 0xFF:
            place += 1
            continue
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == _APP1 and not exif and content[place + 4 : place + 10] == PREFIX:
            exif = content[place + 4 : place + 2 + size]
        if marker in _FRAMES:
            frame = content[place + 4 : place + 10]
        if marker == _SCAN:
            break
        place += 2 + max(size, 2)
    # Bits a sample, height, width, components.
    if len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3):
        return None
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    if not height or not width:
        return None
    return JpegHeader(height, width, orientation(exif))
