import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.models.layers.batch_normalization import BatchNormalization

ARGUMENTS = {"momentum": 0.9, "epsilon": 1e-5, "synchronized": True}


def pair(dtype="float32", **arguments):
    """Our layer and Keras', with the same random weights."""
    arguments = {**ARGUMENTS, **arguments, "dtype": dtype}
    layers = (
        BatchNormalization(**arguments),
        keras.layers.BatchNormalization(**arguments),
    )
    rng = np.random.default_rng(1)
    for layer in layers:
        layer.build((None, 5, 6, 3))
    values = [rng.uniform(0.5, 2, v.shape) for v in layers[0].variables]
    for layer in layers:
        layer.set_weights(values)
    return layers


def run(layer, images, training):
    """Outputs, gradients in inputs and weights, and the new statistics."""
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=training)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float64) ** 3)
    sources = [images, *[v.value for v in layer.trainable_variables]]
    gradients = tape.gradient(loss, sources)
    statistics = [np.asarray(v) for v in layer.non_trainable_variables]
    return [outputs, *gradients, *statistics]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-4), ("float64", 1e-12), ("mixed_bfloat16", 3e-2)],
)
def test_fused_layer_equals_keras_layer(dtype, tolerance, training, computable):
    computable(dtype)
    images = np.random.default_rng(0).normal(2, 3, (7, 5, 6, 3))
    compute = "bfloat16" if dtype == "mixed_bfloat16" else dtype
    ours, theirs = (
        run(layer, tf.cast(images, compute), training) for layer in pair(dtype)
    )
    for mine, other in zip(ours, theirs, strict=True):
        mine, other = (np.asarray(tf.cast(t, tf.float64)) for t in (mine, other))
        scale = np.abs(other).max() + 1e-6
        np.testing.assert_allclose(mine / scale, other / scale, atol=tolerance)


def test_moving_variance_has_no_bessel_correction():
    layer, _ = pair()
    images = np.random.default_rng(0).normal(size=(2, 1, 1, 3)).astype("float32")
    layer.moving_variance.assign(np.zeros(3))
    layer(images, training=True)
    # Of two values the corrected variance would be twice the plain one.
    expected = 0.1 * images.reshape(2, 3).var(axis=0)
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-5)


@pytest.mark.parametrize("missing", ["scale", "center"])
def test_fused_layer_works_without_scale_or_center(missing):
    images = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")
    ours = BatchNormalization(**{missing: False})
    theirs = keras.layers.BatchNormalization(**{missing: False})
    np.testing.assert_allclose(
        ours(images, training=True), theirs(images, training=True), atol=1e-5
    )


def test_frozen_layer_keeps_its_statistics():
    layer, _ = pair()
    layer.trainable = False
    before = np.asarray(layer.moving_mean)
    layer(np.random.default_rng(0).normal(size=(4, 5, 6, 3)), training=True)
    np.testing.assert_array_equal(layer.moving_mean, before)


def test_layer_runs_on_vectors_as_keras_does():
    layer = BatchNormalization()
    theirs = keras.layers.BatchNormalization()
    vectors = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    np.testing.assert_allclose(
        layer(vectors, training=True), theirs(vectors, training=True), atol=1e-5
    )


def test_config_survives_a_round_trip():
    layer, theirs = pair()
    copy = BatchNormalization.from_config(layer.get_config())
    assert copy.momentum == 0.9
    assert copy.synchronized
    assert set(layer.get_config()) == set(theirs.get_config())
