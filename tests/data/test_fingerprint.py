import json
import shutil

import numpy as np
import pytest

from supcon_tf.config import DataConfig
from supcon_tf.data import load, split_fingerprint
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.split_fingerprint import SplitFingerprint, digest_of_pixels
from supcon_tf.errors import UserError


def taken(folder, **options) -> Fingerprint:
    return load(
        DataConfig(dataset="folder", data_dir=str(folder), **options)
    ).fingerprint


@pytest.fixture
def tested_folder(image_folder, save_image):
    for index in range(3):
        save_image(image_folder / "test" / "cat" / f"{index}.png", 50 + index)
        save_image(image_folder / "test" / "dog" / f"{index}.png", 150 + index)
    return image_folder


def test_data_that_moved_has_the_same_fingerprint(tested_folder, tmp_path_factory):
    before = taken(tested_folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "renamed"
    shutil.move(tested_folder, elsewhere)
    assert taken(elsewhere).digest == before.digest
    assert before.difference(taken(elsewhere)) == ""


def test_every_difference_is_named_with_its_split(
    tested_folder, save_image, tmp_path_factory
):
    before = taken(tested_folder)
    root = tested_folder

    def swap():
        (root / "test" / "cat" / "0.png").rename(root / "test" / "dog" / "c.png")

    def other_class():
        for part in ("train", "test"):
            (root / part / "dog").rename(root / part / "wolf")

    changes = {
        "test: 1 image fewer (test/cat/0.png)": lambda: (
            root / "test" / "cat" / "0.png"
        ).unlink(),
        "test: 2 images more (test/dog/8.png, test/dog/9.png)": lambda: [
            save_image(root / "test" / "dog" / f"{index}.png") for index in (8, 9)
        ],
        "test: 1 image fewer (test/cat/0.png), 1 image more (test/dog/c.png)": swap,
        "test: other pixels (or another order, or another decoder)": lambda: save_image(
            root / "test" / "cat" / "0.png", 53
        ),
        "the classes are now without dog and with wolf": other_class,
    }
    for expected, change in changes.items():
        kept = shutil.copytree(root, tmp_path_factory.mktemp("kept") / "images")
        change()
        assert before.difference(taken(root)) == expected
        assert taken(root).digest != before.digest
        shutil.rmtree(root)
        shutil.move(kept, root)
    assert taken(root).digest == before.digest


def test_labels_and_file_sizes_are_compared_too():
    def of(dataset="x", classes=("a", "b"), owner="a", size=5, pixels="p"):
        examples = {"a": {}, "b": {}}
        examples[owner] = {"train/1.png": size}
        split = SplitFingerprint(examples, pixels, 1)
        return Fingerprint(dataset, classes, {"train": split, "test": split})

    for other, expected in (
        (of(owner="b"), "train, test: 1 image of another class (train/1.png)"),
        (of(size=6), "train, test: 1 image with a file of another size (train/1.png)"),
        (of(classes=("b", "a")), "the classes are in another order"),
        (of(dataset="y"), "data set x became y"),
        (of(), ""),
    ):
        assert of().difference(other) == expected
        assert (of().digest == other.digest) == (expected == "")


def test_a_fingerprint_survives_its_file():
    digits = load(DataConfig(limit_train=100, limit_test=30)).fingerprint
    text = digits.to_json()
    again = Fingerprint.from_json(text)
    assert again == digits
    assert again.digest == digits.digest == json.loads(text)["digest"]
    # Positions of consecutive images, not a line for each.
    whole = load(DataConfig(test_share=0.01, validation_share=0)).fingerprint
    assert len(whole.to_json()) < 15_000
    assert Fingerprint.from_json(whole.to_json()) == whole
    for damaged in ("", "{}", "[]", text.replace('"schema": 1', '"schema": 9')):
        with pytest.raises(UserError):
            Fingerprint.from_json(damaged)


def test_pixels_of_large_splits_are_sampled_and_that_is_kept(monkeypatch):
    images = np.random.default_rng(0).integers(256, size=(40, 4, 4, 3), dtype=np.uint8)
    whole, count = digest_of_pixels(images)
    assert count == 40
    changed = images.copy()
    changed[17, 0, 0, 0] ^= 1
    assert digest_of_pixels(changed)[0] != whole
    assert digest_of_pixels(images.reshape(40, 2, 8, 3))[0] != whole
    monkeypatch.setattr(split_fingerprint, "DIGESTED_WHOLE", 39 * 48)
    monkeypatch.setattr(split_fingerprint, "_DIGESTED_SAMPLE", 10 * 48)
    sampled, count = digest_of_pixels(images)
    assert count == 10
    for index, seen in ((0, True), (1, False), (39, True)):
        changed = images.copy()
        changed[index] ^= 1
        assert (digest_of_pixels(changed)[0] != sampled) == seen


def test_images_shared_by_two_splits_are_those_of_one_name_label_and_size():
    def of(**examples):
        split = SplitFingerprint(examples, "", 0)
        return Fingerprint("folder", ("a", "b"), {"train": split, "test": split})

    mine = of(a={"x.png": 1, "y.png": 2}, b={"z.png": 3})
    theirs = of(a={"x.png": 1, "y.png": 9, "z.png": 3}, b={})
    assert mine.shared("test", theirs, "train") == ["x.png"]
    assert mine.shared("validation", theirs, "train") == []
    assert mine.shared("test", theirs, "validation") == []
    other = Fingerprint("digits", ("a", "b"), theirs.splits)
    assert mine.shared("test", other, "train") == []
