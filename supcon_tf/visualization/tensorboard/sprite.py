"""The sheet of small images that the projector shows in place of points."""

import math
from collections.abc import Iterable
from io import BytesIO

import numpy as np
from PIL import Image

# The projector's page refuses a sheet that is larger on either side.
MAX_SHEET = 8192
# Larger ones can't be told apart on the page, and a sheet is written every snapshot.
MAX_THUMBNAIL = 64


def thumbnail_size(height: int, width: int, count: int) -> tuple[int, int]:
    """Height and width of each of `count` images, so that a sheet of them is allowed.

    Images are scaled down rather than left out; they are never enlarged.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.
        count: images on the sheet.
    """
    largest = min(MAX_THUMBNAIL, MAX_SHEET // _columns(count))
    scale = min(1.0, largest / max(height, width))
    return max(1, int(height * scale)), max(1, int(width * scale))


def thumbnails(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, H, W, 3) uint8 images, averaged down to `size` (height, width)."""
    if images.shape[1:3] == size:
        return images
    box = (size[1], size[0])
    scaled = [Image.fromarray(i).resize(box, Image.Resampling.BOX) for i in images]
    return np.stack([np.asarray(image) for image in scaled])


def sprite_sheet(images: Iterable[np.ndarray]) -> bytes:
    """A PNG of all images, row by row, on as square a grid as there is.

    Args:
        images: (H, W, 3) uint8 each, all of one size.
    """
    tiles = np.stack(list(images))
    count, height, width, channels = tiles.shape
    columns = _columns(count)
    rows = math.ceil(count / columns)
    grid = np.zeros((rows * columns, height, width, channels), np.uint8)
    grid[:count] = tiles
    grid = grid.reshape(rows, columns, height, width, channels)
    sheet = grid.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    file = BytesIO()
    Image.fromarray(sheet).save(file, format="PNG")
    return file.getvalue()


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))
