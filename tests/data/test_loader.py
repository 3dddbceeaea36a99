import subprocess
import sys

import numpy as np
import pytest

from supcon_tf.config import DataConfig
from supcon_tf.data import ImageData, Split, load
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.loader import _check_labels
from supcon_tf.data.sources.source import Source, SourceSplit
from supcon_tf.errors import UserError


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load(DataConfig())


def identities(split: Split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


def test_digits_are_rgb_of_32_pixels_in_ten_classes(digits):
    assert digits.image_shape == (32, 32, 3)
    assert digits.class_names == tuple("0123456789")
    assert digits.num_classes == 10
    assert digits.train.images.dtype == np.uint8
    assert digits.train.labels.dtype == np.int64
    assert digits.train.images.max() > 250
    np.testing.assert_array_equal(
        digits.train.images[..., 0], digits.train.images[..., 2]
    )


def test_digits_are_divided_by_exact_shares(digits):
    assert len(digits.test) == round(0.2 * 1797)
    assert len(digits.validation) == round(0.1 * (1797 - len(digits.test)))
    assert len(digits.train) + len(digits.validation) + len(digits.test) == 1797


def test_splits_share_no_image(digits):
    # Two pairs of digits are equal images, wherever they fall.
    total = (
        identities(digits.train),
        identities(digits.validation),
        identities(digits.test),
    )
    assert sum(map(len, total)) - len(set.union(*total)) <= 2


def test_image_size_is_honoured():
    config = DataConfig(image_size=12, limit_train=20, limit_test=10)
    assert load(config).image_shape == (12, 12, 3)


def test_limits_are_balanced_and_count_before_the_validation_share():
    data = load(DataConfig(limit_train=100, limit_test=30))
    assert len(data.train) == 90
    assert len(data.validation) == 10
    np.testing.assert_array_equal(np.bincount(data.train.labels), [9] * 10)
    np.testing.assert_array_equal(np.bincount(data.validation.labels), [1] * 10)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [3] * 10)


def test_choice_depends_on_the_split_seed():
    config = {"limit_train": 50, "limit_test": 50}
    first, again, other = (
        load(DataConfig(**config, split_seed=seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.train.images, again.train.images)
    assert identities(first.test) != identities(other.test)


def test_limit_leaves_the_held_out_test_images_alone(digits):
    limited = load(DataConfig(limit_train=50))
    np.testing.assert_array_equal(limited.test.images, digits.test.images)


def test_validation_share_of_zero_gives_none():
    assert load(DataConfig(validation_share=0.0, limit_train=50)).validation is None


@pytest.mark.parametrize(
    ("options", "flag", "value"),
    [
        ({"limit_train": 9}, "--limit_train", "9"),
        ({"limit_test": 3}, "--limit_test", "3"),
        ({"limit_train": 10}, "--validation_share", "0.1"),
        ({"test_share": 1e-5}, "--test_share", "1e-05"),
    ],
)
def test_split_that_would_be_empty_is_refused(options, flag, value):
    with pytest.raises(UserError, match=flag) as error:
        load(DataConfig(**options))
    assert value in str(error.value)
    assert "\n" not in str(error.value)


def test_label_out_of_range_is_refused():
    def part(labels):
        return SourceSplit(np.array(labels), lambda indices, out: None)

    source = Source("x", ("a", "b"), (8, 8, 3), part([0, 1]), part([0, -1]))
    with pytest.raises(UserError, match=r"from 0 to 1\. Received: -1 in test"):
        _check_labels(source, DataConfig(dataset="x"))


def test_images_beyond_the_cache_stay_encoded_and_equal(digits):
    streamed = load(DataConfig(cache_gib=0.0))
    for name in ("train", "validation", "test"):
        images, decoded = getattr(streamed, name).images, getattr(digits, name).images
        assert isinstance(images, EncodedImages)
        assert (images.shape, images.dtype) == (decoded.shape, decoded.dtype)
        np.testing.assert_array_equal(images[:], decoded)
    assert isinstance(digits.train.images, np.ndarray)
    assert streamed.fingerprint == digits.fingerprint
    assert streamed.fingerprint.digest == digits.fingerprint.digest
    np.testing.assert_array_equal(
        streamed.channel_statistics(), digits.channel_statistics()
    )
    assert "stay encoded" in streamed.notes[0]


def test_channel_statistics_equal_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 200, (1500, 4, 4, 3), np.uint8)
    split = Split(images, np.zeros(1500, np.int64))
    mean, deviation = ImageData("x", ("a",), split, None, split).channel_statistics()
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(deviation, scaled.std(axis=(0, 1, 2)), rtol=1e-12)


def test_import_is_light():
    code = (
        "import sys, supcon_tf.data; "
        "print({'tensorflow', 'tensorflow_datasets', 'keras_cv'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
