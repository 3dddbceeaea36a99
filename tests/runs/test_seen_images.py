"""What is known, refused and said of images that a model may have seen."""

import numpy as np
import pytest

from supcon_tf.config import Config, EvaluationConfig
from supcon_tf.data import ImageData, Split
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.split_fingerprint import SplitFingerprint
from supcon_tf.errors import UserError
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.runs.seen_images import facts, part_in_training, refuse_seen_images

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(30, 4, 4, 3), dtype=np.uint8)


def split(numbers):
    numbers = list(numbers)
    return Split(IMAGES[numbers], np.zeros(len(numbers), np.int64))


def data(train, validation, test):
    """Images by their numbers, all of one class."""
    numbers = {"train": train, "validation": validation, "test": test}
    prints = {
        name: SplitFingerprint({"a": {f"train/{n}.png": n for n in which}}, "", 0)
        for name, which in numbers.items()
    }
    splits = [split(which) for which in (train, validation, test)]
    return ImageData("x", ("a",), *splits, Fingerprint("x", ("a",), prints))


HELD_OUT = data(range(20), range(20, 25), range(25, 30))


@pytest.fixture
def begun(tmp_path):
    """A run folder with its config and what its images were."""

    def begin(name, images=HELD_OUT, init_from="", trained=False):
        folder = RunFolder(tmp_path / name)
        config = Config.from_flag_values({"init_from": str(init_from)})
        folder.begin(config, images.fingerprint if images else None)
        if trained:
            folder.metrics_file.touch()
        return folder, config

    return begin


def test_a_run_from_nothing_has_seen_nothing(begun):
    folder, config = begun("new")
    assert facts(config, HELD_OUT, "test") == []
    assert part_in_training(folder, config, HELD_OUT) == (
        " that played no part in training."
    )
    refuse_seen_images(folder, config, HELD_OUT)


def test_a_run_is_not_begun_from_one_that_saw_its_test_images(begun, capsys):
    earlier, _ = begun("earlier")
    folder, config = begun("new", init_from=earlier.path)
    refuse_seen_images(folder, config, HELD_OUT)
    assert capsys.readouterr().err == ""
    other = data(range(20), range(20, 27), (3, 5, 28))
    with pytest.raises(UserError) as caught:
        refuse_seen_images(folder, config, other)
    message = str(caught.value)
    assert message.startswith(f"--init_from={earlier.path} leads to a model that was")
    assert "on 2 of the test images: train/3.png, train/5.png" in message
    # Validation images are judged less strictly.
    refuse_seen_images(folder, config, data(range(5, 20), range(5), range(25, 30)))
    assert "5 of the 5 validation images were training images of" in (
        capsys.readouterr().err
    )


def test_runs_are_followed_to_the_first_and_not_in_circles(begun):
    first, _ = begun("first", data((27, 28), (1,), (2,)))
    middle, _ = begun("middle", init_from=first.path)
    folder, config = begun("last", init_from=middle.path)
    with pytest.raises(UserError, match=r"on 2 of the test images.*of .*first"):
        refuse_seen_images(folder, config, HELD_OUT)
    begun("first", init_from=folder.path)
    assert facts(config, HELD_OUT, "test") == []


def test_what_is_not_known_of_a_run_before_is_said(begun, capsys, tmp_path):
    for earlier in (begun("old", images=None)[0].path, tmp_path / "gone"):
        folder, config = begun("new", init_from=earlier)
        refuse_seen_images(folder, config, HELD_OUT)
        said = capsys.readouterr().err
        assert f"note: whether test images were training images of {earlier}" in said
        assert "played no part" not in part_in_training(folder, config, HELD_OUT)
    # What was written down later than the first step says nothing of the first.
    late, _ = begun("late", images=None, trained=True)
    late.begin(late.config(), HELD_OUT.fingerprint)
    _, config = begun("newer", init_from=late.path)
    assert "is not known" in facts(config, HELD_OUT, "test")[0]


def test_a_run_that_saw_its_test_images_may_go_on_and_says_so(begun, capsys):
    earlier, _ = begun("earlier", data(range(25, 30), (1,), (2,)))
    folder, config = begun("begun", init_from=earlier.path, trained=True)
    refuse_seen_images(folder, config, HELD_OUT)
    words = f"5 of the 5 test images were training images of {earlier.path}"
    assert words in capsys.readouterr().err
    assert words in part_in_training(folder, config, HELD_OUT)


def test_a_run_older_than_its_data_json_claims_nothing(begun):
    folder, config = begun("old", images=None, trained=True)
    assert "can't be checked" in part_in_training(folder, config, HELD_OUT)
    folder.begin(config, HELD_OUT.fingerprint)
    assert folder.fingerprint().digest == HELD_OUT.fingerprint.digest
    assert "can't be checked" in part_in_training(folder, config, HELD_OUT)


def test_test_images_that_are_training_images_are_counted(begun):
    images = HELD_OUT.train.images.copy()
    copies = HELD_OUT.test.images.copy()
    copies[1], copies[4] = images[7], images[7]
    # Equal in the row that is compared first, and another image.
    copies[2, 2] = images[9, 2]
    repeated = ImageData(
        *("x", ("a",), Split(images, HELD_OUT.train.labels), None),
        Split(copies, HELD_OUT.test.labels),
        HELD_OUT.fingerprint,
    )
    slow = sum(any((one == other).all() for other in images) for one in copies)
    assert repeated.repeated(repeated.test).found == slow == 2
    assert HELD_OUT.repeated(HELD_OUT.test).found == 0
    folder, config = begun("new")
    assert part_in_training(folder, config, repeated) == (
        "; 2 of the 5 test images are byte for byte training images."
    )


def test_validation_images_are_not_said_to_have_played_no_part(begun):
    folder, _ = begun("new")
    config = Config(evaluation=EvaluationConfig(split="validation"))
    assert part_in_training(folder, config, HELD_OUT) == " that were not trained on."
