import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from supcon_tf.attacks import bounds, streams

pixels = arrays(np.float32, (2, 3, 3, 1), elements=st.floats(0, 1, width=32))
anything = arrays(np.float32, (2, 3, 3, 1), elements=st.floats(-9, 9, width=32))
epsilons = st.floats(0, 1)


def lengths(change, norm):
    flat = np.asarray(change, np.float64).reshape(len(change), -1)
    return np.linalg.norm(flat, ord=np.inf if norm == "linf" else 2, axis=1)


@pytest.mark.parametrize("norm", bounds.NORMS)
@settings(max_examples=60, deadline=None)
@given(origin=pixels, candidate=anything, epsilon=epsilons)
def test_projection_lies_in_the_ball_and_in_range(norm, origin, candidate, epsilon):
    moved = bounds.project(candidate, tf.constant(origin), epsilon, norm).numpy()
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert np.all(lengths(moved - origin, norm) <= epsilon + 2e-7)


@pytest.mark.parametrize("norm", bounds.NORMS)
@settings(max_examples=30, deadline=None)
@given(origin=pixels, candidate=pixels)
def test_projection_leaves_what_is_inside(norm, origin, candidate):
    moved = bounds.project(tf.constant(candidate), tf.constant(origin), 4.0, norm)
    np.testing.assert_allclose(moved, candidate, atol=5e-7)


def test_l2_direction_of_literal_gradient():
    gradient = tf.reshape(tf.constant([3.0, 0.0, -4.0]), [1, 1, 1, 3])
    for scale in (1.0, 1e-30, 1e30):
        direction = bounds.steepest_direction(scale * gradient, "l2")
        np.testing.assert_allclose(tf.reshape(direction, [-1]), [0.6, 0, -0.8], 1e-6)


@pytest.mark.parametrize("norm", bounds.NORMS)
def test_zero_and_broken_gradients_give_no_direction(norm):
    gradient = tf.reshape(tf.constant([0.0, np.nan, np.inf, 0.0]), [4, 1, 1, 1])
    np.testing.assert_array_equal(
        bounds.steepest_direction(gradient, norm), tf.zeros_like(gradient)
    )


@pytest.mark.parametrize("norm", bounds.NORMS)
def test_random_points_fill_the_unit_ball(norm):
    points = bounds.uniform_in_unit_ball(
        (1, 3, 1),
        norm,
        seed=0,
        identities=np.arange(4000),
        tries=np.zeros(4000, np.int64),
    )
    radius = lengths(points, norm)
    assert radius.max() <= 1 + 1e-6
    # The volume within radius r grows as r^3, so r^3 is uniform in [0, 1].
    deciles = np.quantile(radius**3, np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(deciles, np.linspace(0.1, 0.9, 9), atol=0.03)
    np.testing.assert_allclose(tf.reduce_mean(points, axis=0), 0, atol=0.05)


def test_random_numbers_belong_to_image_seed_and_round():
    identities, tries = np.array([5, 2, 9]), np.array([0, 1, 0])
    together = streams.uniform(3, identities, tries, 7)
    alone = streams.uniform(3, identities[1:2], tries[1:2], 7)
    np.testing.assert_array_equal(together[1:2], alone)
    others = [
        streams.uniform(4, identities, tries, 7),
        streams.uniform(3, identities + 1, tries, 7),
        streams.uniform(3, identities, tries + 1, 7),
    ]
    assert all(not np.isin(other, together).any() for other in others)


def test_random_numbers_are_uniform_and_normal():
    identities = np.arange(200)
    drawn = streams.uniform(0, identities, 0 * identities, 501)
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    np.testing.assert_allclose(counts / drawn.size, 0.05, atol=0.003)
    drawn = streams.normal(0, identities, 0 * identities, 501)
    np.testing.assert_allclose([drawn.mean(), drawn.std()], [0, 1], atol=0.01)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.2
