import gc
import random
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import (
    FGSM,
    PGD,
    ProbabilityOutputError,
    RandomNoise,
    Square,
    Target,
)
from supcon_tf.errors import UserError


class Counting:
    """Counts how often Python runs the model: to probe it, then once a trace."""

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
    """However they are scaled, whatever they are wrapped in, and in any precision."""
    halves = keras.layers.Dense(4, activation="softmax", dtype="float16")
    in_xla = tf.function(lambda x: tf.nn.sigmoid(model(x)), jit_compile=True)
    for probabilities in (
        lambda x: tf.nn.softmax(model(x)),
        lambda x: 100 * tf.nn.softmax(model(x)),
        lambda x: tf.nn.softmax(tf.cast(model(x), tf.float16)),
        lambda x: tf.clip_by_value(tf.nn.softmax(model(x)), 1e-7, 1.0),
        lambda x: (tf.nn.softmax(model(x)) + tf.nn.softmax(2 * model(x))) / 2,
        lambda x: 100 * tf.nn.softmax(model(x)).numpy(),
        lambda x: in_xla(x),
        keras.Sequential([keras.layers.Flatten(), halves]),
        keras.Sequential([model, keras.layers.Lambda(keras.ops.sigmoid)]),
        keras.Sequential([model, keras.layers.Activation("hard_sigmoid")]),
    ):
        with pytest.raises(ProbabilityOutputError, match="logits"):
            RandomNoise()(probabilities, *data)


def test_logits_are_not_taken_for_probabilities(model, data):
    scale = tf.Variable(2.0)
    for logits in (
        lambda x: tf.nn.relu(model(x)),
        lambda x: tf.nn.relu6(model(x)),
        lambda x: tf.nn.silu(model(x)),
        lambda x: tf.nn.log_softmax(model(x)),
        lambda x: tf.sigmoid(model(x)) @ tf.eye(4),
        lambda x: scale * model(x) / 1e4,
        lambda x: tf.reduce_mean(x, [1, 2]) + tf.zeros(4)[:3],
        lambda x: tf.zeros([len(x), 4]) if tf.executing_eagerly() else model(x) * 0,
    ):
        RandomNoise()(logits, data[0], data[1] % 3)


def test_outputs_that_are_no_logits_are_refused(model, data):
    two = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    for output, message in (
        (lambda x: tf.zeros([len(x)]), "shape"),
        (lambda x: tf.zeros([len(x), 1]), "two classes"),
        (lambda x: tf.reduce_sum(x, [1, 2]) * np.nan, "finite"),
        (lambda x: [model(x), model(x)], "Received: a list of 2"),
        (lambda x: {"logits": model(x), "z": x}, "Received: a dict of logits, z"),
        (lambda x: None, "NoneType"),
        (lambda x: tf.cast(model(x), tf.int32), "floating-point.* Received: int32"),
        (keras.Model(two, model(two[0])), "can't be called on images"),
        (None, "can't be called on images"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            FGSM()(output, *data)
        assert "\n" not in str(raised.value)


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
    calls = counting.calls
    for epsilon, seed in ((0.01, 0), (0.02, 1), (0.03, 2)):
        attack = PGD(epsilon=epsilon, steps=2 + seed, seed=seed, restarts=1 + seed)
        attack.survivors(target, images[:50], labels[:50], batch_size=16)
    FGSM(norm="l2").survivors_at(target, images, labels, [0.1, 0.2], batch_size=64)
    # The gradient's trace, the forward pass's trace.
    assert counting.calls == calls + 2


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


class Blurring:
    """A defence whose strength is an attribute."""

    def __init__(self, model, size):
        self.model, self.size = model, size

    def __call__(self, images):
        return self.model(tf.nn.avg_pool2d(images, self.size, 1, "SAME"))


def test_each_call_attacks_the_model_as_it_is_now(model, data):
    attack, swept = FGSM(epsilon=0.02), Blurring(model, 1)
    together = []
    for size in (1, 2, 4):
        swept.size = size
        together.append(attack.survivors(swept, *data))
    alone = [attack.survivors(Blurring(model, size), *data) for size in (1, 2, 4)]
    np.testing.assert_array_equal(together, alone)
    assert len({tuple(one) for one in alone}) == 3

    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    changing = keras.Sequential([*layers, keras.layers.Rescaling(-1.0)])

    def right():
        labels = np.argmax(changing(data[0]), axis=1)
        return RandomNoise(epsilon=0).survivors(changing, data[0], labels).all()

    assert right()
    changing.pop()
    assert right()
    changing.layers[-1].activation = keras.ops.negative
    assert right()


def test_a_target_refuses_images_of_another_shape(model, data):
    with pytest.raises(UserError, match=r"\(8, 8, 3\).* Received: \(8, 8, 1\)"):
        FGSM()(Target(model, data[0]), data[0][..., :1], data[1])


def test_random_numbers_of_python_are_not_frozen(model, data):
    images = tf.constant(data[0])
    target = Target(lambda x: model(x) * (1 + random.random()), data[0])
    assert np.abs(target.logits(images) - target.logits(images)).max() > 1e-3


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


def opaque(model):
    """The model's function where TensorFlow can't follow it."""

    def predict(images):
        return tf.constant(model.predict(images.numpy(), verbose=0))

    def in_graph(function, images):
        return tf.ensure_shape(function(images), [None, 4])

    return {
        "predict": lambda x: model.predict(x, verbose=0),
        "array": lambda x: np.asarray(model(x)),
        "function": lambda x: in_graph(
            lambda x: tf.numpy_function(lambda a: np.asarray(model(a)), [x], "float32"),
            x,
        ),
        "prepared": lambda x: model(
            tf.ensure_shape(tf.numpy_function(np.sqrt, [x], "float32"), [None, 8, 8, 3])
        ),
        "py_function": lambda x: in_graph(
            lambda x: tf.py_function(predict, [x], "float32"), x
        ),
    }


def test_a_model_that_hides_its_gradient_is_refused_where_one_is_needed(model, data):
    images, labels = data[0][:4], data[1][:4]
    attacks = [FGSM(), PGD(), PGD(random_start=False), PGD(loss="cw", targeted=True)]
    for attack, hidden in zip([*attacks, FGSM()], opaque(model).values(), strict=True):
        with pytest.raises(UserError, match="pass the Keras model") as raised:
            attack.survivors(hidden, images, labels, known_right=True)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("hidden", ["array", "function"])
def test_a_model_that_hides_its_gradient_is_searched_without_it(model, data, hidden):
    images, labels = data[0][:4], np.argmax(model(data[0][:4]), axis=1)
    for attack in (RandomNoise(epsilon=0.1), Square(epsilon=0.1, queries=5)):
        change = attack(opaque(model)[hidden], images, labels) - images
        assert 0 < np.abs(change).max() <= 0.1 + 1e-6


def test_a_gradient_that_operations_stop_is_zero(model, data):
    for stopping in (
        lambda x: model(tf.round(5 * x) / 5),
        lambda x: model(tf.cast(tf.cast(255 * x, tf.uint8), tf.float32) / 255),
        lambda x: model(tf.stop_gradient(x)),
    ):
        assert not PGD().gradients(stopping, *data).any()


def test_models_that_branch_or_take_batches_apart_are_attacked(model, data):
    images, labels = data[0][:8], data[1][:8]
    expected = FGSM(epsilon=0.1)(model, images, labels)
    for eager in (
        lambda x: tf.concat([model(one[None]) for one in tf.unstack(x)], 0),
        lambda x: model(x) if tf.reduce_mean(x) > 0 else -model(x),
        tf.function(lambda x: model(x), jit_compile=True, autograph=False),
    ):
        found = FGSM(epsilon=0.1)(eager, images, labels)
        assert np.mean(np.abs(found - expected) > 1e-6) < 0.01


def test_keras_models_of_other_dtypes_are_attacked(data):
    for policy in ("float64", "mixed_float16"):
        network = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Flatten(dtype=policy),
                keras.layers.Dense(4, dtype=policy),
            ]
        )
        adversarial = PGD(steps=3)(network, *data)
        assert adversarial.dtype == tf.float32
