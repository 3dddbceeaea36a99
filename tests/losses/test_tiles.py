"""The contrastive losses in tiles, against the same formulas on one N x N matrix."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import MarginContrastiveLoss, SupervisedContrastiveLoss
from supcon_tf.losses.base import Batch, mean
from supcon_tf.losses.pairs import kept_tiles, sums, visited_tiles

from . import plain
from .cases import random_outputs, value_and_gradient

# 0.005 is too low for sums of exponentials whose maximum was not subtracted.
LOSSES = [
    pytest.param(
        SupervisedContrastiveLoss(temperature, variant=variant),
        partial(plain.supervised_contrastive, temperature=temperature, variant=variant),
        id=f"supcon_{variant}_{temperature}",
    )
    for temperature, variant in (
        (0.1, "out"),
        (0.1, "in"),
        (0.01, "out"),
        (0.005, "in"),
    )
]
LOSSES.append(
    pytest.param(MarginContrastiveLoss(), plain.margin_contrastive, id="margin")
)
losses = pytest.mark.parametrize(("loss", "one_matrix"), LOSSES)


@pytest.fixture(params=["kept", "visited"])
def tile_side(request, monkeypatch):
    """A function that forces tiles of this side, and keeps them or does not."""

    def force(side):
        monkeypatch.setattr(kept_tiles, "SIDE", side)
        monkeypatch.setattr(visited_tiles, "SIDE", side)
        monkeypatch.setattr(sums, "KEPT", 0 if request.param == "visited" else 10**9)

    return force


def batch_of(rows, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    # Some classes of many, some of one.
    labels = np.where(rng.random(rows) < 0.8, rng.integers(0, 3, rows), rng.integers(9))
    labels[: rows // 4] = np.arange(rows // 4) + 100
    return labels, random_outputs(rows, 6, dtype, seed)


@losses
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)]
)
@pytest.mark.parametrize(("rows", "side"), [(23, 5), (23, 23), (24, 8)])
def test_tiles_give_what_one_matrix_gives(
    loss, one_matrix, dtype, tolerance, rows, side, tile_side
):
    labels, outputs = batch_of(rows, dtype)
    expected, expected_gradient = value_and_gradient(one_matrix, labels, outputs)
    tile_side(side)
    value, gradient = value_and_gradient(loss, labels, outputs)
    assert value == pytest.approx(expected, rel=tolerance)
    assert_close(gradient, expected_gradient, loss, tolerance)


@losses
@pytest.mark.parametrize("first", [5, 16])
def test_tiles_of_two_replicas_give_what_one_matrix_gives(
    loss, one_matrix, first, tile_side
):
    labels, outputs = map(tf.constant, batch_of(23))
    expected, expected_gradient = value_and_gradient(one_matrix, labels, outputs)
    tile_side(6)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        everyone = tf.identity(outputs)
        shares = [
            loss.terms(
                labels[start:end],
                outputs[start:end],
                Batch(everyone, labels, tf.constant(start)),
            )
            for start, end in ((0, first), (first, 23))
        ]
        counts = [a.count + b.count for a, b in zip(*shares, strict=True)]
        value = sum(
            mean(term, count)
            for terms in shares
            for term, count in zip(terms, counts, strict=True)
        )
    assert float(value) == pytest.approx(float(expected), rel=1e-10)
    gradient = tape.gradient(value, outputs).numpy()
    assert_close(gradient, expected_gradient, loss, 1e-10)


@losses
@pytest.mark.parametrize("way", ["xla", "any size"])
def test_tiles_are_the_same_compiled_by_xla_and_with_any_batch_size(
    loss, one_matrix, way, tile_side
):
    labels, outputs = batch_of(23)
    expected, expected_gradient = value_and_gradient(one_matrix, labels, outputs)
    tile_side(8)
    options = {"jit_compile": True}
    if way == "any size":
        unknown = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 6], "float64"))
        options = {"input_signature": unknown}

    @tf.function(**options)
    def traced(labels, outputs):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = loss(labels, outputs)
        return value, tape.gradient(value, outputs)

    value, gradient = traced(tf.constant(labels), tf.constant(outputs))
    assert float(value) == pytest.approx(float(expected), rel=1e-9)
    assert_close(gradient.numpy(), expected_gradient, loss, 1e-9)


@losses
@pytest.mark.parametrize(
    "labels", [[0] * 7, list(range(7)), [3]], ids=["one class", "no pair", "one"]
)
@pytest.mark.parametrize("zeros", [0, 3])
def test_tiles_are_never_nan(loss, one_matrix, labels, zeros, tile_side):
    labels, outputs = np.array(labels), random_outputs(len(labels), dtype="float32")
    outputs[:zeros] = 0
    expected, _ = value_and_gradient(one_matrix, labels, outputs)
    tile_side(3)
    value, gradient = value_and_gradient(loss, labels, outputs)
    assert value == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(gradient).all()


@losses
def test_an_empty_batch_costs_nothing(loss, one_matrix, tile_side):
    tile_side(4)
    unknown = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 6], tf.float64)]
    traced = tf.function(lambda y, z: loss(y, z), input_signature=unknown)
    labels, outputs = tf.zeros([0], tf.int64), tf.zeros([0, 6], tf.float64)
    assert float(loss(labels, outputs)) == 0
    assert float(traced(labels, outputs)) == 0


@losses
def test_a_second_derivative_is_refused(loss, one_matrix, tile_side):
    labels, outputs = map(tf.constant, batch_of(9))
    tile_side(4)
    with tf.GradientTape() as outer:
        outer.watch(outputs)
        with tf.GradientTape() as inner:
            inner.watch(outputs)
            value = loss(labels, outputs)
        slope = tf.reduce_sum(tf.square(inner.gradient(value, outputs)))
    with pytest.raises(LookupError, match="no second derivative"):
        outer.gradient(slope, outputs)


def assert_close(gradient, expected, loss, tolerance):
    # Relative to the largest entry; exponentials magnify what rounding does to s / t.
    if isinstance(loss, SupervisedContrastiveLoss):
        tolerance *= max(1, 0.1 / loss.temperature)
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(gradient / scale, expected / scale, atol=tolerance)
