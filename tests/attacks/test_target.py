import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import FGSM, PGD, RandomNoise, Square, Target
from supcon_tf.attacks.target import ProbabilityOutputError
from supcon_tf.errors import UserError


class Counting:
    """Counts how often Python runs the model: once to probe, then once a trace."""

    def __init__(self, logits):
        self.logits = logits
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        return self.logits(images)


def test_softmax_models_are_refused(model, data):
    for last in (keras.layers.Softmax(), keras.layers.Activation("sigmoid")):
        with pytest.raises(ProbabilityOutputError, match="without an activation"):
            FGSM()(keras.Sequential([model, last]), *data)


def test_a_softmax_inside_a_nested_model_is_found(model, data):
    inner = keras.Sequential([model, keras.layers.Softmax()])
    with pytest.raises(ProbabilityOutputError, match="softmax"):
        FGSM()(keras.Sequential([keras.Input((8, 8, 3)), inner]), *data)


def test_functions_that_return_probabilities_are_refused(model, data):
    with pytest.raises(ProbabilityOutputError, match="must return logits"):
        FGSM()(lambda images: tf.nn.softmax(model(images)), *data)


def test_logits_are_not_taken_for_probabilities(model, data):
    for logits in (
        lambda images: tf.nn.relu(model(images)),
        lambda images: tf.nn.log_softmax(model(images)),
        lambda images: model(images) / 1e4,
    ):
        FGSM()(logits, *data)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda images: tf.zeros([tf.shape(images)[0]]), "shape"),
        (lambda images: tf.zeros([tf.shape(images)[0], 1]), "two classes"),
        (lambda images: tf.reduce_sum(images, [1, 2]) * np.nan, "finite"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(output, message, data):
    with pytest.raises(UserError, match=message):
        FGSM()(output, *data)


def test_logits_that_turn_infinite_under_attack_are_refused(data):
    images = np.full((5, 8, 8, 3), 0.5, np.float32)

    def explodes(batch):
        # The probe sees these images and noise in [0, 1], none of it all at 0.6.
        level = tf.reduce_min(batch, axis=(1, 2, 3))
        bad = tf.where(level > 0.59, np.inf, tf.reduce_mean(batch, axis=(1, 2, 3)))
        return tf.stack([-bad, bad, bad], axis=1)

    with pytest.raises(UserError, match="finite"):
        FGSM(epsilon=0.1)(explodes, images, np.zeros(5, int))


def test_ratio_loss_needs_three_classes(data):
    with pytest.raises(UserError, match="at least 3 classes"):
        FGSM(loss="dlr")(
            lambda images: tf.reduce_mean(images, [1, 2])[:, :2], data[0], data[1] % 2
        )


def test_one_trace_serves_every_epsilon_seed_and_batch(model, data):
    counting = Counting(model)
    images, labels = data
    target = Target(counting, images)
    for epsilon, seed in ((0.01, 0), (0.02, 1), (0.03, 2)):
        attack = PGD(epsilon=epsilon, steps=2 + seed, seed=seed, restarts=1 + seed)
        attack.survivors(target, images[:50], labels[:50], batch_size=16)
    FGSM(norm="l2").survivors_at(target, images, labels, [0.1, 0.2], batch_size=64)
    # The probe, the gradient's trace, the forward pass's trace.
    assert counting.calls == 3


def test_new_weights_are_seen_without_a_new_trace(data):
    scale = tf.Variable(1.0)
    counting = Counting(lambda images: scale * tf.reduce_mean(images, [1, 2]))
    target = Target(counting, data[0])
    labels = np.zeros(len(data[0]), int)
    before = PGD().gradients(target, data[0], labels)
    calls = counting.calls
    scale.assign(-1.0)
    after = PGD().gradients(target, data[0], labels)
    assert counting.calls == calls
    assert np.abs(before - after).max() > 1e-4


def attack_and_forget(kind, data):
    """A weak reference to a model that was attacked and then let go."""
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    attacked = {
        "keras": network,
        "function": lambda images: network(images) / 2,
        "method": network.call,
    }[kind]
    PGD(steps=2)(attacked, *data)
    return weakref.ref(network)


@pytest.mark.parametrize("kind", ["keras", "function", "method"])
def test_attacked_models_are_not_kept_alive(kind, data):
    reference = attack_and_forget(kind, data)
    gc.collect()
    assert reference() is None


def test_models_run_in_inference_mode(data):
    seen = []

    def logits(images, training=True):
        seen.append(training)
        return tf.reduce_mean(images, [1, 2])

    FGSM()(logits, data[0], data[1] % 3)
    assert set(seen) == {False}
    dropping = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Dropout(0.9), keras.layers.Flatten()]
    )
    gradients = PGD(loss="cw").gradients(dropping, *data)
    # A margin of the pixels themselves: +1 at one, -1 at another, nothing dropped.
    np.testing.assert_allclose(np.abs(gradients).sum(axis=(1, 2, 3)), 2, rtol=1e-5)


@pytest.mark.parametrize("attack", [RandomNoise(), Square(queries=5)])
def test_numpy_models_work_where_no_gradient_is_needed(attack, data):
    labels = np.zeros(len(data[0]), int)
    adversarial = attack(
        lambda images: np.asarray(images).mean(axis=(1, 2)), data[0], labels
    )
    assert adversarial.shape == data[0].shape


def test_keras_models_of_other_dtypes_are_attacked(data):
    for policy in ("float64", "mixed_bfloat16"):
        network = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Flatten(dtype=policy),
                keras.layers.Dense(4, dtype=policy),
            ]
        )
        adversarial = PGD(steps=3)(network, *data)
        assert adversarial.dtype == tf.float32
