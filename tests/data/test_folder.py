import numpy as np
import pytest
from PIL import Image

from supcon_tf.config import DataConfig
from supcon_tf.data import load
from supcon_tf.errors import UserError


def config(folder, **options) -> DataConfig:
    return DataConfig(dataset="folder", data_dir=str(folder), **options)


def refused(folder, **options) -> str:
    with pytest.raises(UserError) as error:
        load(config(folder, **options))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_classes_are_the_sorted_folders_of_train(image_folder):
    data = load(config(image_folder))
    assert data.class_names == ("cat", "dog")
    assert data.image_shape == (6, 6, 3)
    np.testing.assert_array_equal(
        data.train.images.mean(axis=(1, 2, 3)) > 100, data.train.labels == 1
    )


def files_of(data, split):
    return set(data.fingerprint.splits[split].images())


def test_test_share_is_held_out_of_each_class_without_a_test_folder(image_folder):
    data = load(config(image_folder, test_share=0.2))
    assert min(np.bincount(data.test.labels, minlength=2)) >= 1
    assert len(data.train) + len(data.validation) + len(data.test) == 20
    splits = [files_of(data, name) for name in ("train", "validation", "test")]
    assert len(set.union(*splits)) == sum(map(len, splits)) == 20


def test_what_was_trained_on_is_not_tested_once_there_are_more_files(
    image_folder, save_image
):
    before = load(config(image_folder))
    for index in range(30):
        save_image(image_folder / "train" / "cat" / f"1{index}.png", index)
        save_image(image_folder / "train" / "dog" / f"a{index}.png", index)
    after = load(config(image_folder))
    assert len(after.test) > len(before.test)
    for split in ("test", "validation"):
        assert not files_of(after, split) & files_of(before, "train")
    assert not files_of(after, "test") & files_of(before, "validation")


def test_a_run_of_an_earlier_version_keeps_its_held_out_images(image_folder):
    data = load(config(image_folder), held_out_by="order")
    assert data.fingerprint.held_out_by == "order"
    # Written down before images were held out by name.
    assert sorted(files_of(data, "test")) == [
        *("train/cat/1.png", "train/cat/7.png"),
        *("train/dog/3.JPG", "train/dog/7.JPG"),
    ]
    assert sorted(files_of(data, "validation")) == [
        "train/cat/2.png",
        "train/dog/9.JPG",
    ]


def test_given_test_folder_is_used(image_folder, save_image):
    save_image(image_folder / "test" / "dog" / "a.jpeg", 77)
    data = load(config(image_folder))
    np.testing.assert_array_equal(data.test.labels, [1])
    assert abs(int(data.test.images.mean()) - 77) <= 1
    assert len(data.train) + len(data.validation) == 20


def test_images_of_different_sizes_need_an_image_size(image_folder, save_image):
    odd = save_image(image_folder / "train" / "dog" / "z.png", 250, size=(9, 7))
    message = refused(image_folder)
    assert message.startswith("--image_size")
    assert "6x6" in message
    assert "7x9" in message
    assert str(odd) in message
    assert load(config(image_folder, image_size=8)).image_shape == (8, 8, 3)


@pytest.mark.parametrize("image_size", [0, 6])
@pytest.mark.parametrize("content", [b"", b"not an image", "truncated"])
def test_image_that_cannot_be_decoded_is_named(image_folder, content, image_size):
    broken = image_folder / "train" / "cat" / "5.png"
    if content == "truncated":
        content = broken.read_bytes()[:50]
    broken.write_bytes(content)
    message = refused(image_folder, image_size=image_size)
    assert message.startswith("--data_dir")
    assert str(broken) in message


def test_image_of_16_bits_is_refused_rather_than_clipped(image_folder):
    deep = image_folder / "train" / "cat" / "5.png"
    Image.fromarray(np.full((6, 6), 1000, np.uint16)).save(deep)
    message = refused(image_folder)
    assert "8 bits" in message
    assert str(deep) in message


def test_grayscale_palette_and_alpha_become_rgb(image_folder):
    for index, mode in enumerate(["L", "P", "RGBA"]):
        path = image_folder / "train" / "cat" / f"{index}.png"
        Image.open(path).convert(mode).save(path)
    data = load(config(image_folder, validation_share=0.0, test_share=0.1))
    cats = data.train.images[data.train.labels == 0]
    assert len(cats) + np.count_nonzero(data.test.labels == 0) == 10
    assert cats.max() <= 9


def test_image_is_turned_as_its_exif_tag_says(image_folder, save_image):
    save_image(image_folder / "test" / "cat" / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[:3] = 99
    Image.fromarray(pixels).save(image_folder / "train" / "cat" / "5.png", exif=exif)
    data = load(config(image_folder, validation_share=0.0))
    (turned,) = (
        image for image in data.train.images if image.max() == 99 and image.min() == 0
    )
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


def test_class_with_a_single_image_is_refused(image_folder, save_image):
    lonely = save_image(image_folder / "train" / "eel" / "1.png").parent
    message = refused(image_folder)
    assert message.startswith("--data_dir")
    assert f"1 in {lonely}" in message


def test_class_of_test_that_train_lacks_is_refused(image_folder, save_image):
    save_image(image_folder / "test" / "eel" / "1.png")
    message = refused(image_folder)
    assert message.startswith("--data_dir")
    assert "eel" in message


def test_missing_folder_is_named(tmp_path):
    message = refused(tmp_path / "nowhere")
    assert message.startswith("--data_dir must be a folder")
    assert "nowhere" in message


def test_folder_without_train_is_refused(tmp_path):
    assert "no folder" in refused(tmp_path)


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("none")
    assert "no images below" in refused(tmp_path)


def test_folder_of_one_class_is_refused(tmp_path, save_image):
    for name in "ab":
        save_image(tmp_path / "train" / "cat" / f"{name}.png")
    assert "at least 2 classes" in refused(tmp_path)


def test_hidden_files_and_folders_are_ignored(image_folder):
    (image_folder / "train" / ".cache").mkdir()
    (image_folder / "train" / "cat" / "._1.png").write_bytes(b"resource fork")
    assert load(config(image_folder)).num_classes == 2


def test_a_run_of_an_earlier_version_goes_on_without_a_validation_folder(
    image_folder, save_image
):
    for name in ("cat", "dog"):
        save_image(image_folder / "val" / name / "a.png")
    new, old = (load(config(image_folder), by) for by in ("name", "order"))
    assert files_of(new, "validation") == {"val/cat/a.png", "val/dog/a.png"}
    assert "train/cat/2.png" in files_of(old, "validation")
    assert "ignored: 2 validation images, as when the run was begun" in old.notes


def test_what_could_not_be_decoded_is_in_no_fingerprint(image_folder):
    (image_folder / "train" / "cat" / "5.png").write_bytes(b"")
    data = load(config(image_folder, skip_bad_images=True))
    names = set.union(*(files_of(data, s) for s in ("train", "validation", "test")))
    assert len(names) == 19
    assert "train/cat/5.png" not in names
