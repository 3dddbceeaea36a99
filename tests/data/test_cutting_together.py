"""Images that are cut together give the parts that each of them gives alone."""

import dataclasses

import image_table
import numpy as np
import pytest
from PIL import Image
from test_cutting import encoded, some_crops

from supcon_tf.data.batches import Batches
from supcon_tf.data.decoding import cutting
from supcon_tf.data.decoding.cutting import cut, window
from supcon_tf.data.decoding.image_files import decoded
from supcon_tf.data.pipeline import batches_of
from supcon_tf.errors import UserError

SIZE = (32, 32)


@pytest.fixture(scope="module")
def photo():
    rough = np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8)
    return Image.fromarray(rough).resize((120, 90), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def jpegs(photo):
    """Small ones of several sizes, in grey and colours, progressive or not."""
    parts = [photo.crop((0, 0, 30 + 2 * k, 50 - k)) for k in range(12)]
    return [
        image_table.encoded(
            part.convert("L") if k % 5 == 4 else part,
            "JPEG",
            quality=80 + k,
            progressive=k % 3 == 0,
        )
        for k, part in enumerate(parts)
    ]


def no_decoder(content):
    raise AssertionError("another decoder was called")


def windows_of(contents, crops, keep_proportions, **options):
    return [
        window(content, no_decoder, its_crops, SIZE, keep_proportions, **options)
        for content, its_crops in zip(contents, crops, strict=True)
    ]


def resized_by_numpy(pixels, parts):
    """(V, H, W, 3) in [0, 1]: bilinear, of pixel centres, in float64."""
    found = []
    for part in parts:
        shown = pixels[part.top : part.bottom, part.left : part.right] / 255
        for axis, size in enumerate(SIZE):
            old = shown.shape[axis]
            places = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
            below = np.floor(places).astype(int)
            above = np.minimum(below + 1, old - 1)
            share = (places - below).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
            one, other = shown.take(below, axis), shown.take(above, axis)
            shown = one + share * (other - one)
        found.append(shown[:, ::-1] if part.mirrored else shown)
    return np.stack(found)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_parts_are_those_that_arithmetic_gives(jpegs, views):
    crops = some_crops(len(jpegs) * views).reshape(-1, views, 5)
    seen = windows_of(jpegs, crops, True, decode_later=False)
    assert not any(each.is_jpeg for each in seen)
    for found, each in zip(cut(seen, SIZE), seen, strict=True):
        pixels = np.frombuffer(each.content, np.uint8).reshape(*each.box[2:], 3)
        np.testing.assert_allclose(
            found, resized_by_numpy(pixels, each.parts), atol=1e-6
        )


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("keep_proportions", [False, True])
def test_jpegs_that_are_decoded_later_have_the_same_bits(
    jpegs, views, keep_proportions
):
    crops = some_crops(len(jpegs) * views).reshape(-1, views, 5)
    later = windows_of(jpegs, crops, keep_proportions)
    assert all(each.is_jpeg for each in later)
    now = windows_of(jpegs, crops, keep_proportions, decode_later=False)
    found = cut(later, SIZE)
    np.testing.assert_array_equal(found, cut(now, SIZE))
    assert 0 <= found.min() < found.max() <= 1
    assert {part.mirrored for each in later for part in each.parts} == {True, False}


def test_what_needs_more_than_a_window_is_decoded_at_once(photo, jpegs):
    whole = np.array([[1, 1, 0, 0, 0]], np.float32)
    turned = image_table.encoded(photo, "JPEG", exif=image_table.exif(6))
    large = image_table.encoded(photo.resize((300, 300)), "JPEG")
    # Made smaller across alone.
    broad = image_table.encoded(photo.resize((70, 40)), "JPEG")
    for content in (turned, large, broad):
        assert not window(content, no_decoder, whole, SIZE, False).is_jpeg
    assert window(jpegs[0], no_decoder, whole, SIZE, False).is_jpeg


def damaged(content):
    """With a header and an end that are whole, and no pixels."""
    return content[: content.index(b"\xff\xda")] + b"\xff\xda\xff\xd9"


def test_a_damaged_jpeg_is_told_by_none(jpegs):
    crops = some_crops(len(jpegs)).reshape(-1, 1, 5)
    seen = windows_of([*jpegs[:-1], damaged(jpegs[-1])], crops, True)
    assert all(each.is_jpeg for each in seen)
    assert cut(seen, SIZE) is None
    assert cut(seen[:-1], SIZE) is not None


@pytest.fixture
def folder(tmp_path, jpegs, photo):
    """Images of two classes: JPEGs, PNGs, turned and large ones."""
    others = [
        image_table.encoded(photo, "PNG"),
        image_table.encoded(photo, "JPEG", exif=image_table.exif(8)),
        image_table.encoded(photo.resize((300, 200)), "JPEG"),
    ]
    for index, content in enumerate([*jpegs, *others, *jpegs[:5]]):
        path = tmp_path / "train" / ("ape", "bee")[index % 2] / f"{index:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_mixed_images_keep_their_places(folder):
    images = encoded(folder, crop_to_aspect_ratio=True).images
    rows = np.random.default_rng(0).permutation(len(images))
    crops = some_crops(2 * len(rows)).reshape(-1, 2, 5)
    together = images.cut(rows, crops)
    for place, row in enumerate(rows):
        content = images.source.stored.content(int(images.indices[row]))
        pixels = np.asarray(decoded(content))
        seen = window(content, lambda _, p=pixels: p, crops[place], SIZE, True)
        np.testing.assert_array_equal(together[place], cut([seen], SIZE)[0])
        alone = images.cut(rows[place : place + 1], crops[place : place + 1])
        np.testing.assert_array_equal(together[place], alone[0])


def test_a_damaged_one_is_named_or_replaced_and_others_stay(folder):
    split, lenient = encoded(folder), encoded(folder, skip_bad_images=True)
    rows = np.arange(len(split.images))
    crops = some_crops(len(rows)).reshape(-1, 1, 5)
    whole = split.images.cut(rows, crops)
    file = folder / "train" / "ape" / "00.jpg"
    file.write_bytes(damaged(file.read_bytes()))
    with pytest.raises(UserError, match=r"ape/00\.jpg"):
        split.images.cut(rows, crops)
    found = lenient.images.cut(rows, crops)
    assert list(lenient.images.left_out) == [0]
    assert abs(found[0] - whole[0]).max() > 0
    np.testing.assert_array_equal(found[1:], whole[1:])


def test_one_that_another_decoder_knows_fails_with_others_once(folder, monkeypatch):
    images = encoded(folder).images
    file = folder / "train" / "ape" / "00.jpg"
    file.write_bytes(damaged(file.read_bytes()))
    stored = dataclasses.replace(
        images.source.stored, decode=lambda *_: np.full((9, 9, 3), 255, np.uint8)
    )
    images.source = dataclasses.replace(images.source, stored=stored)
    answers = []

    def watched(*given):
        answers.append(cut(*given))
        return answers[-1]

    monkeypatch.setattr(cutting, "cut", watched)
    rows, crops = np.array([3, 0, 2]), some_crops(3).reshape(-1, 1, 5)
    first, second = (images.cut(rows, crops) for _ in range(2))
    assert [answer is None for answer in answers] == [True, False, False]
    assert (first[1] == 1).all()
    np.testing.assert_array_equal(first, second)


def test_many_batches_at_once_do_not_wait_for_each_other(folder):
    """More of them than TensorFlow has threads, and each waits for a graph."""
    split = encoded(folder)
    several = [
        iter(batches_of(Batches(split, batch_size=2, **options).epoch(0), split))
        for options in [{"augmentation": "resized_crop", "seed": k} for k in range(8)]
    ]
    for _ in range(3):
        for batches in several:
            images, _ = next(batches)
            assert images.shape == (2, 32, 32, 3)
