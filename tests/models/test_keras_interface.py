"""`ContrastiveClassifier` as users of Keras use any model."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import train
from supcon_tf.errors import UserError
from supcon_tf.losses import (
    CrossEntropyLoss,
    MarginContrastiveLoss,
    MulticlassHingeLoss,
    SupervisedContrastiveLoss,
)
from supcon_tf.models import ContrastiveClassifier, load_model, resnet18
from supcon_tf.training.objective import losses_for

pytestmark = pytest.mark.usefixtures("shallow")

REPOSITORY = Path(__file__).parents[2]
ALL_LOSSES = {
    "cross_entropy": (1.0, CrossEntropyLoss()),
    "supcon": (0.5, SupervisedContrastiveLoss()),
    "margin": (2.0, MarginContrastiveLoss()),
    "hinge": (0.3, MulticlassHingeLoss()),
}
CROSS_ENTROPY = {"cross_entropy": (1.0, CrossEntropyLoss())}
KERAS_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((16, 4, 4, 1), np.float32)


LABELS = np.arange(16) % 4


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    """An encoder that knows no shape before it is called."""

    def __init__(self, units=5, **arguments):
        super().__init__(**arguments)
        self.units = units
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(units)

    def call(self, images):
        return self.dense(self.flatten(images))

    def get_config(self):
        return {"units": self.units, "name": self.name}


def encoder(**arguments):
    inputs = keras.Input((4, 4, 1))
    features = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.Dense(5, **arguments)(features))


def compiled(losses=ALL_LOSSES, network=None, **arguments):
    model = ContrastiveClassifier(network or encoder(), 4)
    model.compile(keras.optimizers.SGD(0.1), losses, **arguments)
    return model


@pytest.mark.slow
def test_a_step_compiled_by_xla_is_the_step(images):
    # Keras compiles with XLA wherever there is one GPU.
    views = np.stack([images, images[:, :, ::-1]], axis=1)
    found = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = compiled(weight_decay=0.01, jit_compile=jit_compile)
        metrics = model.train_on_batch(views, LABELS, return_dict=True)
        found.append((metrics, model.get_weights()))
    (metrics, weights), (xla_metrics, xla_weights) = found
    assert metrics == pytest.approx(xla_metrics, rel=1e-4)
    for one, other in zip(weights, xla_weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_the_step_of_each_recipe_is_compiled_by_xla(images, monkeypatch):
    # Flagfiles name each other from the root of the repository.
    monkeypatch.chdir(REPOSITORY)
    steps = {}
    for file in Path("flags").glob("*.flags"):
        words = [f"--flagfile={file}"]
        if "\n--dataset=folder\n" in file.read_text():
            words.append("--data_dir=images")
        config, _ = train.parse_flags(["train.py", *words])
        for _, stage in config.stages():
            losses = losses_for(stage, config.loss)
            steps[frozenset(losses)] = losses
    assert len(steps) > 1
    for losses in steps.values():
        model = compiled(losses, jit_compile=True)
        assert np.isfinite(model.train_on_batch(images, LABELS)).all()


@pytest.mark.slow
def test_a_residual_network_trains_under_xla():
    images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    model = compiled(CROSS_ENTROPY, resnet18((8, 8, 1), 1), jit_compile=True)
    assert np.isfinite(model.train_on_batch(images, LABELS[:4])).all()


def test_a_step_equals_that_of_a_plain_keras_model(images):
    # With a regularizer on weights, one on activations, and a loss of the layer's own.
    @keras.saving.register_keras_serializable(package="tests")
    class Costly(keras.layers.Layer):
        def call(self, features):
            self.add_loss(0.01 * keras.ops.mean(features**2))
            return features

    def network():
        inputs = keras.Input((4, 4, 1))
        features = keras.layers.Flatten()(inputs)
        features = keras.layers.Dense(
            5, kernel_regularizer=keras.regularizers.L2(0.1), activity_regularizer="l1"
        )(features)
        return keras.Model(inputs, Costly()(features))

    ours = compiled(CROSS_ENTROPY, network())
    plain = keras.Sequential([network(), keras.layers.Dense(4)])
    plain.build((None, 4, 4, 1))
    plain.set_weights(ours.get_weights())
    plain.compile(
        keras.optimizers.SGD(0.1),
        KERAS_CROSS_ENTROPY,
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, "top")],
    )
    ours.compile(
        keras.optimizers.SGD(0.1),
        CROSS_ENTROPY,
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2, "top")],
    )
    for step in ("train_on_batch", "test_on_batch"):
        mine = getattr(ours, step)(images, LABELS, return_dict=True)
        theirs = getattr(plain, step)(images, LABELS, return_dict=True)
        for name in ("loss", "accuracy", "top"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-5), name
        assert mine["loss"] > mine["cross_entropy"] + 0.01
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_batches_are_trained_and_tested_alone(images):
    model = compiled()
    names = ["loss", *ALL_LOSSES, "accuracy", "contrastive_accuracy"]
    assert [metric.name for metric in model.metrics] == names
    assert len(model.train_on_batch(images, LABELS)) == len(names)
    alone = model.test_on_batch(images, LABELS[:, None], return_dict=True)
    whole = model.evaluate(images, LABELS, batch_size=16, verbose=0, return_dict=True)
    assert alone == pytest.approx(whole)
    assert set(alone) == set(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": {}}, "losses must name at least one part"),
        ({"losses": CrossEntropyLoss()}, "losses must name at least one part"),
        ({"losses": {"ce": CrossEntropyLoss()}}, r"'ce' of losses must be \(weight"),
        ({"losses": {"ce": (True, CrossEntropyLoss())}}, "'ce' must be a number"),
        ({"losses": {"ce": (np.nan, CrossEntropyLoss())}}, "number. Received: nan"),
        ({"losses": {"ce": (1.0, KERAS_CROSS_ENTROPY)}}, "a loss of supcon_tf.losses"),
        ({"losses": {"accuracy": (1.0, CrossEntropyLoss())}}, "Received: 'accuracy'"),
        ({"losses": {"loss": (1.0, CrossEntropyLoss())}}, "Received: 'loss'"),
        ({"losses": {"val_loss": (1.0, CrossEntropyLoss())}}, "Received: 'val_loss'"),
        ({"metrics": ["accuracy"]}, "names of their own.*Received: 'accuracy'"),
        ({"metrics": [keras.metrics.Mean("supcon")]}, "Received: 'supcon'"),
        ({"weighted_metrics": ["mse"]}, "weighted_metrics is not taken"),
        ({"loss_weights": [2.0]}, "loss_weights is not taken"),
        ({"loss": "mse"}, "loss is not taken"),
        ({"weight_decay": -1}, "weight_decay must be 0 or more. Received: -1"),
    ],
)
def test_what_compile_cannot_use_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        compiled(**arguments)


def test_what_a_step_cannot_use_is_refused_in_one_line(images):
    model = compiled()
    one_hot = np.eye(4)[LABELS]
    for call, message in [
        (lambda: model.fit(images, LABELS, sample_weight=LABELS), "sample_weight and"),
        (lambda: model.fit(images, LABELS, class_weight={0: 2.0}), "class_weight are"),
        (lambda: model.train_on_batch(images, LABELS, LABELS), "sample_weight and cl"),
        (lambda: model.test_on_batch(images, LABELS, LABELS), "sample_weight and cla"),
        (lambda: model.fit(images), "labels are needed"),
        (lambda: model.fit(images, one_hot), "integer labels, not one-hot.*4"),
        (lambda: model.test_on_batch(images, LABELS[:8]), "one label for each row"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.slow
def test_labels_that_are_none_are_refused_where_a_graph_can_see_them(images):
    model, compiled_by_xla = compiled(), compiled(jit_compile=True)
    for wrong in (np.nan, 1.5, 4, -1, 2**32):
        labels = np.where(LABELS == 3, wrong, LABELS)
        if float(wrong).is_integer():
            labels = labels.astype(np.int64)
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be integers fr"):
            model.test_on_batch(images, labels)
        # XLA can't raise.
        metrics = compiled_by_xla.test_on_batch(images, labels, return_dict=True)
        assert np.isnan([metrics[name] for name in ("loss", *ALL_LOSSES)]).all()


@pytest.mark.slow
def test_a_model_without_anything_to_train_is_refused(images):
    model = ContrastiveClassifier(encoder(), 4)
    model.trainable = False
    model.compile("sgd", ALL_LOSSES, weight_decay=0.1)
    with pytest.raises(ValueError, match="nothing is left to train"):
        model.fit(images, LABELS, verbose=0)
    assert np.isfinite(model.evaluate(images, LABELS, verbose=0)).all()


def test_weight_decay_may_find_no_kernel(images):
    model = ContrastiveClassifier(encoder(use_bias=True), 4)
    for layer in (model.encoder.layers[-1], model.classifier):
        layer.kernel.trainable = False
    model.compile("sgd", ALL_LOSSES, weight_decay=0.1)
    assert np.isfinite(model.train_on_batch(images, LABELS)).all()


@pytest.mark.slow
def test_subclassed_encoders_are_built_on_the_first_images(images, tmp_path):
    model = ContrastiveClassifier(Subclassed(), 4, 3, contrastive_input="projection")
    model.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
    model.fit(images, LABELS, verbose=0)
    assert model.embed(images).shape == (16, 3)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(images), model(images), atol=1e-6)
    # Keras' own way to build a model.
    called = ContrastiveClassifier(Subclassed(), 4)
    called(images)
    called.export(tmp_path / "called", verbose=False)
    exported = tf.saved_model.load(tmp_path / "called")
    assert exported.serve(images[:3]).shape == (3, 4)


def test_encoders_without_features_are_refused_in_one_line():
    inputs = keras.Input((4, 4, 1))
    unknown = keras.Input((None,))
    flat = keras.layers.Flatten()(inputs)
    for network in (
        keras.Model(inputs, inputs),
        keras.Model(unknown, unknown * 2),
        keras.Model(inputs, [flat, flat]),
        keras.Model([inputs, unknown], flat),
    ):
        with pytest.raises(ValueError, match=r"features \(N, F\), with a known F"):
            ContrastiveClassifier(network, 4)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16"])
def test_heads_are_float32_under_narrow_policies(policy):
    network = resnet18((8, 8, 1), 2, dtype=policy)
    model = ContrastiveClassifier(
        network, 4, contrastive_input="projection", dtype=policy
    )
    for layer in ("normalization", "features"):
        assert network.get_layer(layer).compute_dtype == "float32"
    for layer in (model.projection.layers[0], model.classifier):
        assert layer.variable_dtype == layer.compute_dtype == "float32"
    model.compile("sgd", ALL_LOSSES)
    assert {metric.dtype for metric in model.metrics} == {"float32"}


@pytest.mark.slow
def test_a_narrow_policy_trains(images):
    model = ContrastiveClassifier(resnet18((4, 4, 1), 2, dtype="float16"), 4)
    model.compile(keras.optimizers.SGD(0.01), ALL_LOSSES, weight_decay=1e-4)
    assert np.isfinite(model.train_on_batch(images, LABELS)).all()
    # A foreign encoder gives features as narrow as its policy.
    model = ContrastiveClassifier(encoder(dtype="float16"), 4)
    assert model.outputs_of(images)["features"].dtype == tf.float32


def test_a_model_is_exported_before_and_after_it_was_saved(images, tmp_path):
    model = ContrastiveClassifier(encoder(), 4)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    for network, folder in ((model, tmp_path / "new"), (loaded, tmp_path / "loaded")):
        network.export(folder, verbose=False)
        exported = tf.saved_model.load(folder)
        np.testing.assert_allclose(exported.serve(images), model(images), atol=1e-6)


class Unknown(keras.losses.Loss):
    """A loss that no other process knows."""

    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred)


def test_models_within_a_model_are_loaded_whatever_they_were_compiled_with(
    images, tmp_path
):
    inner = encoder()
    inner.compile("sgd", Unknown())
    lookup = keras.layers.IntegerLookup(vocabulary=[3, 5])
    inputs = keras.Input((4, 4, 1))
    numbers = keras.ops.cast(
        lookup(keras.ops.cast(inputs[:, 0, 0], "int64")), "float32"
    )
    outer = keras.Model(inputs, inner(inputs) + numbers)
    outer.save(tmp_path / "outer.keras")
    np.testing.assert_array_equal(
        load_model(tmp_path / "outer.keras")(images), outer(images)
    )


def test_the_reason_why_a_model_is_not_loaded_is_said(tmp_path):
    class Unregistered(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    inputs = keras.Input((4,))
    keras.Model(inputs, Unregistered()(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(UserError, match="model: Could not locate class 'Unregistered'"):
        load_model(tmp_path / "model.keras")
