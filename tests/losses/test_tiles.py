"""The contrastive losses in tiles, against the same formulas on one N x N matrix."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import MarginContrastiveLoss, SupervisedContrastiveLoss
from supcon_tf.losses.base import Batch, mean
from supcon_tf.losses.pairs import recomputed, stored, sums
from supcon_tf.numerics import row_blocks

from . import plain
from .cases import random_outputs, value_and_gradient

# In float32, 0.01 and 0.005 are too low for sums of exponentials whose maximum was not
# subtracted.
LOSSES = [
    (
        SupervisedContrastiveLoss(temperature, variant=variant),
        partial(plain.supervised_contrastive, temperature=temperature, variant=variant),
    )
    for temperature, variant in (
        (0.1, "out"),
        (0.1, "in"),
        (0.01, "out"),
        (0.005, "in"),
    )
]
LOSSES.append((MarginContrastiveLoss(), plain.margin_contrastive))


@pytest.fixture(params=["stored", "recomputed"])
def tile_side(request, monkeypatch):
    """A function that forces tiles of this side, stored or recomputed."""

    def force(side):
        monkeypatch.setattr(stored, "ROWS", side)
        monkeypatch.setattr(recomputed, "SIDE", side)
        monkeypatch.setattr(row_blocks, "ROWS", side)
        monkeypatch.setattr(sums, "STORED", 10**9 * (request.param == "stored"))

    return force


def batch_of(rows, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    # Some classes of many, some of one.
    labels = np.where(rng.random(rows) < 0.8, rng.integers(0, 3, rows), rng.integers(9))
    labels[: rows // 4] = np.arange(rows // 4) + 100
    return labels, random_outputs(rows, 6, dtype, seed)


def test_tiles_give_what_one_matrix_gives(tile_side):
    for rows, side in [(23, 5), (23, 23), (24, 8)]:
        tile_side(side)
        for dtype, tolerance in [("float32", 1e-5), ("float64", 1e-10)]:
            labels, outputs = batch_of(rows, dtype)
            for loss, one_matrix in LOSSES:
                assert_same(
                    loss,
                    value_and_gradient(loss, labels, outputs),
                    value_and_gradient(one_matrix, labels, outputs),
                    tolerance,
                )


@pytest.mark.slow
def test_tiles_of_two_replicas_give_what_one_matrix_gives(tile_side):
    tile_side(6)
    # In float32 a low temperature needs the maxima over the other replica's rows.
    for dtype, tolerance in [("float64", 1e-10), ("float32", 1e-5)]:
        labels, outputs = map(tf.constant, batch_of(23, dtype))
        for loss, one_matrix in LOSSES:
            expected = value_and_gradient(one_matrix, labels, outputs)
            for first in (5, 16):
                found = _on_two_replicas(loss, labels, outputs, first)
                assert_same(loss, found, expected, tolerance)


def _on_two_replicas(loss, labels, outputs, first):
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
    return value.numpy(), tape.gradient(value, outputs).numpy()


@pytest.mark.slow
def test_tiles_are_the_same_compiled_by_xla_and_with_any_batch_size(tile_side):
    tile_side(8)
    unknown = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 6], "float64")]
    labels, outputs = batch_of(15)
    # A low temperature has a way of its own in float32.
    low = [getattr(loss, "temperature", 1) < 0.1 for loss, _ in LOSSES]
    kinds = [("float32", 1e-5) if is_low else ("float64", 1e-9) for is_low in low]
    for options in ({"jit_compile": True}, {"input_signature": unknown}):

        @tf.function(autograph=False, **options)
        def traced(labels, outputs):
            found = []
            for (loss, _), (dtype, _) in zip(LOSSES, kinds, strict=True):
                cast = tf.cast(outputs, dtype)
                with tf.GradientTape() as tape:
                    tape.watch(cast)
                    value = loss(labels, cast)
                found.append((value, tape.gradient(value, cast)))
            return found

        results = traced(tf.constant(labels), tf.constant(outputs))
        for (loss, one_matrix), (dtype, tolerance), (value, gradient) in zip(
            LOSSES, kinds, results, strict=True
        ):
            expected = value_and_gradient(one_matrix, labels, outputs.astype(dtype))
            assert_same(loss, (value.numpy(), gradient.numpy()), expected, tolerance)


@pytest.mark.slow
def test_tiles_are_never_nan(tile_side):
    tile_side(3)
    for labels in ([0] * 7, list(range(7)), [3]):
        for zeros in (0, 3):
            outputs = random_outputs(len(labels), dtype="float32")
            outputs[:zeros] = 0
            for loss, one_matrix in LOSSES:
                expected, _ = value_and_gradient(one_matrix, np.array(labels), outputs)
                value, gradient = value_and_gradient(loss, np.array(labels), outputs)
                assert value == pytest.approx(expected, rel=1e-5), (loss.name, labels)
                assert np.isfinite(gradient).all(), (loss.name, labels)


@pytest.mark.slow
def test_an_empty_batch_costs_nothing(tile_side):
    tile_side(4)
    unknown = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 6], tf.float32)]
    labels, outputs = tf.zeros([0], tf.int64), tf.zeros([0, 6], tf.float32)
    traced = tf.function(
        lambda y, z: [loss(y, z) for loss, _ in LOSSES],
        input_signature=unknown,
        autograph=False,
    )
    assert [float(value) for value in traced(labels, outputs)] == [0] * len(LOSSES)
    for loss, _ in LOSSES:
        value, gradient = value_and_gradient(loss, labels, outputs)
        assert value == 0
        assert gradient.shape == (0, 6)


def test_a_second_derivative_is_refused(tile_side):
    labels, outputs = map(tf.constant, batch_of(9))
    tile_side(4)
    for loss, _ in LOSSES:
        with tf.GradientTape() as outer:
            outer.watch(outputs)
            with tf.GradientTape() as inner:
                inner.watch(outputs)
                value = loss(labels, outputs)
            slope = tf.reduce_sum(tf.square(inner.gradient(value, outputs)))
        with pytest.raises(LookupError, match="no second derivative"):
            outer.gradient(slope, outputs)


def assert_same(loss, found, expected, tolerance):
    """Values and gradients, for a tolerance relative to the largest entry."""
    value, gradient = found
    assert value == pytest.approx(expected[0], rel=tolerance), loss.get_config()
    # Exponentials magnify what rounding does to s / t.
    if isinstance(loss, SupervisedContrastiveLoss):
        tolerance *= max(1, 0.1 / loss.temperature)
    scale = max(np.abs(expected[1]).max(), 1e-3)
    np.testing.assert_allclose(
        gradient / scale, expected[1] / scale, atol=tolerance, err_msg=loss.name
    )
