"""Every file of an image folder is used, or said."""

import os
import shutil
import unicodedata
from contextlib import suppress

import image_table
import numpy as np
import pytest
from PIL import Image

from supcon_tf.config import DataConfig
from supcon_tf.data import load, threads
from supcon_tf.data.decoding import image_files
from supcon_tf.errors import UserError


def config(folder, **options) -> DataConfig:
    return DataConfig("folder", str(folder), **options)


def refused(folder, **options) -> str:
    with pytest.raises(UserError) as error:
        load(config(folder, **options))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_ignored_is_said_in_one_line(image_folder, save_image):
    train = image_folder / "train"
    for index in range(3):
        save_image(train / "dog" / "deeper" / "still" / f"{index}.png")
    save_image(train / "beside.png")
    (train / "cat" / "notes.txt").write_text("none")
    save_image(image_folder / "holiday" / "cat" / "a.png")
    (image_folder / "README.md").write_text("none")
    assert load(config(image_folder)).notes == (
        "ignored: folder holiday; 1 file beside the folders of "
        f"{image_folder}; 1 file beside the class folders of train; "
        "3 files in sub-folders of train/dog; 1 file of other kinds in train/cat",
    )


def test_other_endings_of_images_are_read(image_folder):
    train = image_folder / "train" / "cat"
    rgb = Image.new("RGB", (6, 6), (3, 3, 3))
    for ending, kind in (
        (".webp", "WEBP"),
        (".bmp", "BMP"),
        (".gif", "GIF"),
        (".tif", "TIFF"),
        (".TIFF", "TIFF"),
        (".jfif", "JPEG"),
        (".jpe", "JPEG"),
    ):
        (train / f"z{ending}").write_bytes(image_table.encoded(rgb, kind))
    data = load(config(image_folder, validation_share=0.0, test_share=0.1))
    assert len(data.train) + len(data.test) == 27
    assert data.notes == ()


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_validation_folder_is_used_and_said(image_folder, save_image, name):
    for label in ("cat", "dog"):
        save_image(image_folder / name / label / "a.png", 77)
    data = load(config(image_folder))
    np.testing.assert_array_equal(data.validation.labels, [0, 1])
    assert (data.validation.images == 77).all()
    assert len(data.train) + len(data.test) == 20
    assert "2 of the 2 validation images that the data comes with" in data.notes[0]
    without = load(config(image_folder, validation_share=0.0))
    assert without.validation is None
    assert "ignored: 2 validation images" in without.notes[0]


def test_test_folder_is_found_by_other_spellings(image_folder, save_image):
    save_image(image_folder / "Testing" / "dog" / "a.png", 77)
    assert load(config(image_folder)).test.images.max() == 77
    save_image(image_folder / "test" / "dog" / "a.png", 78)
    assert "must have one test folder" in refused(image_folder)


def test_broken_links_are_refused(image_folder):
    link = image_folder / "test"
    link.symlink_to(image_folder / "unmounted")
    assert f"broken links for folders. Received: {link} ->" in refused(image_folder)
    link.unlink()
    (image_folder / "train" / "eel").symlink_to(image_folder / "unmounted")
    assert "broken links" in refused(image_folder)


def test_class_whose_test_files_are_all_unread_is_refused(image_folder, save_image):
    save_image(image_folder / "test" / "dog" / "a.png")
    (image_folder / "test" / "cat").mkdir()
    (image_folder / "test" / "cat" / "a.heic").write_bytes(b"x")
    message = refused(image_folder)
    assert str(image_folder / "test" / "cat") in message
    assert "1 file of other kinds in test/cat" in message


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", "a\u2028b".encode()])
def test_class_names_that_are_no_line_of_text_are_refused(image_folder, name):
    os.mkdir(os.path.join(os.fsencode(image_folder), b"train", name))
    message = refused(image_folder)
    assert "one line of UTF-8 text" in message
    message.encode("ascii")


def test_names_that_look_alike_are_shown_so_that_they_differ(image_folder, save_image):
    composed, decomposed = (
        unicodedata.normalize(form, "café") for form in ("NFC", "NFD")
    )
    for index in range(2):
        save_image(image_folder / "train" / composed / f"{index}.png")
    save_image(image_folder / "test" / decomposed / "0.png")
    message = refused(image_folder)
    assert r"'caf\xe9'" in message
    assert r"'cafe\u0301'" in message
    shutil.move(image_folder / "test" / decomposed, image_folder / "train")
    message = refused(image_folder)
    assert "look alike" in message
    assert r"'caf\xe9'" in message
    shutil.rmtree(image_folder / "train" / decomposed)
    save_image(image_folder / "test" / f"{composed} " / "0.png")
    assert r"'caf\xe9 '" in refused(image_folder)


def test_folder_that_cannot_be_read_is_named(image_folder, monkeypatch):
    closed = str(image_folder / "train" / "dog")

    def scandir(path, real=os.scandir):
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    assert f"can't be read: {closed} (Permission denied)" in refused(image_folder)


def test_pipe_among_the_images_is_refused_instead_of_waited_for(image_folder):
    pipe = image_folder / "train" / "cat" / "z.png"
    os.mkfifo(pipe)
    for size in (0, 6):
        assert f"{pipe} (not a file)" in refused(image_folder, image_size=size)


def test_all_broken_files_are_named_or_left_out(image_folder, save_image):
    cats = image_folder / "train" / "cat"
    for index in range(12):
        (cats / f"a{index:02}.png").write_bytes(b"broken")
    (cats / "gone.png").symlink_to(cats / "nowhere.png")
    for label, value in (("cat", 5), ("dog", 205)):
        save_image(image_folder / "test" / label / "a.png", value)
    message = refused(image_folder)
    assert "Received: 13 images:" in message
    assert message.count(".png (cannot identify") + message.count("(not a file)") == 10
    assert message.endswith("and 3 more")
    options = {"validation_share": 0.0, "skip_bad_images": True}
    data = load(config(image_folder, **options))
    assert (len(data.train), len(data.test)) == (20, 2)
    for split in (data.train, data.test):
        values = split.images.mean(axis=(1, 2, 3))
        np.testing.assert_array_equal(values > 100, split.labels == 1)
    assert data.notes[-1].startswith("left out by --skip_bad_images, 13 images: ")


def test_class_that_loses_all_its_images_is_refused(image_folder, save_image):
    save_image(image_folder / "test" / "dog" / "a.png")
    (image_folder / "test" / "cat").mkdir()
    (image_folder / "test" / "cat" / "a.png").write_bytes(b"broken")
    message = refused(image_folder, skip_bad_images=True)
    assert "none of cat" in message


def test_exif_that_cannot_be_written_again_is_no_error(image_folder):
    rgb = Image.fromarray(np.arange(108, dtype=np.uint8).reshape(6, 6, 3))
    file = image_folder / "train" / "cat" / "0.jpg"
    file.write_bytes(
        image_table.encoded(rgb, "JPEG", exif=image_table.exif(3), quality=95)
    )
    assert load(config(image_folder)).num_classes == 2
    assert np.asarray(image_files.decoded(str(file)))[0, 0].mean() > 80


@pytest.mark.filterwarnings("ignore")
def test_damaged_file_of_any_kind_is_a_bad_image(tmp_path):
    rng = np.random.default_rng(0)
    kinds = {**image_table.in_all(), **image_table.in_pillow()}
    if "AVIF" in Image.SAVE:
        rgb = Image.fromarray(image_table.colours())
        kinds["avif"] = image_table.encoded(rgb, "AVIF", exif=image_table.exif(6))
    file = tmp_path / "image"
    for encoded in kinds.values():
        for _ in range(8):
            odd = bytearray(encoded)
            for place in rng.integers(0, len(odd), 6):
                odd[place] = rng.integers(0, 256)
            file.write_bytes(odd[: rng.integers(1, len(odd) + 1)])
            for read in (image_files.decoded, image_files.upright_size):
                # Nothing else may be raised.
                with suppress(image_files.BadImage):
                    read(str(file))


def test_a_folder_is_listed_in_one_pass_without_a_look_at_the_files(
    image_folder, monkeypatch
):
    listed = []

    def scandir(path, real=os.scandir):
        listed.append(os.fspath(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    monkeypatch.setattr(image_files.Image, "open", None)
    with pytest.raises(UserError, match="can't be decoded"):
        load(config(image_folder, image_size=6))
    train = f"{image_folder}/train"
    assert listed == [str(image_folder), train, f"{train}/cat", f"{train}/dog"]


def test_no_more_than_some_images_wait_to_be_read():
    waiting = []

    class Items(list):
        def __getitem__(self, index):
            found = super().__getitem__(index)
            waiting.append(len(found))
            return found

    items = Items(range(100_000))
    results = threads.side_by_side(abs, items)
    assert next(results) == 0
    assert sum(waiting) < 5_000
    results.close()
