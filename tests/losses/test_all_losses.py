"""What holds for every loss of the package."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from supcon_tf.config.stages import LOSSES as ACTS_ON
from supcon_tf.losses import (
    PARTS,
    CrossEntropyLoss,
    MarginContrastiveLoss,
    MulticlassHingeLoss,
    SupervisedContrastiveLoss,
)
from supcon_tf.losses.base import Batch

from .cases import ALL, LABELS, PAIRWISE, random_outputs, value_and_gradient
from .oracles import numerical_gradient


def test_value_equals_the_slow_loop(each_dtype_policy):
    for _ in each_dtype_policy():
        for name, loss, oracle in ALL:
            for dtype, tolerance in [("float32", 1e-5), ("float64", 1e-12)]:
                for seed in range(3):
                    outputs = random_outputs(dtype=dtype, seed=seed)
                    value = loss(LABELS, outputs)
                    assert (value.dtype, value.shape) == (dtype, ()), name
                    expected = pytest.approx(oracle(LABELS, outputs), rel=tolerance)
                    assert float(value) == expected, name


def test_half_precision_is_computed_in_float32(each_dtype_policy):
    for _ in each_dtype_policy():
        for name, loss, oracle in ALL:
            for dtype in ("bfloat16", "float16"):
                outputs = tf.cast(random_outputs(), dtype)
                value = loss(LABELS, outputs)
                assert value.dtype == "float32", name
                rounded = tf.cast(outputs, tf.float64).numpy()
                expected = pytest.approx(oracle(LABELS, rounded), rel=1e-5)
                assert float(value) == expected, name


def test_gradient_equals_central_differences_of_the_slow_loop():
    outputs = random_outputs()
    for name, loss, oracle in ALL:
        _, gradient = value_and_gradient(loss, LABELS, outputs)
        expected = numerical_gradient(lambda point, f=oracle: f(LABELS, point), outputs)
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-5, atol=1e-8, err_msg=name
        )


@pytest.mark.slow
def test_losses_are_the_same_compiled_by_xla_and_with_any_shape():
    # Keras compiles with XLA by default where there is a GPU.
    labels, outputs = tf.constant(LABELS, tf.float64), tf.constant(random_outputs())
    unknown = [tf.TensorSpec([None], tf.float64), tf.TensorSpec([None] * 2, tf.float64)]
    for name, loss, _ in ALL:
        expected = value_and_gradient(loss, labels, outputs)
        compiled = tf.function(_traced(loss), jit_compile=True, autograph=False)
        traced = tf.function(_traced(loss), unknown, autograph=False)
        for function in (compiled, traced):
            value, gradient = function(labels, outputs)
            assert float(value) == pytest.approx(expected[0], rel=1e-9), name
            np.testing.assert_allclose(
                gradient, expected[1], rtol=1e-7, atol=1e-12, err_msg=name
            )
        for wrong in (float("nan"), 0.5, 2.0**53, *([] if loss.pairwise else [-1, 99])):
            no_labels = tf.constant([wrong, *LABELS[1:]], tf.float64)
            with pytest.raises(ValueError, match=r"y_true must be integers.*Received:"):
                loss(no_labels, outputs)
            with pytest.raises(tf.errors.InvalidArgumentError, match="be integers"):
                traced(no_labels, outputs)
            # XLA can't raise.
            assert np.isnan(compiled(no_labels, outputs)[0]), name


def _traced(loss):
    def value_and_slope(labels, outputs):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = loss(labels, outputs)
        return value, tape.gradient(value, outputs)

    return value_and_slope


def test_more_labels_than_rows_are_refused_where_a_graph_can_see_them():
    labels = tf.constant([0, 0, 1, 1, 0, 1], tf.int64)
    for jit_compile in (False, True):
        for loss in (MarginContrastiveLoss(), MulticlassHingeLoss()):
            traced = tf.function(
                lambda y, z, loss=loss: loss(y, z),
                input_signature=[
                    tf.TensorSpec([None], tf.int64),
                    tf.TensorSpec([4, 5]),
                ],
                jit_compile=jit_compile,
                autograph=False,
            )
            with pytest.raises(tf.errors.InvalidArgumentError):
                traced(labels, tf.ones([4, 5]))
            assert np.isfinite(traced(labels[:4], tf.ones([4, 5])))


def test_labels_that_their_dtype_cannot_tell_apart_are_refused():
    outputs = random_outputs(2)
    for dtype, bits in [("bfloat16", 8), ("float16", 11), ("float32", 24)]:
        for loss in (SupervisedContrastiveLoss(), MarginContrastiveLoss()):
            largest = tf.cast([2**bits - 1, 0], dtype)
            assert np.isfinite(loss(largest, outputs))
            with pytest.raises(ValueError, match="must be integers"):
                loss(largest + 1, outputs)
    with pytest.raises(ValueError, match=r"integers\. Received: string"):
        MarginContrastiveLoss()(["cat", "dog"], outputs)


def test_labels_may_have_one_or_two_axes_and_any_number_type():
    for name, loss, oracle in ALL:
        expected = pytest.approx(oracle(LABELS, random_outputs()))
        for dtype in ("int32", "int64", "uint8", "float32", "float64"):
            labels = LABELS.astype(dtype)
            assert float(loss(labels, random_outputs())) == expected, name
            assert float(loss(labels[:, None], random_outputs())) == expected, name


def test_large_labels_stay_different_classes(each_dtype_policy):
    # bfloat16 has 8 bits: it would take 256 for 257, and float16 40000 for 40001.
    pairs = [
        ((256, 257), "int64"),
        ((256, 257), "float32"),
        ((40000, 40001), "float32"),
        ((1, 2**32 + 1), "int64"),
    ]
    outputs = random_outputs(4)
    for _ in each_dtype_policy():
        for name, loss, oracle in PAIRWISE:
            for pair, dtype in pairs:
                labels = np.array([*pair, *pair])
                expected = oracle(labels, outputs)
                value = float(loss(labels.astype(dtype), outputs))
                assert value == pytest.approx(expected), (name, pair)
                assert expected != pytest.approx(oracle(np.zeros(4), outputs), rel=0.01)


def test_large_labels_pick_their_own_logit(each_dtype_policy):
    logits = np.zeros((2, 300), np.float32)
    logits[[0, 1], [256, 257]] = 5
    for _ in each_dtype_policy():
        for variant in ("max", "sum"):
            loss = MulticlassHingeLoss(variant=variant)
            assert float(loss([256, 257], logits)) == 0
            assert float(loss([257, 256], logits)) >= 6


def test_large_labels_survive_keras_evaluate(each_dtype_policy):
    outputs, labels = random_outputs(8, dtype="float32"), np.arange(8) % 4 + 255
    for _ in each_dtype_policy():
        for name, loss, oracle in PAIRWISE:
            model = keras.Sequential([keras.Input([5]), keras.layers.Identity()])
            model.compile(loss=loss)
            seen = tf.cast(model(outputs), tf.float64).numpy()
            value = model.evaluate(outputs, labels, batch_size=8, verbose=0)
            assert value == pytest.approx(oracle(labels, seen), rel=1e-5), name


def test_wrong_shapes_are_refused():
    cases = [
        (np.zeros((4, 3)), (4, 2), r"\(N,\) or \(N, 1\)\. Received: \(4, 3\)"),
        (np.zeros((4, 1, 1)), (4, 2), r"\(N,\) or \(N, 1\)\. Received: \(4, 1, 1\)"),
        (np.zeros(()), (1, 2), r"\(N,\) or \(N, 1\)\. Received: \(\)"),
        (
            np.zeros(1),
            (4, 2),
            r"one label for each row .*Received: \(1,\) and \(4, 2\)",
        ),
        (
            np.zeros(8),
            (4, 2),
            r"one label for each row .*Received: \(8,\) and \(4, 2\)",
        ),
        (np.zeros(4), (4,), r"shape \(N, D\)\. Received: \(4,\)"),
        (np.zeros(4), (4, 2, 2), r"shape \(N, D\)\. Received: \(4, 2, 2\)"),
    ]
    for _, loss, _ in ALL:
        for labels, shape, message in cases:
            with pytest.raises(ValueError, match=message):
                loss(labels, np.ones(shape, np.float32))


def test_sample_weight_is_refused():
    for _, loss, _ in ALL:
        message = f"{type(loss).__name__} .* no sample_weight"
        with pytest.raises(ValueError, match=message):
            loss(LABELS, random_outputs(), sample_weight=np.ones(len(LABELS)))


def test_wrong_constructor_arguments_are_refused():
    nan = float("nan")
    cases = [
        (lambda: SupervisedContrastiveLoss(0), "temperature=0"),
        (lambda: SupervisedContrastiveLoss(-0.1), "temperature=-0.1"),
        (lambda: SupervisedContrastiveLoss(nan), "temperature=nan"),
        (lambda: SupervisedContrastiveLoss(1, 0), "base_temperature=0"),
        (lambda: SupervisedContrastiveLoss(1, -2), "base_temperature=-2"),
        (lambda: SupervisedContrastiveLoss(variant="both"), "variant='both'"),
        *(
            (
                lambda margins=margins: MarginContrastiveLoss(*margins),
                "positive_margin={}, negative_margin={}".format(*margins),
            )
            for margins in [(0.2, 0.8), (0.5, 0.5), (1.5, 0), (0.5, -1.5), (nan, 0)]
        ),
        (lambda: MulticlassHingeLoss(0), "margin=0"),
        (lambda: MulticlassHingeLoss(nan), "margin=nan"),
        (lambda: MulticlassHingeLoss(variant="mean"), "variant='mean'"),
        (lambda: CrossEntropyLoss(1), "1"),
        (lambda: CrossEntropyLoss(-0.1), "-0.1"),
    ]
    for build, received in cases:
        with pytest.raises(ValueError, match="must") as error:
            build()
        assert str(error.value).endswith(f" Received: {received}")


def test_serialisation_keeps_every_constructor_argument():
    for loss in (
        SupervisedContrastiveLoss(0.3, 0.7, "in", name="first"),
        MarginContrastiveLoss(0.6, -0.3, name="second"),
        MulticlassHingeLoss(2.5, "sum", name="third"),
        CrossEntropyLoss(0.3, name="fourth"),
    ):
        arguments = inspect.signature(type(loss)).parameters
        config = loss.get_config()
        assert config == {name: getattr(loss, name) for name in arguments}
        changed = [config[name] != arguments[name].default for name in arguments]
        assert all(changed), "a default value would pass without being kept"

        serialized = keras.losses.serialize(loss)
        assert serialized["registered_name"] == f"supcon_tf>{type(loss).__name__}"
        restored = keras.losses.deserialize(serialized)
        assert type(restored) is type(loss)
        assert restored.get_config() == config
        expected = float(loss(LABELS, random_outputs()))
        assert float(restored(LABELS, random_outputs())) == expected


@pytest.mark.slow
def test_losses_fall_in_keras_fit():
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 4
    inputs = (np.eye(8)[labels] + rng.normal(0, 0.3, (64, 8))).astype(np.float32)
    for name, loss, _ in ALL:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input([8]), keras.layers.Dense(6)])
        model.compile(keras.optimizers.Adam(0.03), loss=loss)
        # Within `fit` that would have the step traced twice.
        model.optimizer.build(model.trainable_variables)
        losses = model.fit(inputs, labels, epochs=10, verbose=0).history["loss"]
        # With some 7 positives of its own in the denominator, SupCon stays above
        # log(7). Smoothed labels cost more than nothing, too.
        floor = np.log(7) if isinstance(loss, SupervisedContrastiveLoss) else 0
        assert losses[-1] - floor < 0.7 * (losses[0] - floor), name


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
)
def test_order_of_the_batch_does_not_matter(labels, seed):
    labels, outputs = np.array(labels), random_outputs(len(labels), seed=seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    for name, loss, _ in ALL:
        value, gradient = value_and_gradient(loss, labels, outputs)
        moved, moved_gradient = value_and_gradient(loss, labels[order], outputs[order])
        assert moved == pytest.approx(value, rel=1e-9, abs=1e-12), name
        np.testing.assert_allclose(
            moved_gradient, gradient[order], rtol=1e-6, atol=1e-10, err_msg=name
        )


@settings(deadline=None, max_examples=15)
@given(
    scales=st.lists(st.floats(1e-3, 1e9), min_size=9, max_size=9),
    seed=st.integers(0, 2**16),
)
def test_length_of_the_embeddings_does_not_matter(scales, seed):
    outputs = random_outputs(seed=seed)
    scaled = np.array(scales)[:, None] * outputs
    unit = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    for name, loss, _ in PAIRWISE:
        value = pytest.approx(float(loss(LABELS, outputs)), rel=1e-9)
        assert float(loss(LABELS, scaled)) == value, name
        assert float(loss(LABELS, unit)) == value, name


def test_huge_embeddings_are_as_good_as_any():
    # Their squares are beyond float32 from 1e19 on.
    outputs = random_outputs(dtype="float32")
    for name, loss, _ in PAIRWISE:
        value, gradient = value_and_gradient(loss, LABELS, outputs)
        for scale in (1e10, 1e20, 1e30):
            scaled = outputs * np.float32(scale)
            huge, huge_gradient = value_and_gradient(loss, LABELS, scaled)
            assert huge == pytest.approx(value, rel=1e-5), name
            np.testing.assert_allclose(
                huge_gradient.astype("float64") * scale,
                gradient,
                rtol=1e-3,
                atol=1e-3,
                err_msg=name,
            )


def test_zero_embeddings_have_finite_gradients():
    for name, loss, _ in PAIRWISE:
        for zeros in (slice(0, 1), slice(0, 3), slice(None)):
            for dtype in ("float32", "float64"):
                outputs = random_outputs(dtype=dtype)
                outputs[zeros] = 0
                value, gradient = value_and_gradient(loss, LABELS, outputs)
                assert np.isfinite(value), (name, zeros)
                assert np.isfinite(gradient).all(), (name, zeros)


def test_a_batch_of_one_costs_nothing():
    for name, loss, _ in PAIRWISE:
        for dtype in ("float32", "float64"):
            outputs = random_outputs(1, dtype=dtype)
            value, gradient = value_and_gradient(loss, [3], outputs)
            assert value == 0, name
            np.testing.assert_array_equal(gradient, np.zeros((1, 5)), err_msg=name)


def test_terms_of_two_replicas_add_up_to_the_whole_batch():
    labels, outputs = tf.constant(LABELS), tf.constant(random_outputs())
    for name, loss, _ in ALL:
        whole, whole_gradient = value_and_gradient(loss, LABELS, outputs)
        for split in (4, 1):
            for as_offset in (int, tf.constant):
                value, gradient = _in_two_parts(loss, labels, outputs, split, as_offset)
                assert value == pytest.approx(float(whole), rel=1e-12), name
                np.testing.assert_allclose(
                    gradient, whole_gradient, rtol=1e-9, atol=1e-12, err_msg=name
                )


def _in_two_parts(loss, labels, outputs, split, as_offset):
    """The loss and its gradient, added up over two replicas' shares."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(outputs)
        replicas = [
            loss.terms(
                labels[start:end],
                outputs[start:end],
                Batch(outputs, labels, as_offset(start)),
            )
            for start, end in [(0, split), (split, len(LABELS))]
        ]
        counts = [
            sum(int(part.count) for part in parts)
            for parts in zip(*replicas, strict=True)
        ]
        values = [
            sum(
                term.total / max(count, 1)
                for term, count in zip(terms, counts, strict=True)
            )
            for terms in replicas
        ]
    gradient = sum(tape.gradient(value, outputs).numpy() for value in values)
    return float(sum(values)), gradient


def test_a_stages_losses_are_the_same_on_either_side_of_tensorflow():
    assert PARTS.keys() == ACTS_ON.keys()
    for name, (loss, _) in PARTS.items():
        assert loss.pairwise == (ACTS_ON[name] == "embeddings")
