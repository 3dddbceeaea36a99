"""Batch norm folded into convolutions: the same answers, fewer layers."""

import keras
import numpy as np
import pytest

from supcon_tf.models import ContrastiveClassifier, resnet18
from supcon_tf.models.folding import fold_batch_norm, folded_weights

SHAPE = (12, 12, 3)


def with_random_weights(model, seed=0):
    """Weights as training leaves them: no variance of 1, no mean of 0."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        positive = variable.name in ("gamma", "moving_variance")
        low, high = (0.5, 2) if positive else (-0.3, 0.3)
        variable.assign(rng.uniform(low, high, variable.shape))
    return model


def norms(model):
    found = model._flatten_layers()
    return [x for x in found if isinstance(x, keras.layers.BatchNormalization)]


def assert_same_answers(model, images, remaining=0, atol=1e-4):
    twin = fold_batch_norm(model)
    wanted, found = np.asarray(model(images)), np.asarray(twin(images))
    assert len(norms(twin)) == remaining
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=atol)
    return twin


@pytest.fixture
def images():
    return np.random.default_rng(1).random((5, *SHAPE), np.float32)


@pytest.mark.parametrize("stem", ["small", "imagenet"])
@pytest.mark.parametrize("reads", ["features", "projection"])
def test_folded_classifier_gives_the_same_logits(images, stem, reads):
    encoder = resnet18(SHAPE, width=4, stem=stem)
    model = with_random_weights(
        ContrastiveClassifier(encoder, 5, 6, classifier_input=reads)
    )
    twin = assert_same_answers(model, images)
    assert isinstance(twin, ContrastiveClassifier)
    np.testing.assert_allclose(twin.embed(images), model.embed(images), atol=1e-4)


def test_float64_classifier_is_folded_to_float64_rounding(images):
    encoder = resnet18(SHAPE, width=4, dtype="float64")
    model = with_random_weights(ContrastiveClassifier(encoder, 5, dtype="float64"))
    twin = fold_batch_norm(model)
    wanted = np.asarray(model(images.astype(np.float64)))
    found = np.asarray(twin(images.astype(np.float64)))
    assert np.abs(found - wanted).max() < 1e-10 * np.abs(wanted).max()


def test_original_keeps_its_weights_and_layers(images):
    model = with_random_weights(ContrastiveClassifier(resnet18(SHAPE, width=4), 5))
    before = [np.asarray(v) for v in model.variables]
    twin = fold_batch_norm(model)
    twin.set_weights([np.zeros_like(w) for w in twin.get_weights()])
    assert len(norms(model)) == 20
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_pair_of_a_one_by_one_convolution_by_hand():
    convolution = keras.layers.Conv2D(1, 1)
    norm = keras.layers.BatchNormalization(epsilon=1.0)
    convolution.build((None, 1, 1, 1))
    norm.build((None, 1, 1, 1))
    convolution.set_weights([np.full((1, 1, 1, 1), 3.0), np.array([5.0])])
    norm.set_weights([np.array([value]) for value in (4.0, 7.0, 1.0, 3.0)])
    # std = sqrt(3 + 1) = 2, so the scale is 4 / 2 = 2: kernel 2 * 3, and bias
    # 2 * (5 - 1) + 7.
    kernel, bias = folded_weights(convolution, norm)
    assert kernel.item() == 6
    assert bias.item() == 15


@pytest.mark.parametrize("affine", [True, False])
def test_sequential_model_with_biases_and_paddings_is_folded(images, affine):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(6, 3, padding="same", groups=3),
            layers.BatchNormalization(center=affine, scale=affine),
            layers.ReLU(),
            layers.Conv2D(4, 3, strides=2, use_bias=False),
            layers.BatchNormalization(epsilon=1e-2),
        ]
    )
    assert_same_answers(with_random_weights(model), images)


def unfoldable(case):
    """A functional model with one batch norm that must stay where it is."""
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    convolution = layers.Conv2D(3, 3, padding="same")
    norm = layers.BatchNormalization()
    x = convolution(inputs)
    if case == "convolution is read twice":
        return keras.Model(inputs, layers.Add()([norm(x), x]))
    if case == "convolution is an output":
        return keras.Model(inputs, layers.Concatenate()([norm(x), inputs, x]))
    if case == "convolution is shared":
        return keras.Model(inputs, layers.Add()([norm(x), convolution(norm(x))]))
    if case == "batch norm is shared":
        return keras.Model(inputs, norm(layers.Conv2D(3, 1)(norm(x))))
    if case == "activation between":
        return keras.Model(inputs, norm(layers.ReLU()(x)))
    if case == "convolution has an activation":
        return keras.Model(inputs, norm(layers.Conv2D(3, 1, activation="relu")(inputs)))
    if case == "other axis":
        return keras.Model(inputs, layers.BatchNormalization(axis=1)(x))
    return keras.Model(inputs, norm(layers.DepthwiseConv2D(3)(inputs)))


@pytest.mark.parametrize(
    "case",
    [
        "convolution is read twice",
        "convolution is an output",
        "convolution is shared",
        "batch norm is shared",
        "activation between",
        "convolution has an activation",
        "other axis",
        "depthwise",
    ],
)
def test_batch_norm_stays_where_folding_would_change_the_answer(images, case):
    assert_same_answers(with_random_weights(unfoldable(case)), images, remaining=1)


def test_models_inside_models_are_folded(images):
    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(3, 3), layers.BatchNormalization()]
    )
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inner(inputs) + 1.0)))
    assert_same_answers(with_random_weights(model), images)
