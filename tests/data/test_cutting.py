"""Parts that are cut from encoded images are those of the decoded ones."""

import itertools

import image_table
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from supcon_tf.config import DataConfig
from supcon_tf.data import load
from supcon_tf.data.batches import Batches
from supcon_tf.data.decoding import cutting
from supcon_tf.data.decoding.cutting import cut, window
from supcon_tf.data.decoding.image_files import decoded
from supcon_tf.data.decoding.parts import pixel_parts
from supcon_tf.data.pipeline import batches_of
from supcon_tf.errors import UserError

# A part of a JPEG may differ in the rows and columns at its edge, whose colours are
# interpolated without their neighbours.
EDGE = 12


def some_crops(count, seed=0):
    """The whole image, a smallest part, and others."""
    rng = np.random.default_rng(seed)
    crops = np.stack(
        [
            rng.uniform(0.08, 1, count),
            np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), count)),
            *rng.uniform(0, 1, (2, count)),
            rng.uniform(0, 1, count) < 0.5,
        ],
        axis=1,
    ).astype(np.float32)
    crops[0], crops[1] = [1, 1, 0, 0, 0], [0.08, 0.75, 1, 1, 1]
    return crops


def whole_pixels(content):
    return np.asarray(decoded(content))


def parts_of(content, crops, size, keep_proportions, decode=None):
    given = (content, decode, crops, size, keep_proportions)
    (now,) = cut([window(*given, decode_later=False)], size)
    assert np.isfinite(now).all()
    later = cut([window(*given)], size)
    # None if the JPEG is damaged.
    if later is not None:
        np.testing.assert_array_equal(later[0], now)
    return now * 255


def by_whole(pixels, crops, size, keep_proportions):
    """The same parts, of all decoded pixels."""
    found = []
    parts = pixel_parts(crops, pixels.shape[:2], size, keep_proportions)
    for top, left, bottom, right, flip in parts:
        part = tf.image.resize(pixels[top:bottom, left:right], size).numpy()
        found.append(part[:, ::-1] if flip else part)
    return np.stack(found)


def test_parts_of_every_kind_are_those_of_its_pixels():
    table = image_table.in_all() | image_table.in_pillow()
    crops = some_crops(8)
    for name, content in table.items():
        pixels = whole_pixels(content)
        for keep in (False, True):
            found = parts_of(content, crops, (20, 22), keep, whole_pixels)
            expected = by_whole(pixels, crops, (20, 22), keep)
            allowed = EDGE if name.startswith("jpeg") else 0.01
            assert abs(found - expected).max() <= allowed, name
            assert abs(found - expected).mean() <= allowed / 20, name


@pytest.fixture(scope="module")
def photo():
    """Smooth, 640 pixels wide and 480 tall."""
    rough = np.random.default_rng(2).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(rough).resize((640, 480), Image.Resampling.BICUBIC)


def test_a_turned_photo_gives_the_parts_of_the_upright_one(photo):
    crops = some_crops(6)
    for turn in range(1, 9):
        content = image_table.encoded(
            photo, "JPEG", quality=95, exif=image_table.exif(turn)
        )
        pixels = whole_pixels(content)
        assert pixels.shape[0] == (640 if turn >= 5 else 480)
        found = parts_of(content, crops, (60, 60), True)
        # Which is made smaller by another decoder.
        twin = image_table.encoded(Image.fromarray(pixels), "PNG")
        expected = parts_of(twin, crops, (60, 60), True, whole_pixels)
        assert abs(found - expected).mean() < 1, turn
        assert abs(found - expected).max() < 24, turn


def test_large_photos_are_made_smaller_while_they_are_decoded(photo, monkeypatch):
    asked = []

    def decode(content, box, channels, ratio, real=tf.io.decode_and_crop_jpeg, **o):
        asked.append((ratio, box.numpy().tolist()))
        return real(content, box, channels, ratio, **o)

    content = image_table.encoded(photo, "JPEG", quality=95)
    pixels = whole_pixels(content)
    whole, quarter = [1, 1, 0, 0, 0], [0.25, 1, 0, 0, 0]
    for crops, side, ratio, box in (
        ([whole], 50, 8, [0, 0, 60, 80]),
        ([whole], 61, 4, [0, 0, 120, 160]),
        ([whole], 400, 1, [0, 0, 480, 640]),
        ([quarter], 400, 1, [0, 0, 240, 320]),
        ([whole, quarter], 100, 2, [0, 0, 240, 320]),
    ):
        crops = np.array(crops, np.float32)
        size = (side, side)
        with monkeypatch.context() as patch:
            patch.setattr(cutting.tf.io, "decode_and_crop_jpeg", decode)
            seen = window(content, None, crops, size, False, decode_later=False)
        found = cut([seen], size)[0] * 255
        assert asked.pop() == (ratio, box)
        for part, crop in zip(found, crops, strict=True):
            rows, columns = (int(side * crop[0] ** 0.5) for side in pixels.shape[:2])
            expected = Image.fromarray(pixels[:rows, :columns]).resize(size)
            assert abs(part - np.asarray(expected)).mean() < 3
    assert asked == []


def test_a_large_part_is_not_seen_through_a_comb():
    """Stripes of one pixel are grey when made smaller, in every format."""
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    for kind in ("PNG", "JPEG"):
        content = image_table.encoded(Image.fromarray(stripes), kind, quality=95)
        crops = np.array([[1, 1, 0, 0, 0], [0.1, 1, 0, 0, 0]], np.float32)
        whole, part = parts_of(content, crops, (40, 40), True, whole_pixels)
        assert abs(whole - 127.5).max() < 24, kind
        assert abs(part - 127.5).mean() < 30, kind


def test_small_photos_are_made_larger():
    content = image_table.encoded(Image.new("RGB", (1, 3), (9, 99, 199)), "PNG")
    for size in (1, 8):
        found = parts_of(content, some_crops(5), (size, size), True, whole_pixels)
        expected = np.broadcast_to([9, 99, 199], found.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.fixture
def photos(tmp_path, photo):
    """20 photos of two classes, as JPEG and PNG."""
    for index in range(20):
        folder = tmp_path / "train" / ("ape", "bee")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        part = photo.crop((20 * index, 0, 20 * index + 90, 60 + 4 * index))
        part.save(folder / f"{index}.{('jpg', 'png')[index % 4 > 1]}", quality=95)
    return tmp_path


def encoded(folder, **options):
    options = {"cache_gib": 0.0, "validation_share": 0.0, "image_size": 32, **options}
    return load(DataConfig("folder", str(folder), **options)).train


def pixels_of(split, epoch=0, start=0, rows=None, **options):
    options = {"batch_size": 4, "augmentation": "resized_crop", **options}
    dataset = Batches(split, **options).epoch(epoch, start, rows)
    return np.stack([images for images, _ in dataset.as_numpy_iterator()])


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["resized_crop", "simclr"])
def test_batches_of_parts_are_the_same_wherever_they_are_made(photos, policy):
    for crop_to_aspect_ratio in (False, True):
        split = encoded(photos, crop_to_aspect_ratio=crop_to_aspect_ratio)
        options = {"augmentation": policy, "views": 2}
        whole = pixels_of(split, **options)
        assert whole.shape[1:] == (4, 2, 32, 32, 3)
        assert 0 <= whole.min() < whole.max() <= 1
        np.testing.assert_array_equal(pixels_of(split, start=2, **options), whole[2:])
        for rows in ((0, 2), (2, 4), (3, 4)):
            part = pixels_of(split, rows=rows, **options)
            np.testing.assert_array_equal(part, whole[:, slice(*rows)])
        assert abs(whole[:, :, 0] - whole[:, :, 1]).mean() > 0.01
        assert abs(pixels_of(split, epoch=1, **options) - whole).mean() > 0.01
        one = pixels_of(split, augmentation=policy)
        assert one.shape[1:] == (4, 32, 32, 3)


def test_the_same_parts_are_cut_from_stored_and_from_decoded_images(tmp_path, photo):
    for index in range(12):
        folder = tmp_path / "train" / ("ape", "bee")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        part = photo.crop((50 * index, 0, 50 * index + 60, 48))
        part.save(folder / f"{index}.png")
    options = {"image_size": 0, "test_share": 0.1}
    for policy in ("resized_crop", "simclr"):
        one, same = (
            pixels_of(
                encoded(tmp_path, cache_gib=gib, **options),
                augmentation=policy,
                views=2,
            )
            for gib in (0.0, 1.0)
        )
        # Their ends are rounded to pixels.
        assert abs(one - same).mean() < 0.01
        assert abs(one - same).max() < 0.1


def test_sizes_and_types_are_known_before_a_part_is_cut(photos):
    for views in (1, 2):
        batches = Batches(
            encoded(photos), batch_size=4, augmentation="resized_crop", views=views
        )
        images, _ = batches.epoch(0).element_spec
        assert images.shape == ((4, 32, 32, 3) if views == 1 else (4, 2, 32, 32, 3))
        assert images.dtype == tf.float32


def test_a_cut_off_photo_is_named_or_replaced(photos, capsys):
    file = photos / "train" / "ape" / "0.jpg"
    content = file.read_bytes()
    data = encoded(photos)
    file.write_bytes(content[: len(content) // 2])
    batches = Batches(data, batch_size=4, augmentation="resized_crop")
    epochs = (batches_of(batches.epoch(epoch), data) for epoch in range(9))
    with pytest.raises(UserError, match=r"ape/0\.jpg \(") as error:
        list(itertools.chain.from_iterable(epochs))
    assert "\n" not in str(error.value)
    data = encoded(photos, skip_bad_images=True)
    for epoch in range(2):
        assert np.isfinite(pixels_of(data, epoch)).all()
    assert len(data.images.left_out) == 1
    assert capsys.readouterr().err.count("left out by --skip_bad_images") == 1


def test_damaged_headers_of_photos_are_no_errors_of_the_parser(photo):
    def black(content):
        return np.zeros((9, 9, 3), np.uint8)

    content = image_table.encoded(photo, "JPEG", exif=image_table.exif(6))
    rng = np.random.default_rng(0)
    answered = 0
    for _ in range(200):
        odd = bytearray(content)
        for place in rng.integers(2, 700, 3):
            odd[place] = rng.integers(0, 256)
        odd = bytes(odd[: rng.integers(1, 4 * len(odd))])
        found = parts_of(odd, some_crops(2), (8, 8), True, black)
        answered += found.max() > 0
    assert 0 < answered < 200
