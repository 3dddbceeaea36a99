import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from supcon_tf.data.augmentation.color_jitter import (
    adjust_brightness,
    adjust_contrast,
    color_matrix,
    mix_channels,
)
from supcon_tf.data.augmentation.policies import (
    _CROPPING,
    _resized_crop_flip,
    augment,
    shift_and_flip,
)
from supcon_tf.data.augmentation.random_numbers import Draws
from supcon_tf.data.augmentation.resized_crop import crop_boxes, draw_crops

POLICIES = ("none", "crop_flip", "resized_crop", "simclr", "randaugment")
SEED = tf.constant([1, 2])


@pytest.fixture(scope="module")
def images() -> tf.Tensor:
    values = np.random.default_rng(0).integers(0, 256, (64, 16, 24, 3))
    return tf.constant(values / 255, tf.float32)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["noise", "black", "white"])
def test_output_keeps_shape_type_and_range(images, policy, kind):
    inputs = {"noise": images, "black": images * 0, "white": images * 0 + 1}[kind]
    result = augment(inputs, policy, SEED)
    assert result.shape == inputs.shape
    assert result.dtype == tf.float32
    assert np.isfinite(result).all()
    assert np.min(result) >= 0
    assert np.max(result) <= 1


@pytest.mark.parametrize("policy", POLICIES)
def test_same_seed_repeats_in_a_graph_as_well(images, policy):
    graph = tf.function(lambda x, seed: augment(x, policy, seed), autograph=False)
    first = graph(images, SEED).numpy()
    np.testing.assert_array_equal(first, graph(images, SEED))
    # Compiled or not may round differently, but must draw the same.
    np.testing.assert_allclose(first, augment(images, policy, SEED), atol=1e-5)


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_another_seed_changes_nearly_every_image(images, policy):
    first, second = (augment(images, policy, [1, k]).numpy() for k in (2, 3))
    assert (first != second).any(axis=(1, 2, 3)).mean() > 0.9


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rows", [(0, 32), (32, 64), (7, 8), (50, 64)])
def test_image_is_independent_of_which_rows_are_asked(images, policy, rows):
    whole = augment(images, policy, SEED)
    part = images[rows[0] : rows[1]]
    result = augment(part, policy, SEED, batch_size=64, rows=rows)
    np.testing.assert_array_equal(result, whole[rows[0] : rows[1]])


def test_none_is_the_identity(images):
    np.testing.assert_array_equal(augment(images, "none", SEED), images)


def test_unknown_policy_is_refused(images):
    with pytest.raises(ValueError, match=r"policy must be one of none.*'mixup'"):
        augment(images, "mixup", SEED)


def test_rows_without_the_global_batch_size_are_refused(images):
    with pytest.raises(ValueError, match="needs batch_size"):
        augment(images[:4], "simclr", SEED, rows=(0, 4))


def slow_shift_and_flip(image, up, left, flip):
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            source_y, source_x = y + up, x + left
            if 0 <= source_y < height and 0 <= source_x < width:
                result[y, width - 1 - x if flip else x] = image[source_y, source_x]
    return result


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31 - 1))
def test_shift_and_flip_equals_a_loop_over_pixels(height, width, seed):
    rng = np.random.default_rng(seed)
    images = rng.uniform(0.1, 1, (6, height, width, 3)).astype(np.float32)
    up = rng.integers(-(height // 8), height // 8, 6, np.int32, endpoint=True)
    left = rng.integers(-(width // 8), width // 8, 6, np.int32, endpoint=True)
    flip = rng.integers(0, 2, 6).astype(bool)
    result = shift_and_flip(tf.constant(images), *map(tf.constant, (up, left, flip)))
    expected = [
        slow_shift_and_flip(*each) for each in zip(images, up, left, flip, strict=True)
    ]
    np.testing.assert_array_equal(result, expected)


def test_crop_flip_draws_every_shift_and_both_directions():
    # An image of one bright pixel each, whose place tells what was drawn.
    images = np.zeros((2000, 32, 32, 3), np.float32)
    images[:, 10, 10] = 1
    result = augment(images, "crop_flip", SEED).numpy()[..., 0]
    _, rows, columns = np.nonzero(result)
    assert len(rows) == 2000
    assert set(rows) == set(range(6, 15))
    assert set(columns) == set(range(6, 15)) | {31 - c for c in range(6, 15)}
    assert 0.45 < np.mean(columns < 16) < 0.55


@pytest.mark.parametrize("size", [8, 32, 33])
def test_resized_crop_never_reaches_beyond_the_image(size):
    white = tf.ones((3000, size, size, 3))
    result = _resized_crop_flip(white, Draws(SEED, 3000, None), (0.08, 1.0))
    np.testing.assert_allclose(result, 1, atol=1e-6)


@pytest.mark.parametrize(("policy", "least"), [("simclr", 0.2), ("resized_crop", 0.08)])
def test_resized_crop_shows_a_share_to_all_of_the_image(policy, least):
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    across = np.broadcast_to(ramp[None, None, :, None], (2000, 32, 32, 3))
    areas, _ = _CROPPING[policy]
    draws = Draws(SEED, 2000, None)
    result = _resized_crop_flip(tf.constant(across), draws, areas).numpy()
    spans = result[:, 0, -1, 0] - result[:, 0, 0, 0]
    assert 0.45 < np.mean(spans < 0) < 0.55
    widths = np.abs(spans)
    assert np.sqrt(least * 3 / 4) - 1e-3 <= widths.min() < np.sqrt(least) + 0.06
    assert widths.max() > 0.99
    assert len(np.unique(np.round(widths, 3))) > 300


def test_crops_have_the_shape_and_area_that_were_drawn_where_they_fit():
    crops = draw_crops(Draws(SEED, 1000, None), (0.08, 1.0))
    numbers = [part.numpy() for part in crops]
    area, ratio = numbers[:2]
    for height, width in ((300, 300), (200, 500)):
        for keep_ratio in (False, True):
            size = (height, width, keep_ratio)
            boxes = crop_boxes(numbers, *size, library=np)
            for ours, twin in zip(boxes, crop_boxes(crops, *size), strict=True):
                np.testing.assert_allclose(ours, twin, atol=1e-6)
            top, left, bottom, right = boxes
            tall, wide = (bottom - top) * height, np.abs(right - left) * width
            fits = (tall < height * 0.999) & (wide < width * 0.999)
            assert 0.3 < fits.mean() < 0.95
            same_ratio = slice(None) if keep_ratio else fits
            np.testing.assert_allclose(
                (wide / tall)[same_ratio], ratio[same_ratio], rtol=1e-3
            )
            shares = (tall * wide / height / width)[fits]
            np.testing.assert_allclose(shares, area[fits], rtol=1e-3)
            assert min(top.min(), left.min(), right.min()) >= 0
            assert max(bottom.max(), left.max(), right.max()) <= 1


def test_brightness_multiplies(images):
    factor = tf.linspace(0.6, 1.4, 64)
    expected = [
        np.clip(image * k, 0, 1)
        for image, k in zip(images.numpy(), factor.numpy(), strict=True)
    ]
    np.testing.assert_allclose(adjust_brightness(images, factor), expected, atol=1e-6)


def test_contrast_equals_that_of_tf_image(images):
    factor = tf.linspace(0.6, 1.4, 64)
    expected = [
        tf.clip_by_value(tf.image.adjust_contrast(image, k), 0, 1)
        for image, k in zip(images, factor, strict=True)
    ]
    np.testing.assert_allclose(adjust_contrast(images, factor), expected, atol=1e-5)


def test_saturation_blends_with_the_luma(images):
    saturation = tf.linspace(0.0, 1.4, 64)
    matrix = color_matrix(saturation, tf.zeros(64))
    luma = images.numpy() @ np.array([0.299, 0.587, 0.114])
    blend = saturation.numpy()[:, None, None, None]
    expected = blend * images.numpy() + (1 - blend) * luma[..., None]
    result = mix_channels(images, matrix)
    np.testing.assert_allclose(result, np.clip(expected, 0, 1), atol=1e-5)


def test_hue_keeps_luma_and_turns_back():
    there = color_matrix(tf.constant([1.0]), tf.constant([0.1]))[0].numpy()
    back = color_matrix(tf.constant([1.0]), tf.constant([-0.1]))[0].numpy()
    np.testing.assert_allclose(there @ back, np.eye(3), atol=1e-6)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luma @ there, luma, atol=1e-6)
    # A tenth of the circle is visible, and gray has no hue to turn.
    assert np.abs(there - np.eye(3)).max() > 0.3
    np.testing.assert_allclose(there @ np.ones(3), np.ones(3), atol=1e-6)


def test_ten_turns_of_hue_are_the_identity():
    turn = color_matrix(tf.constant([1.0]), tf.constant([0.1]))[0].numpy()
    np.testing.assert_allclose(
        np.linalg.matrix_power(turn.astype(np.float64), 10), np.eye(3), atol=1e-5
    )


def test_simclr_makes_a_fifth_of_images_gray_and_leaves_a_fifth_unjittered():
    # Flat colour: neither cropping nor flipping changes it.
    colour = np.array([0.3, 0.5, 0.4], np.float32)
    images = np.broadcast_to(colour, (4000, 8, 8, 3))
    result = augment(images, "simclr", SEED).numpy()
    gray = np.ptp(result, axis=-1).max(axis=(1, 2)) < 1e-6
    assert 0.17 < gray.mean() < 0.23
    untouched = np.abs(result - colour).max(axis=(1, 2, 3)) < 1e-6
    assert 0.13 < untouched.mean() < 0.19
