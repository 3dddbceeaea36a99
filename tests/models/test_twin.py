"""Twins of models answer as their originals do, or are refused."""

import keras
import numpy as np
import pytest

from supcon_tf.errors import UserError
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.models.build import in_full_precision, with_dtype_policy
from supcon_tf.models.folding import fold_batch_norm
from supcon_tf.models.twin import refuse_another_function

layers = keras.layers
SHAPE = (8, 8, 3)
IMAGES = np.random.default_rng(0).random((30, *SHAPE), np.float32) * 0.3


def adapted(layer, data=IMAGES):
    layer.adapt(data)
    return layer


class Twice(layers.Layer):
    """Holds an adapted layer, and is not registered."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Normalization()

    def build(self, shape):
        self.inner.build(shape)

    def call(self, images):
        return 2 * self.inner(images)


def doubled(images):
    return 2 * images


def low_rank():
    layer = layers.Dense(3)
    layer.build(SHAPE)
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 3)))
    return [layer]


def twice():
    layer = Twice()
    layer(IMAGES)
    layer.inner.adapt(IMAGES)
    return [layer]


def looked_up():
    classes = layers.Discretization(num_bins=7, output_mode="int")
    numbers = adapted(layers.IntegerLookup(), np.repeat(np.arange(7)[::-1], range(7)))
    return [adapted(classes), numbers, layers.Rescaling(0.2)]


STATEFUL = {
    "adapted": lambda: [adapted(layers.Normalization())],
    "adapted to each pixel": lambda: [adapted(layers.Normalization(axis=(1, 2, 3)))],
    "adapted to one number": lambda: [adapted(layers.Normalization(axis=None))],
    "adapted and inverted": lambda: [adapted(layers.Normalization(invert=True))],
    "given": lambda: [layers.Normalization(mean=[0.1] * 3, variance=[0.2] * 3)],
    "adapted within a model": lambda: [
        keras.Sequential([keras.Input(SHAPE), adapted(layers.Normalization())])
    ],
    "adapted within a layer": twice,
    "bins and vocabulary": looked_up,
    "spectral norm": lambda: [layers.SpectralNormalization(layers.Conv2D(3, 3))],
    "own function": lambda: [layers.Activation(doubled)],
    "low-rank update": low_rank,
}


def encoders(first):
    """A sequential and a functional model that begin with the layers."""
    convolution = layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()
    sequence = keras.Sequential(
        [keras.Input(SHAPE), *first, *convolution, layers.GlobalMaxPooling2D()]
    )
    outputs = inputs = keras.Input(SHAPE)
    for layer in sequence.layers:
        outputs = layer(outputs)
    return sequence, keras.Model(inputs, outputs)


@pytest.mark.parametrize("case", STATEFUL)
def test_a_twin_has_what_layers_keep_beside_their_weights(case):
    for encoder in encoders(STATEFUL[case]()):
        model = ContrastiveClassifier(encoder, 3)
        wanted = np.asarray(model(IMAGES))
        for twin in (fold_batch_norm(model), with_dtype_policy(model, "float32")):
            np.testing.assert_allclose(twin(IMAGES), wanted, rtol=1e-4, atol=1e-5)


@pytest.fixture
def global_policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def test_full_precision_reaches_every_layer_whatever_the_global_policy(global_policy):
    global_policy("mixed_float16")
    functional = encoders(STATEFUL["adapted"]())[1]
    full = in_full_precision(functional)
    assert {layer.compute_dtype for layer in full._flatten_layers()} == {"float32"}
    assert full(IMAGES).dtype == "float32"
    assert keras.config.dtype_policy().name == "mixed_float16"
    np.testing.assert_allclose(full(IMAGES), functional(IMAGES), rtol=0.02, atol=0.02)
    assert in_full_precision(full) is full
    folded = fold_batch_norm(full)
    assert {layer.compute_dtype for layer in folded._flatten_layers()} == {"float32"}


def test_full_precision_reaches_maps_of_policies():
    policies = keras.dtype_policies.DTypePolicyMap(default_policy="mixed_float16")
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(dtype=policies)])
    assert in_full_precision(model)(IMAGES).dtype == "float32"


def test_full_precision_reaches_quantised_layers(computable):
    computable("bfloat16")
    dense = layers.Dense(4, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), dense])
    dense.quantize("int8")
    full = in_full_precision(model)
    assert full.layers[-1].compute_dtype == "float32"
    assert full.layers[-1].kernel.dtype == "int8"


def test_a_model_that_was_fitted_with_metrics_is_copied_without_them():
    model = encoders([layers.Dropout(0.5)])[0]
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(IMAGES, np.zeros(len(IMAGES)), verbose=0)
    twin = with_dtype_policy(model, "float32")
    assert not twin.compiled
    np.testing.assert_allclose(twin(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)


def test_pixels_are_not_rounded_on_their_way_into_full_precision(global_policy):
    global_policy("float16")
    model = keras.Sequential([keras.Input(SHAPE, dtype="float16"), layers.Flatten()])
    full = in_full_precision(model)
    np.testing.assert_array_equal(full(IMAGES), IMAGES.reshape(30, -1))


class Forgets(layers.Layer):
    """Keeps a number where neither its config nor its weights have it."""

    factor = 1.0

    def call(self, images):
        return images * self.factor


class Narrow(layers.Layer):
    """Computes in float16 whatever its config says."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.ReLU(dtype="float16")

    def call(self, images):
        return self.inner(images)


def test_a_twin_that_is_another_function_is_refused_in_one_line():
    layer = Forgets()
    model = ContrastiveClassifier(encoders([layer])[0], 3)
    layer.factor = 3.0
    for make in (fold_batch_norm, lambda m: with_dtype_policy(m, "float64")):
        with pytest.raises(UserError, match="must be the same function") as error:
            make(model)
        assert "\n" not in str(error.value)
        assert str(error.value).endswith("Received: the model 'contrastive_classifier'")


def test_a_layer_that_can_only_compute_in_reduced_precision_is_refused():
    model = keras.Sequential([keras.Input(SHAPE), Narrow(), layers.Flatten()])
    with pytest.raises(UserError, match=r"that is float16 whatever its config says"):
        in_full_precision(model)


def test_a_layer_without_a_config_is_refused_in_one_line():
    class Closed(layers.Layer):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def call(self, images):
            return self.function(images)

    model = ContrastiveClassifier(encoders([Closed(lambda x: 2 * x)])[0], 3)
    with pytest.raises(UserError, match="batch norm folded could not be made") as error:
        fold_batch_norm(model)
    assert "\n" not in str(error.value)


class Noise(layers.Layer):
    """Adds other noise at each call."""

    def call(self, images):
        return images + keras.random.normal(keras.ops.shape(images))


def test_a_model_that_answers_at_random_passes_and_nans_are_equal():
    for layer in (Noise(), *map(layers.Rescaling, (float("nan"), float("inf")))):
        model = keras.Sequential([keras.Input(SHAPE), layer])
        refuse_another_function(model, model, "a copy")


def test_models_of_any_size_and_subclassed_ones_can_be_compared():
    class Subclassed(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(2)

        def call(self, images):
            return self.dense(keras.ops.mean(images, (1, 2)))

    model = Subclassed()
    with pytest.raises(UserError, match="must be called on images before"):
        refuse_another_function(model, model, "a copy")
    model(IMAGES)
    twin = with_dtype_policy(model, "float64")
    np.testing.assert_allclose(twin(IMAGES), model(IMAGES), rtol=1e-5, atol=1e-6)
    open_size = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()]
    )
    assert len(fold_batch_norm(open_size).layers) == 1
