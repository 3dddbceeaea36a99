import math

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import MarginContrastiveLoss

from .cases import at_angles, value_and_gradient

COS_30 = math.sqrt(3) / 2


@pytest.mark.parametrize(
    ("margins", "labels", "degrees", "expected"),
    [
        # Positive pair at cosine 0.5; of the negatives only that at 30 degrees counts.
        ((0.8, 0.2), [0, 0, 1], (0, 60, 90), 0.3**2 + (COS_30 - 0.2) ** 2),
        # Both negatives violate a margin of -0.5: the one at cosine 0 joins the mean.
        (
            (0.8, -0.5),
            [0, 0, 1],
            (0, 60, 90),
            0.3**2 + (0.5**2 + (COS_30 + 0.5) ** 2) / 2,
        ),
        # Positives at cosines 0.5 (violates) and 1 (satisfied: not in the mean).
        ((0.8, 0.2), [4, 4, 4], (0, 0, 60), 0.3**2),
        ((0.8, 0.2), [0, 1], (0, 0), 0.8**2),
        ((0.8, 0.2), [0, 0], (0, 180), 1.8**2),
        ((0.8, 0.2), [0, 1], (0, 90), 0),
        ((0.8, 0.2), [0, 0, 1, 1], (0, 30, 120, 150), 0),
    ],
)
def test_loss_equals_the_value_worked_out_by_hand(margins, labels, degrees, expected):
    loss = MarginContrastiveLoss(*margins)
    assert float(loss(labels, at_angles(*degrees))) == pytest.approx(expected)


def test_terms_count_only_pairs_that_violate_their_margin():
    embeddings = tf.constant(at_angles(0, 60, 90, 180))
    labels = tf.constant([0, 0, 1, 0])
    # Ordered positives: (0, 60), (0, 180), (60, 180); ordered negatives: (60, 90).
    positive, negative = MarginContrastiveLoss().terms(labels, embeddings)
    assert (int(positive.count), int(negative.count)) == (6, 2)
    assert float(positive.total) == pytest.approx(2 * (0.3**2 + 1.8**2 + 1.3**2))
    assert float(negative.total) == pytest.approx(2 * (COS_30 - 0.2) ** 2)


def test_a_sample_is_no_positive_of_itself():
    # The cosine of a zero vector with itself is 0, which violates the margin.
    embeddings = tf.constant([[0.0, 0], [1, 0], [0, 1]])
    positive, _ = MarginContrastiveLoss().terms(tf.constant([0, 0, 1]), embeddings)
    assert int(positive.count) == 2
    assert float(positive.total) == pytest.approx(2 * 0.8**2)


def test_satisfied_pairs_do_not_dilute_the_loss():
    loss = MarginContrastiveLoss()
    embeddings = np.pad(at_angles(0, 60, 90), [(0, 0), (0, 2)])
    far = np.array([[0, 0, 1, 0], [0, 0, 0, 1.0]])
    value = loss([0, 0, 1], embeddings)
    diluted = loss([0, 0, 1, 2, 3], np.concatenate([embeddings, far]))
    assert float(diluted) == pytest.approx(float(value))


def test_pairs_beyond_their_margin_get_no_gradient():
    loss = MarginContrastiveLoss()
    value, gradient = value_and_gradient(loss, [0, 0, 1], at_angles(0, 30, 120))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((3, 2)))


def test_different_classes_are_pushed_apart_and_one_class_together():
    loss = MarginContrastiveLoss()
    _, apart = value_and_gradient(loss, [0, 1], at_angles(0, 45))
    _, together = value_and_gradient(loss, [0, 0], at_angles(0, 45))
    # A step against the gradient turns the first vector (at 0 degrees) down or up.
    assert apart[0, 1] > 0 > together[0, 1]


def test_a_positive_margin_of_one_is_reached_by_equal_embeddings():
    loss = MarginContrastiveLoss(positive_margin=1.0)
    embeddings = np.repeat(np.float32([[0.3, 0.4, 0.5]]), 4, axis=0)
    value, gradient = value_and_gradient(loss, np.zeros(4), embeddings)
    assert value == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
