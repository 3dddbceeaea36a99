import sys

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.config import Config
from supcon_tf.data.augmentation.equalization import equalize
from supcon_tf.data.augmentation.policies import augment
from supcon_tf.data.augmentation.randaugment import (
    OPERATIONS,
    Parameters,
    apply,
    rand_augment,
)
from supcon_tf.data.augmentation.random_numbers import Draws
from supcon_tf.data.augmentation.transforms import of_keras, of_keras_cv, transforms
from supcon_tf.training.setup import prepare_process

RANGE = (0, 255)


def layers():
    """Those of keras_cv, which takes seconds to import."""
    import keras_cv

    return keras_cv.layers


@pytest.fixture(scope="module")
def images() -> tf.Tensor:
    """Photograph-like: smooth, of whole values, not using the full range."""
    noise = tf.random.stateless_uniform((24, 5, 5, 3), [0, 1], 30, 220)
    smooth = tf.image.resize(noise, (32, 32), "bicubic")
    return tf.clip_by_value(tf.round(smooth), 0, 250)


def parameters(strength=0.5, threshold=0.5, signed=0.5, count=24) -> Parameters:
    return Parameters(*(tf.fill([count], v) for v in (strength, threshold, signed)))


# Each layer is told to draw exactly what our parameters say.
PEERS = {
    "auto_contrast": (lambda: layers().AutoContrast(value_range=RANGE), {}),
    "equalize": (lambda: layers().Equalization(value_range=RANGE), {}),
    "solarize": (
        lambda: layers().Solarization(
            value_range=RANGE,
            addition_factor=(0.4 * 110, 0.4 * 110),
            threshold_factor=(0.7 * 255, 0.7 * 255),
        ),
        {"strength": 0.4, "threshold": 0.7},
    ),
    "color": (
        lambda: layers().RandomColorDegeneration(factor=(0.3, 0.3)),
        {"strength": 0.3},
    ),
    "contrast": (
        lambda: layers().RandomContrast(value_range=RANGE, factor=(0.4, -0.4)),
        {"signed": -0.8},
    ),
    "brightness": (
        lambda: layers().RandomBrightness(value_range=RANGE, factor=(0.2, 0.2)),
        {"signed": 0.4},
    ),
    "translate_x": (
        lambda: layers().RandomTranslation((0.0, 0.0), (-0.25, -0.25)),
        {"signed": -0.5},
    ),
    "translate_y": (
        lambda: layers().RandomTranslation((0.25, 0.25), (0.0, 0.0)),
        {"signed": 0.5},
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_operation_equals_the_layer_of_keras_cv(images, name):
    make_layer, values = PEERS[name]
    result = apply(name, images, parameters(**values))
    np.testing.assert_allclose(result, make_layer()(images), atol=1e-3)
    assert np.abs(result - images).max() > 5


@pytest.mark.parametrize("axis", ["x", "y"])
def test_shear_equals_the_layer_of_keras_cv_up_to_its_random_sign(images, axis):
    layer = layers().RandomShear(**{f"{axis}_factor": (0.3, 0.3)})
    peer = layer(images).numpy()
    for sign in (-1.0, 1.0):
        result = apply(f"shear_{axis}", images, parameters(0.3, signed=sign)).numpy()
        same = np.isclose(result, peer, atol=1e-3).all(axis=(1, 2, 3))
        assert 0 < same.sum() < 24
        if sign == -1.0:
            left = same
    np.testing.assert_array_equal(left, ~same)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("count", [0, 1])
def test_operation_takes_an_empty_batch(images, name, count):
    result = apply(name, images[:count], parameters(count=count))
    assert result.shape == (count, 32, 32, 3)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_treats_each_image_on_its_own(images, name):
    whole = apply(name, images, parameters())
    alone = apply(name, images[3:4], parameters(count=1))
    np.testing.assert_array_equal(alone[0], whole[3])


def test_flat_images_survive_equalization():
    flat = tf.fill((2, 8, 8, 3), 77.0)
    np.testing.assert_array_equal(equalize(flat), flat)


def test_nearly_every_image_changes_and_each_repeats(images):
    before = (images / 255).numpy()
    first = augment(before, "randaugment", [5, 6]).numpy()
    np.testing.assert_array_equal(first, augment(before, "randaugment", [5, 6]))
    assert (first != before).any(axis=(1, 2, 3)).mean() > 0.9


def test_one_image_in_121_is_left_alone():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0.1, 0.8, (4000, 8, 8, 3)), tf.float32)
    result = rand_augment(images, Draws(tf.constant([1, 2]), 4000, None))
    same = np.isclose(result, images, atol=1e-6).all(axis=(1, 2, 3)).mean()
    assert 0.5 / 121 < same < 2 / 121


def test_pixels_stay_float32_under_a_mixed_policy():
    import keras

    before = keras.config.dtype_policy()
    images = tf.random.stateless_uniform((16, 8, 8, 3), [1, 2])
    expected = augment(images, "randaugment", [3, 4])
    transforms.cache_clear()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        np.testing.assert_array_equal(augment(images, "randaugment", [3, 4]), expected)
    finally:
        keras.config.set_dtype_policy(before)
        transforms.cache_clear()


@pytest.mark.slow
def test_deterministic_processes_can_use_it(start):
    done = start(augment_deterministically).completed()
    assert done.returncode == 0, done.stderr


def augment_deterministically():
    prepare_process(Config(deterministic=True))
    augment(tf.zeros((8, 8, 8, 3)), "randaugment", [1, 2])


@pytest.fixture
def without_keras_cv(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    transforms.cache_clear()
    yield
    transforms.cache_clear()


def test_each_transform_of_keras_is_that_of_keras_cv(images):
    theirs, instead = of_keras_cv(), of_keras()
    assert theirs.keys() == instead.keys()
    for name in theirs:
        for strength, threshold, signed in ((0.3, 0.7, -0.8), (0.9, 0.2, 0.4)):
            given = OPERATIONS[name](parameters(strength, threshold, signed))
            wanted, found = theirs[name](images, given), instead[name](images, given)
            np.testing.assert_allclose(found, wanted, atol=1e-3, err_msg=name)
            assert np.abs(wanted - images).max() > 5


@pytest.mark.slow
def test_without_keras_cv_the_same_images_come_and_one_note(
    images, monkeypatch, without_keras_cv, capsys
):
    before = (images / 255).numpy()
    found = augment(before, "randaugment", [5, 6])
    batches = tf.data.Dataset.from_tensors(before).map(
        lambda batch: augment(batch, "randaugment", [5, 6])
    )
    np.testing.assert_allclose(next(iter(batches)), found, atol=1e-5)
    note = capsys.readouterr().err
    assert note.count("note: keras_cv can't be imported") == note.count("\n") == 1
    monkeypatch.undo()
    transforms.cache_clear()
    np.testing.assert_allclose(found, augment(before, "randaugment", [5, 6]), atol=1e-5)
