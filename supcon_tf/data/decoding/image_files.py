"""Image files to RGB pixels, through Pillow. `encoded` is its twin in TensorFlow."""

import functools
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile

from supcon_tf.data.decoding.orientation import TURNS, orientation

_KINDS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
# Pillow's raw modes of more than 8 bits a channel, such as RGB;16B of a PNG.
_DEEP = re.compile(r";16[BLN]")


class BadImage(Exception):
    """A file that is not an image that can be used; the message says why."""


@functools.cache
def suffixes() -> frozenset[str]:
    """Endings, in lower case, of the files that this Pillow reads."""
    extensions = Image.registered_extensions()
    return frozenset(end for end, kind in extensions.items() if kind in _KINDS)


def content_of(path: str) -> bytes:
    """What a file holds.

    Raises:
        BadImage: if it can't be read.
    """
    _refuse_no_file(path)
    try:
        with open(path, "rb", 0) as file:
            return file.read()
    except OSError as error:
        raise BadImage(error.strerror or str(error)) from error


def decoded(source: str | bytes) -> Image.Image:
    """An image in RGB: upright, its first frame, transparent pixels black.

    Args:
        source: path of its file, or what that holds.

    Raises:
        BadImage: if it can't be decoded, or has more than 8 bits a channel.
    """
    with _opened(source) as image:
        deep = any(_DEEP.search(str(tile[3])) for tile in image.tile)
        # Pillow would clip some of them, and cut others, to 8 bits.
        if deep or image.mode.startswith(("I", "F")):
            raise BadImage(f"must have 8 bits a channel, has mode {image.mode}")
        frame = image.tile[0][1] if image.format == "GIF" else None
        rgb = _on_black(image)
        if frame and rgb.size != (frame[2] - frame[0], frame[3] - frame[1]):
            # What the first frame of a GIF leaves out is transparent.
            canvas = Image.new("RGB", rgb.size)
            canvas.paste(rgb.crop(frame), frame[:2])
            rgb = canvas
        # Read after the pixels: a PNG may have it behind them. Pillow itself turns
        # TIFF, and shows no such block.
        turn = TURNS.get(orientation(image.info.get("exif") or b""))
        return rgb if turn is None else rgb.transpose(turn)


def fitted(
    image: Image.Image, size: tuple[int, int], crop_to_aspect_ratio: bool
) -> Image.Image:
    """An image in another size (W, H).

    Args:
        image: in RGB.
        size: to have.
        crop_to_aspect_ratio: keep its proportions, and of the image the largest window
            in its middle that has those of `size`; else its proportions change.
    """
    if image.size == size:
        return image
    if crop_to_aspect_ratio:
        (width, height), (wanted_width, wanted_height) = image.size, size
        wide = max(1, min(width, height * wanted_width // wanted_height))
        tall = max(1, min(height, width * wanted_height // wanted_width))
        left, top = (width - wide) // 2, (height - tall) // 2
        image = image.crop((left, top, left + wide, top + tall))
    return image.resize(size, Image.Resampling.BILINEAR)


def upright_size(path: str) -> tuple[int, int]:
    """(W, H) of an image when upright, from its header.

    Raises:
        BadImage: if it can't be read.
    """
    with _opened(path) as image:
        width, height = image.size
        turned = orientation(image.info.get("exif") or b"") >= 5
    return (height, width) if turned else (width, height)


def _on_black(image: Image.Image) -> Image.Image:
    """In RGB: colours weighed by their alpha.

    Dropping alpha would show colours that nobody sees. Black is what most programs
    store in pixels that are wholly transparent.
    """
    image.load()
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    canvas = Image.new("RGB", image.size)
    canvas.paste(seen, mask=seen.getchannel("A"))
    return canvas


def _refuse_no_file(path: str) -> None:
    # Opening a pipe would wait for someone to write into it.
    if not os.path.isfile(path):
        raise BadImage("not a file" if os.path.lexists(path) else "no longer there")


@contextmanager
def _opened(source: str | bytes) -> Iterator[ImageFile.ImageFile]:
    if isinstance(source, str):
        _refuse_no_file(source)
    file = source if isinstance(source, str) else io.BytesIO(source)
    suffixes()
    formats = [kind for kind in _KINDS if kind in Image.OPEN]
    try:
        # The content decides, not the name, but only among these kinds: Pillow hands
        # some others to programs of the system.
        with Image.open(file, formats=formats) as image:
            yield image
    except BadImage:
        raise
    # Decoders raise what they like about damaged files.
    except Exception as error:
        reason = " ".join(str(error).replace(repr(file), "it").split())
        raise BadImage(reason or type(error).__name__) from error
