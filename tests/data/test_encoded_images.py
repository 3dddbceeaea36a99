"""Images that stay encoded are those that are decoded at once, and use little."""

import concurrent.futures

import image_table
import numpy as np
import pytest
from PIL import Image

from supcon_tf.config import DataConfig
from supcon_tf.data import load
from supcon_tf.data.batches import Batches, evaluation_batches
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.pipeline import batches_of
from supcon_tf.errors import UserError


def loaded(folder, **options):
    return load(DataConfig("folder", str(folder), **options))


def streamed(folder, **options):
    return loaded(folder, cache_gib=0.0, **options)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A folder with every kind of file, each a class of its own."""
    root = tmp_path_factory.mktemp("kinds")
    for name, content in (image_table.in_all() | image_table.in_pillow()).items():
        for place in ("train", "test"):
            folder = root / place / name
            folder.mkdir(parents=True)
            for copy in range(2):
                ending = name.split("_")[0]
                ending = ending if len(ending) < 5 else "png"
                (folder / f"{copy}.{ending}").write_bytes(content)
    return root


def test_every_kind_of_file_has_the_same_pixels_streamed_and_cached(kinds):
    for options in (
        {},
        {"image_size": 17},
        {"image_size": 40, "crop_to_aspect_ratio": True},
    ):
        cached = loaded(kinds, validation_share=0.0, **options)
        encoded = streamed(kinds, validation_share=0.0, **options)
        for name in ("train", "test"):
            known, images = getattr(cached, name).images, getattr(encoded, name).images
            assert isinstance(images, EncodedImages)
            np.testing.assert_array_equal(images[:], known)
        assert encoded.fingerprint.digest == cached.fingerprint.digest
    batches = [
        list(evaluation_batches(data.test, 16).as_numpy_iterator())
        for data in (cached, encoded)
    ]
    for (one, labels), (same, their_labels) in zip(*batches, strict=True):
        np.testing.assert_array_equal(one, same)
        np.testing.assert_array_equal(labels, their_labels)


def test_encoded_images_are_indexed_as_an_array_is(kinds):
    split = streamed(kinds, validation_share=0.0).train
    images, array = split.images, split.images[:]
    rows = np.array([5, 3, 3, -1])
    mask = np.arange(len(images)) % 3 == 0
    for key in (
        *(0, -1, np.int64(4), slice(2, 9, 2), slice(3, 3), rows, [1, 2], mask),
        *((slice(2, 6), 1), (3, 2, 1, 0), (rows, slice(None), 4)),
    ):
        np.testing.assert_array_equal(images[key], array[key])
    assert images.shape == array.shape
    assert images.nbytes == array.nbytes
    assert len(images) == len(array) == len(list(images))
    np.testing.assert_array_equal(np.asarray(images), array)
    with pytest.raises(IndexError):
        images[len(images)]
    part = split.subset(rows).subset(np.array([0, 3]))
    assert isinstance(part.images, EncodedImages)
    np.testing.assert_array_equal(part.images[:], array[[5, -1]])
    np.testing.assert_array_equal(part.labels, split.labels[[5, -1]])


def test_any_number_of_threads_may_read(kinds):
    images = streamed(kinds, validation_share=0.0).train.images
    array = images[:]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        orders = [np.random.default_rng(k).permutation(len(images)) for k in range(16)]
        found = list(pool.map(images.__getitem__, orders))
        for order, pixels in zip(orders, found, strict=True):
            np.testing.assert_array_equal(pixels, array[order])


def test_only_what_is_looked_at_is_decoded(image_folder, monkeypatch):
    data = streamed(image_folder, validation_share=0.0)
    read = []
    image = data.train.images.source.image
    monkeypatch.setattr(
        Image,
        "open",
        lambda file, *args, real=Image.open, **options: (
            read.append(str(file)) or real(file, *args, **options)
        ),
    )
    data.train.images[:3]
    assert len(read) == 3
    assert image is data.train.images.source.image
    data.repeated(data.test)
    assert len(read) == 3


def broken(folder, label, count):
    files = sorted((folder / "train" / label).iterdir())[:count]
    for file in files:
        # A half, of which a header can be read.
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return files


@pytest.fixture
def tested_folder(image_folder, save_image):
    """`image_folder` with two test images of each class."""
    for label, value in (("cat", 5), ("dog", 205)):
        for index in range(2):
            save_image(image_folder / "test" / label / f"{index}.png", value + index)
    return image_folder


def test_a_bad_image_is_named_in_one_line_when_it_is_met(tested_folder, monkeypatch):
    (file,) = broken(tested_folder, "dog", 1)
    # So that the fingerprint does not meet it.
    monkeypatch.setattr("supcon_tf.data.split_fingerprint.DIGESTED_WHOLE", 0)
    monkeypatch.setattr("supcon_tf.data.split_fingerprint._DIGESTED_SAMPLE", 0)
    data = streamed(tested_folder, validation_share=0.0)
    batches = Batches(data.train, batch_size=10)
    with pytest.raises(UserError) as error:
        for _ in batches_of(batches.epoch(0), data.train):
            pass
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("--data_dir has an image that can't be decoded")
    assert "--skip_bad_images" in message
    assert f"{file} (" in message


def test_another_image_of_its_class_takes_the_place_of_a_bad_one(
    tested_folder, capsys, monkeypatch
):
    files = broken(tested_folder, "cat", 3)
    data = streamed(tested_folder, validation_share=0.0, skip_bad_images=True)
    assert len(data.train) == 20
    whole = data.train.images[:]
    np.testing.assert_array_equal(whole[:, 0, 0, 0] > 100, data.train.labels == 1)
    # The next that can be decoded; alone, among some, backwards, and once more.
    assert whole[:4, 0, 0, 0].tolist() == [3, 3, 3, 3]
    for rows in ([1], [7, 2, 0], list(range(20))[::-1]):
        np.testing.assert_array_equal(data.train.images[rows], whole[rows])
    images = np.concatenate(
        [images for images, _ in Batches(data.train, batch_size=10).epoch(0)]
    )
    assert (np.round(images[..., 0] * 255) == 3).all(axis=(1, 2)).sum() == 4
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert sorted(str(file) in " ".join(said) for file in files) == [True] * 3
    assert len(said) == 3
    assert len(data.train.images.left_out) == 3
    (remark,) = data.remarks[len(data.notes) :]
    assert remark.startswith(
        "replaced by others of their class, by --skip_bad_images, 3"
    )


def test_the_last_of_a_class_is_followed_by_its_first(tested_folder):
    cats = sorted((tested_folder / "train" / "cat").iterdir())
    cats[-1].write_bytes(b"broken")
    data = streamed(tested_folder, validation_share=0.0, skip_bad_images=True)
    assert data.train.images[9].max() == 0


def test_a_class_without_one_good_image_is_refused(tested_folder):
    broken(tested_folder, "cat", 10)
    with pytest.raises(UserError, match=r"none like .*cat"):
        streamed(tested_folder, validation_share=0.0, skip_bad_images=True)


def test_bad_held_out_images_are_left_out_as_when_cached(tested_folder):
    (tested_folder / "test" / "cat" / "0.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"test/cat/0\.png"):
        streamed(tested_folder, validation_share=0.0)
    options = {"validation_share": 0.0, "skip_bad_images": True}
    cached, encoded = (load(tested_folder, **options) for load in (loaded, streamed))
    np.testing.assert_array_equal(encoded.test.images[:], cached.test.images)
    np.testing.assert_array_equal(encoded.test.labels, cached.test.labels)
    assert encoded.notes[-1] == cached.notes[-1]
    assert "left out by --skip_bad_images, 1 image: " in encoded.notes[-1]
    (tested_folder / "test" / "cat" / "1.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="none of cat in a split"):
        streamed(tested_folder, **options)


def test_a_run_may_go_on_with_the_flag_that_a_bad_image_needs(tested_folder, capsys):
    before = streamed(tested_folder, validation_share=0.0)
    file = tested_folder / "train" / "cat" / "0.png"
    size = file.stat().st_size
    file.unlink()
    file.symlink_to(tested_folder / "nowhere")
    with pytest.raises(UserError, match=r"cat/0\.png"):
        streamed(tested_folder, validation_share=0.0)
    after = streamed(tested_folder, validation_share=0.0, skip_bad_images=True)
    assert size > 0
    assert len(after.train) == len(before.train)
    assert "cat/0.png (not a file)" in capsys.readouterr().err


def test_encoded_copies_of_training_images_are_counted_without_decoding(
    tested_folder, monkeypatch
):
    train = sorted((tested_folder / "train" / "cat").iterdir())
    for index in range(2):
        copy = tested_folder / "test" / "cat" / f"{index}.png"
        copy.write_bytes(train[index].read_bytes())
    data = streamed(tested_folder, validation_share=0.0)
    monkeypatch.setattr("supcon_tf.data.decoding.image_files.Image.open", None)
    assert data.repeated(data.test) == (2, 4)
    # Images of as many bytes as too many others are not looked at.
    monkeypatch.setattr("supcon_tf.data.repeated._FILES_READ", 3)
    found, looked_at = data.repeated(data.test)
    assert found <= looked_at < 4


def test_statistics_of_many_images_are_those_of_a_sample_and_that_is_said(
    tested_folder, monkeypatch
):
    exact = loaded(tested_folder, validation_share=0.0)
    of_all = exact.channel_statistics()
    assert not any("sample" in note for note in exact.notes)
    monkeypatch.setattr("supcon_tf.data.image_data.DIGESTED_WHOLE", 0)
    monkeypatch.setattr("supcon_tf.data.image_data._SAMPLE", 5)
    cached, encoded = (
        load(tested_folder, validation_share=0.0) for load in (loaded, streamed)
    )
    mean, deviation = cached.channel_statistics()
    np.testing.assert_array_equal((mean, deviation), encoded.channel_statistics())
    assert abs(mean - of_all[0]).max() > 0
    np.testing.assert_array_equal(encoded.channel_statistics(exact=True), of_all)
    for data in (cached, encoded):
        assert data.fingerprint.statistics_of == 5
        assert "of 5 training images, a seeded sample" in data.notes[-1]
