import http.server
import socket
import threading
import time
import urllib.error

import numpy as np
import pytest
import tensorflow_datasets as tfds

from supcon_tf.config import DataConfig
from supcon_tf.data import load
from supcon_tf.data.sources import tfds_access
from supcon_tf.errors import UserError

pytestmark = pytest.mark.slow


class _Toy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Three classes; every pixel of an image of class c lies in [50 c, 50 c + 50)."""

    VERSION = tfds.core.Version("1.0.0")
    SHAPE = (8, 8, 3)
    SPLITS = ("train", "test")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=self.SHAPE),
                    "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in self.SPLITS}

    def _generate_examples(self, name):
        for index in range(30 if name == "train" else 12):
            yield index, self.example(index)

    def example(self, index):
        shape = (8, 8, self.SHAPE[-1])
        return {
            "image": np.full(shape, 50 * (index % 3) + index, np.uint8),
            "label": index % 3,
        }


class ToyColour(_Toy):
    pass


class ToyGray(_Toy):
    SHAPE = (8, 8, 1)
    SPLITS = ("train", "validation")


class ToyAlpha(_Toy):
    SHAPE = (8, 8, 4)
    SPLITS = ("train",)

    def example(self, index):
        example = super().example(index)
        example["image"][..., 3] = 255
        return example


class ToyToGuess(_Toy):
    """The labels of the test images are kept from everybody."""

    SPLITS = ("train", "test", "validation")

    def _generate_examples(self, name):
        for index, example in super()._generate_examples(name):
            yield index, {**example, **({"label": -1} if name == "test" else {})}


class ToyToGuessAlone(ToyToGuess):
    SPLITS = ("train", "test")


class ToySizes(_Toy):
    SHAPE = (None, None, 3)

    def example(self, index):
        size = 8 if index < 29 else 10
        return {
            "image": np.full((size, 8, 3), 50 * (index % 3) + index, np.uint8),
            "label": index % 3,
        }


class ToyBroken(_Toy):
    def example(self, index):
        raise RuntimeError("the archive has changed")


class ToyByHand(_Toy):
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Fetch it yourself."


@pytest.fixture(scope="module")
def toys(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("tfds"))


def config(name, folder, **options) -> DataConfig:
    return DataConfig(dataset=name, data_dir=str(folder), **options)


def refused(name, folder, **options) -> str:
    with pytest.raises(UserError) as error:
        load(config(name, folder, **options))
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_pixels_match_labels(split):
    values = split.images[:, 0, 0, 0]
    indices = values - 50 * split.labels.astype(np.uint8)
    np.testing.assert_array_equal(indices % 3, split.labels)
    assert len(np.unique(indices)) == len(split)
    assert (split.images == values[:, None, None, None]).all()


def test_images_meet_their_labels_in_every_split(toys):
    data = load(config("toy_colour", toys))
    assert data.class_names == ("a", "b", "c")
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 12)
    for split in (data.train, data.validation, data.test):
        assert_pixels_match_labels(split)


def test_limits_choose_the_same_images_whether_or_not_others_are_read(toys):
    data = load(config("toy_colour", toys, limit_train=9, limit_test=6, cache_gib=0.0))
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 1, 6)
    for split in (data.train, data.validation, data.test):
        assert_pixels_match_labels(split)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [2, 2, 2])


def test_grayscale_is_shown_as_rgb_and_validation_stands_in_for_test(toys):
    data = load(config("toy_gray", toys))
    assert data.image_shape == (8, 8, 3)
    assert len(data.test) == 12
    assert len(data.train) + len(data.validation) == 30
    assert_pixels_match_labels(data.train)


def test_alpha_is_shown_as_rgb_and_test_held_out_where_there_is_none(toys):
    data = load(config("toy_alpha", toys, test_share=0.2))
    assert data.image_shape == (8, 8, 3)
    assert len(data.test) == 6
    assert_pixels_match_labels(data.test)


def test_labelled_images_stand_in_for_test_images_without_labels_and_that_is_said(toys):
    data = load(config("toy_to_guess", toys))
    assert_pixels_match_labels(data.test)
    assert (len(data.train) + len(data.validation), len(data.test)) == (30, 12)
    assert set(data.fingerprint.splits["test"].images()) == {
        f"validation/{index}" for index in range(12)
    }
    said = "the test images of toy_to_guess have no labels, so its validation split is"
    assert any(note.startswith(said) for note in data.notes)
    alone = load(config("toy_to_guess_alone", toys, test_share=0.2))
    assert_pixels_match_labels(alone.test)
    assert len(alone.test) == 6
    assert any("so a share of its train images is used" in n for n in alone.notes)
    assert load(config("toy_colour", toys)).notes == ()


def test_images_of_different_sizes_need_an_image_size(toys):
    message = refused("toy_sizes", toys)
    assert message.startswith("--image_size")
    assert "8x8" in message
    assert "8x10" in message
    data = load(config("toy_sizes", toys, image_size=4))
    assert data.image_shape == (4, 4, 3)
    assert_pixels_match_labels(data.train)


def test_unknown_name_gets_close_matches(tmp_path):
    message = refused("cifar1000", tmp_path)
    assert message.startswith("--dataset")
    assert "'cifar1000'" in message
    assert "close: cifar100" in message


@pytest.mark.parametrize("name", ["huggingface:mnist", "no such", "../cifar100", ""])
def test_name_that_would_need_a_network_or_makes_no_sense_is_unknown(name, tmp_path):
    # Nothing waits here, so that processor time is the time on a machine of one's own.
    start = time.process_time()
    assert refused(name, tmp_path).startswith("--dataset")
    assert time.process_time() - start < 5


def test_version_that_does_not_exist_is_refused(tmp_path):
    assert refused("cifar100:9.9.9", tmp_path).startswith("--dataset=cifar100:9.9.9")


def test_data_set_without_images_is_refused(tmp_path):
    message = refused("glue", tmp_path)
    assert message.startswith("--dataset")
    assert "sentence" in message


def test_unprepared_data_without_network_is_told_fast_with_the_way_out(
    tmp_path, monkeypatch
):
    def offline(url, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    start = time.process_time()
    message = refused("cifar10", tmp_path)
    assert time.process_time() - start < 15
    assert message.startswith("--data_dir")
    assert "cifar10/3.0.2" in message
    assert "www.cs.toronto.edu can't be reached" in message


def test_download_that_fails_is_told_with_the_way_out(toys):
    message = refused("toy_broken", toys)
    assert message.startswith("--data_dir")
    assert "the archive has changed" in message


def test_data_that_is_downloaded_by_hand_is_told(toys):
    message = refused("toy_by_hand", toys)
    assert message.startswith("--data_dir")
    assert "by hand" in message


def test_prepared_file_that_is_damaged_is_told(tmp_path):
    load(config("toy_colour", tmp_path))
    (file,) = tmp_path.glob("toy_colour/1.0.0/*train*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    message = refused("toy_colour", tmp_path)
    assert message.startswith("--data_dir")
    assert "can't be read" in message


def test_server_that_never_answers_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(tfds_access, "_PROBE_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.zip"
        start = time.monotonic()
        assert "can't be reached" in tfds_access.unreachable_host([url])
        assert time.monotonic() - start < 10


def test_server_that_answers_with_an_error_counts_as_reachable():
    server = http.server.HTTPServer(
        ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
    )
    thread = threading.Thread(target=server.handle_request, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/x.zip"
    assert tfds_access.unreachable_host([url]) == ""
    thread.join(5)
    server.server_close()


def test_real_cifar100_is_read_in_part(cifar100_dir, capfd):
    data = load(config("cifar100", cifar100_dir, limit_train=400, limit_test=200))
    assert data.image_shape == (32, 32, 3)
    assert data.num_classes == 100
    assert data.class_names[0] == "apple"
    np.testing.assert_array_equal(np.bincount(data.test.labels), [2] * 100)
    assert len(data.train) == 360
    assert len(data.validation) == 40
    mean, deviation = data.channel_statistics()
    # The published statistics of all 50,000 images, within those of 360.
    np.testing.assert_allclose(mean, [0.507, 0.487, 0.441], atol=0.03)
    np.testing.assert_allclose(deviation, [0.267, 0.256, 0.276], atol=0.03)
    assert "Warning" not in capfd.readouterr().err
