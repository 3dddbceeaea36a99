import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.models import convolution, resnet18
from supcon_tf.models.convolution import Conv2D, convolve_3x3


def gradients(function, images, kernel, upstream):
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        outputs = function(images, kernel)
        value = tf.reduce_sum(outputs * upstream)
    return outputs, *tape.gradient(value, [images, kernel])


@pytest.fixture
def matrix_unit(monkeypatch):
    """As on a processor that has one."""
    monkeypatch.setattr(convolution, "has_matrix_unit", lambda: True)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 8), (1, 1), (3, 5)])
@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("float32", 1e-5)])
def test_products_give_the_gradients_of_the_kernel(height, width, dtype, error):
    rng = np.random.default_rng(0)

    def random(*shape):
        return tf.constant(rng.normal(size=shape), dtype)

    inputs = random(6, height, width, 5), random(3, 3, 5, 7)
    upstream = random(6, height, width, 7)
    found = gradients(convolve_3x3, *inputs, upstream)
    wanted = gradients(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME"), *inputs, upstream)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=error, atol=error * 10)


def test_products_give_the_gradients_in_a_graph_for_any_batch():
    images = tf.random.stateless_normal((3, 4, 4, 2), [1, 2])
    kernel = tf.random.stateless_normal((3, 3, 2, 2), [3, 4])
    spec = [tf.TensorSpec((None, 4, 4, 2)), tf.TensorSpec((3, 3, 2, 2))]
    compiled = tf.function(
        lambda x, k: gradients(convolve_3x3, x, k, 1.0), input_signature=spec
    )
    wanted = gradients(convolve_3x3, images, kernel, 1.0)
    for one, other in zip(compiled(images, kernel), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "policy", "options", "quick"),
    [
        ((8, 8, 4), "mixed_bfloat16", {}, True),
        ((8, 8, 4), "float32", {}, False),
        ((16, 16, 4), "mixed_bfloat16", {}, False),
        ((8, 8, 4), "mixed_bfloat16", {"strides": 2}, False),
        ((8, 8, 4), "mixed_bfloat16", {"padding": "valid"}, False),
        ((8, 8, 4), "mixed_bfloat16", {"kernel_size": 1}, False),
        ((None, None, 4), "mixed_bfloat16", {}, False),
    ],
)
def test_only_small_maps_in_bfloat16_take_the_quick_way(
    matrix_unit, monkeypatch, shape, policy, options, quick
):
    taken = []

    def spy(images, kernel):
        taken.append(1)
        return tf.nn.conv2d(images, kernel, 1, "SAME")

    monkeypatch.setattr(convolution, "convolve_3x3", spy)
    settings = {"filters": 3, "kernel_size": 3, "padding": "same", **options}
    layer = Conv2D(**settings, dtype=policy)
    images = tf.ones((2, *[side or 8 for side in shape]), layer.compute_dtype)
    spec = tf.TensorSpec((2, *shape), layer.compute_dtype)
    layer.build(images.shape)
    tf.function(lambda x: layer(x), input_signature=[spec])(images)
    assert bool(taken) == quick


def test_without_a_matrix_unit_the_kernel_computes(monkeypatch):
    monkeypatch.setattr(convolution, "has_matrix_unit", lambda: False)
    monkeypatch.setattr(convolution, "convolve_3x3", lambda *_: pytest.fail("quick"))
    Conv2D(3, 3, padding="same", dtype="mixed_bfloat16")(tf.ones((2, 4, 4, 4)))


def test_a_network_in_bfloat16_has_the_same_gradients_either_way(monkeypatch):
    images = tf.random.stateless_uniform((8, 16, 16, 3), [1, 2])
    found = {}
    for quick in (True, False):
        keras.utils.set_random_seed(0)
        monkeypatch.setattr(convolution, "has_matrix_unit", lambda q=quick: q)
        network = resnet18((16, 16, 3), width=4, dtype="mixed_bfloat16")
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(tf.square(network(images, training=False)))
        found[quick] = tape.gradient(value, network.trainable_variables)
    for one, other in zip(found[True], found[False], strict=True):
        # bfloat16 keeps eight bits, and each layer rounds.
        assert np.linalg.norm(one - other) <= 0.03 * np.linalg.norm(other)
    assert any(
        (one != other).numpy().any() for one, other in zip(*found.values(), strict=True)
    )


def test_the_layer_comes_back_from_its_config():
    layer = Conv2D(3, 3, padding="same", use_bias=False, name="c")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is Conv2D
    assert again.get_config() == layer.get_config()
