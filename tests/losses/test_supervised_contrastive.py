import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from supcon_tf.losses import SupervisedContrastiveLoss

from .cases import LABELS, at_angles, random_outputs, value_and_gradient

E = math.e


@pytest.mark.parametrize(
    ("variant", "labels", "degrees", "temperature", "expected"),
    [
        # Each anchor: one positive at cosine 1, two negatives at cosine 0.
        ("out", [0, 0, 1, 1], (0, 0, 90, 90), 1.0, math.log(1 + 2 / E)),
        ("out", [0, 0, 1, 1], (0, 0, 90, 90), 0.5, math.log(1 + 2 / E**2)),
        # One positive: nothing to choose between inside and outside the logarithm.
        ("in", [0, 0, 1, 1], (0, 0, 90, 90), 0.5, math.log(1 + 2 / E**2)),
        # Cosines 0.5 (positive), 0 and sqrt(3)/2 (negatives); the third has none.
        (
            "out",
            [0, 0, 1],
            (0, 60, 90),
            1.0,
            (math.log(1 + E**-0.5) + math.log(1 + E ** (math.sqrt(3) / 2 - 0.5))) / 2,
        ),
        # Cosines (0, -1), (0, 0), (-1, 0), all of them positives.
        (
            "out",
            [7, 7, 7],
            (0, 90, 180),
            1.0,
            (2 * (math.log(1 + 1 / E) + 0.5) + math.log(2)) / 3,
        ),
        # Positives are all others, so each ratio inside the logarithm has mean 1/2.
        ("in", [7, 7, 7], (0, 90, 180), 1.0, math.log(2)),
        # Positive at cosine 0, negative at 1: 1 / t more than log(1 + e^(-1/t)) = 0.
        ("out", [0, 0, 1], (0, 90, 0), 0.001, (1000 + math.log(2)) / 2),
    ],
)
def test_loss_equals_the_value_worked_out_by_hand(
    variant, labels, degrees, temperature, expected
):
    loss = SupervisedContrastiveLoss(temperature, variant=variant)
    assert float(loss(labels, at_angles(*degrees))) == pytest.approx(expected)


@pytest.mark.parametrize("variant", ["out", "in"])
def test_only_anchors_with_a_positive_are_counted(variant):
    loss = SupervisedContrastiveLoss(variant=variant)
    (term,) = loss.terms(tf.constant(LABELS), tf.constant(random_outputs()))
    assert int(term.count) == 7
    value = float(loss(LABELS, random_outputs()))
    assert float(term.total) / 7 == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("variant", ["out", "in"])
def test_different_classes_only_give_zero_loss_and_gradient(variant):
    loss = SupervisedContrastiveLoss(variant=variant)
    value, gradient = value_and_gradient(loss, np.arange(9), random_outputs())
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((9, 5)))


def test_one_class_gives_the_in_variant_nothing_to_learn():
    loss = SupervisedContrastiveLoss(variant="in")
    value, gradient = value_and_gradient(loss, np.zeros(9), random_outputs())
    assert value == pytest.approx(math.log(8))
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_one_class_is_pulled_together_by_the_out_variant():
    loss = SupervisedContrastiveLoss()
    together = loss(np.zeros(3), at_angles(0, 0, 0))
    assert float(together) == pytest.approx(math.log(2))
    assert float(loss(np.zeros(3), at_angles(0, 10, 20))) > float(together)


def test_base_temperature_multiplies_value_and_gradient():
    plain = SupervisedContrastiveLoss(0.5)
    scaled = SupervisedContrastiveLoss(0.5, base_temperature=0.2)
    value, gradient = value_and_gradient(plain, LABELS, random_outputs())
    scaled_value, scaled_gradient = value_and_gradient(scaled, LABELS, random_outputs())
    assert scaled_value == pytest.approx(2.5 * value)
    np.testing.assert_allclose(scaled_gradient, 2.5 * gradient)


@pytest.mark.parametrize("variant", ["out", "in"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_very_low_temperature_stays_finite(variant, dtype):
    loss = SupervisedContrastiveLoss(temperature=0.001, variant=variant)
    value, gradient = value_and_gradient(loss, LABELS, random_outputs(dtype=dtype))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("variant", ["out", "in"])
def test_random_embeddings_cost_about_the_logarithm_of_the_others(variant):
    labels = np.arange(256) % 16
    embeddings = random_outputs(256, 1024)
    loss = SupervisedContrastiveLoss(temperature=1.0, variant=variant)
    value = float(loss(labels, embeddings))
    assert value == pytest.approx(math.log(255), abs=0.005)


@settings(deadline=None, max_examples=30)
@given(
    labels=st.lists(st.integers(0, 2), min_size=2, max_size=9),
    seed=st.integers(0, 2**16),
    temperature=st.floats(0.05, 2),
)
def test_the_in_variant_never_exceeds_the_out_variant(labels, seed, temperature):
    # Jensen: the logarithm of a mean is at least the mean of the logarithms.
    embeddings = random_outputs(len(labels), 3, seed=seed)
    outside = SupervisedContrastiveLoss(temperature)(labels, embeddings)
    inside = SupervisedContrastiveLoss(temperature, variant="in")(labels, embeddings)
    assert float(inside) <= float(outside) + 1e-12


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_value_and_gradient_equal_pytorch_metric_learning(temperature):
    torch = pytest.importorskip("torch", reason="the peer needs PyTorch")
    peers = pytest.importorskip(
        "pytorch_metric_learning.losses", reason="the peer is an optional extra"
    )
    embeddings = random_outputs()
    theirs = torch.tensor(embeddings, requires_grad=True)
    peer = peers.SupConLoss(temperature=temperature)(theirs, torch.tensor(LABELS))
    peer.backward()
    loss = SupervisedContrastiveLoss(temperature)
    value, gradient = value_and_gradient(loss, LABELS, embeddings)
    assert value == pytest.approx(peer.item(), rel=1e-10)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-8, atol=1e-12)
