"""The sheet of thumbnails stays within what the projector's page accepts."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from supcon_tf.visualization.tensorboard.sprite import (
    sprite_sheet,
    thumbnail_size,
    thumbnails,
)

LIMIT = 8192


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(32, 32, 500), (224, 224, 500), (64, 64, 20_000), (224, 160, 100_000), (9, 3, 1)],
)
def test_a_sheet_never_exceeds_8192_pixels_and_no_image_is_enlarged(
    height, width, count
):
    small_height, small_width = thumbnail_size(height, width, count)
    columns = math.ceil(math.sqrt(count))
    assert columns * max(small_height, small_width) <= LIMIT
    assert 1 <= small_height <= height
    assert 1 <= small_width <= width
    assert small_height / small_width == pytest.approx(height / width, rel=0.1)


def test_images_up_to_64_pixels_are_shown_as_they_are():
    assert thumbnail_size(64, 48, 10_000) == (64, 48)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3), np.uint8)
    assert thumbnails(images, (64, 48)) is images


def test_larger_images_are_averaged_down():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1, :2, :2, 0] = [[0, 100], [100, 200]]
    small = thumbnails(images, (2, 2))
    assert small.shape == (2, 2, 2, 3)
    assert small[1, 0, 0, 0] == 100
    assert small.sum() == 100


@pytest.mark.slow
def test_a_sheet_of_100_000_images_is_one_that_the_page_takes():
    size = thumbnail_size(32, 32, 100_000)
    tile = np.full((*size, 3), 7, np.uint8)
    sheet = Image.open(io.BytesIO(sprite_sheet([tile] * 100_000)))
    assert max(sheet.size) <= LIMIT
    assert sheet.size[0] // size[1] == 317


def test_places_without_an_image_are_black():
    sheet = sprite_sheet([np.full((2, 3, 3), 9, np.uint8)] * 3)
    pixels = np.asarray(Image.open(io.BytesIO(sheet)))
    assert pixels.shape == (4, 6, 3)
    assert pixels[2:, 3:].max() == 0
    assert pixels[:2].min() == pixels[2:, :3].min() == 9
