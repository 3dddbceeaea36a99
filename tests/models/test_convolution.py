import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.models import resnet18
from supcon_tf.models.layers import convolution
from supcon_tf.models.layers.convolution import (
    Conv2D,
    by_convolution,
    by_product,
    by_products,
)
from supcon_tf.runtime.processor import processor_features


def kernels_gradient(images, upstream, stride, size=3):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=[size, size, images.shape[-1], upstream.shape[-1]],
        out_backprop=upstream,
        strides=[1, stride, stride, 1],
        padding="SAME",
    )


def random_pair(height, width, stride, dtype="float64", count=6, channels=5):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, height, width, channels))
    outputs = count, -(-height // stride), -(-width // stride), 7
    upstream = rng.normal(size=outputs)
    return tf.constant(images, dtype), tf.constant(upstream, dtype)


@pytest.fixture
def processor(monkeypatch):
    """Makes the processor one with the given features."""

    def make(*features):
        monkeypatch.setattr(convolution, "processor_features", lambda: {*features})

    return make


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(
    ("way", "height", "width", "stride"),
    [
        (by_convolution, 4, 4, 1),
        (by_convolution, 8, 8, 1),
        (by_convolution, 1, 1, 1),
        (by_convolution, 3, 5, 1),
        (by_convolution, 16, 16, 1),
        (by_convolution, 16, 16, 2),
        (by_convolution, 10, 12, 1),
        (by_convolution, 3, 80, 1),
        (by_convolution, 28, 20, 2),
        (by_convolution, 8, 4, 2),
        (by_convolution, 2, 2, 2),
        (by_products, 4, 4, 1),
        (by_products, 8, 8, 1),
        (by_products, 1, 1, 1),
        (by_products, 3, 5, 1),
    ],
)
def test_each_way_gives_the_gradient_of_the_kernel(
    way, height, width, stride, dtype, error
):
    images, upstream = random_pair(height, width, stride, dtype)
    found = way(images, upstream, stride)
    wanted = kernels_gradient(images, upstream, stride)
    np.testing.assert_allclose(found, wanted, rtol=error, atol=error * 10)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 5), (1, 2)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_one_product_gives_the_gradient_of_1x1_filters(height, width, stride):
    images, upstream = random_pair(height, width, stride)
    found = by_product(images, upstream, stride)
    wanted = kernels_gradient(images, upstream, stride, size=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [3, 4, 6, 8, 15])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_gradients_in_float32_are_those_in_float64_each_time(channels, size, stride):
    # oneDNN reads memory that is not its own for some shapes.
    images, _ = random_pair(32, 32, stride, count=16, channels=channels)
    layers = {
        dtype: Conv2D(8, size, stride, padding="same", dtype=dtype)
        for dtype in ("float64", "float32")
    }

    @tf.function
    def gradients(layer, images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = tf.reduce_sum(tf.sin(layer(images, training=True)))
        return tape.gradient(value, [images, layer.kernel])

    for layer in layers.values():
        layer.build(images.shape)
    layers["float64"].set_weights(layers["float32"].get_weights())
    wanted = gradients(layers["float64"], images)
    for _ in range(5):
        found = gradients(layers["float32"], tf.cast(images, tf.float32))
        for one, other in zip(found, wanted, strict=True):
            error = np.linalg.norm(one.numpy() - other.numpy())
            assert error <= 1e-5 * np.linalg.norm(other)


def test_gradients_are_right_with_onednn_too():
    """The test above, in a process that turns oneDNN on as the commands do."""
    usual = processor_features() & {"avx512_vnni", "avx512_bf16", "amx_bf16"}
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1" if usual else "0") == "1":
        pytest.skip("TensorFlow takes oneDNN's kernels on this processor by itself")
    words = ["-m", "pytest", "-n0", "-p", "no:cacheprovider", "-k", "each_time"]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run(
        [sys.executable, *words, __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("stride", [1, 2])
def test_the_layer_trains_as_kerass_does_for_any_batch(stride):
    images, _ = random_pair(8, 8, stride)
    options = {"strides": stride, "padding": "same", "activation": "tanh"}
    found = []
    for kind in (Conv2D, keras.layers.Conv2D):
        keras.utils.set_random_seed(0)
        layer = kind(3, 3, bias_initializer="ones", **options, dtype="float64")
        layer.build(images.shape)

        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 5), tf.float64)])
        def step(images, layer=layer, own=kind is Conv2D):
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = layer(images, **({"training": True} if own else {}))
                value = tf.reduce_sum(outputs**2)
            return outputs, *tape.gradient(value, [images, *layer.trainable_weights])

        found.append(step(images))
    assert len(found[0]) == 4
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def way_taken(layer, shape, monkeypatch, training=True):
    """The function that computes the layer's filter gradient, None for the kernel."""
    taken = []

    def spy(images, kernel, stride, filter_gradient):
        taken.append(filter_gradient)
        return tf.nn.conv2d(images, kernel, stride, "SAME")

    monkeypatch.setattr(convolution, "_convolve", spy)
    layer.build((2, *[side or 8 for side in shape]))
    spec = tf.TensorSpec((2, *shape), layer.compute_dtype)
    # Traced only: not every machine can compute in every dtype.
    tf.function(lambda x: layer(x, training=training)).get_concrete_function(spec)
    return taken[0] if taken else None


def test_only_what_is_quicker_otherwise_leaves_the_kernel(processor, monkeypatch):
    avx2, avx512, amx = {"avx2"}, {"avx2", "avx512f"}, {"avx2", "avx512f", "amx_bf16"}
    strided = {"kernel_size": 1, "strides": 2}
    for features, shape, policy, options, way in (
        (avx2, (8, 8, 4), "float32", {}, by_convolution),
        (avx2, (16, 16, 4), "float32", {}, by_convolution),
        (avx2, (16, 16, 4), "float32", {"strides": 2}, by_convolution),
        (avx2, (17, 16, 4), "float32", {}, None),
        (avx2, (34, 32, 4), "float32", {"strides": 2}, None),
        (avx2, (15, 15, 4), "float32", {"strides": 2}, None),
        (avx2, (8, 8, 4), "float32", {"strides": 3}, None),
        (avx2, (8, 8, 4), "float32", {"padding": "valid"}, None),
        (avx2, (8, 8, 4), "float32", {"kernel_size": 1}, None),
        (avx2, (8, 8, 4), "float32", strided, by_product),
        (avx2, (8, 8, 16), "float32", strided, None),
        (avx2, (8, 8, 4), "float32", {"dilation_rate": 2}, None),
        (avx2, (8, 8, 4), "float32", {"groups": 2, "filters": 4}, None),
        (avx2, (None, None, 4), "float32", {}, None),
        (avx2, (8, 8, 4), "float64", {}, None),
        (avx2, (8, 8, 4), "mixed_float16", {}, None),
        (avx2, (8, 8, 4), "mixed_bfloat16", {}, None),
        (avx512, (8, 8, 4), "float32", {}, None),
        (avx512, (8, 8, 4), "mixed_bfloat16", {}, None),
        (amx, (8, 8, 4), "float32", {}, None),
        (amx, (8, 8, 4), "mixed_bfloat16", {}, by_products),
        (amx, (16, 16, 4), "mixed_bfloat16", {}, None),
        (amx, (8, 8, 4), "mixed_bfloat16", {"strides": 2}, None),
        (amx, (None, None, 4), "mixed_bfloat16", strided, by_product),
        ((), (8, 8, 4), "float32", {}, None),
        ((), (8, 8, 4), "float32", strided, by_product),
    ):
        processor(*features)
        settings = {"filters": 3, "kernel_size": 3, "padding": "same", **options}
        layer = Conv2D(**settings, dtype=policy)
        found = way_taken(layer, shape, monkeypatch)
        assert found is way, (features, shape, policy, options)


@pytest.mark.parametrize("training", [False, None])
def test_only_training_leaves_the_kernel(processor, monkeypatch, training):
    processor("avx2")
    layer = Conv2D(3, 3, padding="same")
    assert way_taken(layer, (4, 4, 4), monkeypatch, training) is None


def test_a_network_trains_its_small_maps_by_convolution(processor, monkeypatch):
    processor("avx2")
    taken = []
    whole = by_convolution

    def spy(images, upstream, stride):
        taken.append((images.shape[1:], stride))
        return whole(images, upstream, stride)

    monkeypatch.setattr(convolution, "by_convolution", spy)
    network = resnet18((32, 32, 3), width=4)

    @tf.function
    def gradient(images):
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(tf.square(network(images, training=True)))
        return tape.gradient(value, network.trainable_variables)

    gradient(tf.ones((2, 32, 32, 3)))
    maps = []
    for side, channels in ((4, 32), (8, 16), (16, 8)):
        maps += [((side, side, channels), 1)] * 3
        maps += [((2 * side, 2 * side, channels // 2), 2)]
    assert taken == maps


def test_a_network_in_bfloat16_has_the_same_gradients_either_way(
    processor, monkeypatch, computable
):
    computable("bfloat16")
    taken = []

    def spy(*pair):
        taken.append(pair)
        return by_products(*pair)

    monkeypatch.setattr(convolution, "by_products", spy)
    images = tf.random.stateless_uniform((8, 16, 16, 3), [1, 2])
    found = []
    for features in ({"amx_bf16"}, set()):
        processor(*features)
        keras.utils.set_random_seed(0)
        network = resnet18((16, 16, 3), width=4, dtype="mixed_bfloat16")
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(tf.square(network(images, training=True)))
        found.append(tape.gradient(value, network.trainable_variables))
        # Three convolutions on maps of 8x8, 4x4 and 2x2 each.
        assert len(taken) == 9
    for one, other in zip(*found, strict=True):
        # bfloat16 keeps eight bits, and each layer rounds.
        assert np.linalg.norm(one - other) <= 0.03 * np.linalg.norm(other)


def test_the_layer_comes_back_from_its_config():
    layer = Conv2D(3, 3, padding="same", use_bias=False, name="c")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is Conv2D
    assert again.get_config() == layer.get_config()
