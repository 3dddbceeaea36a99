import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import (
    CrossEntropyLoss,
    MarginContrastiveLoss,
    MulticlassHingeLoss,
    SupervisedContrastiveLoss,
)
from supcon_tf.models import ContrastiveClassifier, load_model, metrics, resnet18
from supcon_tf.models.build import in_full_precision
from supcon_tf.numerics import row_blocks

pytestmark = pytest.mark.usefixtures("shallow")

ALL_LOSSES = {
    "cross_entropy": (1.0, CrossEntropyLoss()),
    "supcon": (0.5, SupervisedContrastiveLoss()),
    "margin": (2.0, MarginContrastiveLoss()),
    "hinge": (0.3, MulticlassHingeLoss()),
}
INPUT_PAIRS = [
    ("features", "features"),
    ("projection", "projection"),
    pytest.param("projection", "features", marks=pytest.mark.slow),
    pytest.param("features", "projection", marks=pytest.mark.slow),
]


def small_model(contrastive="features", classifier="features", dtype=None, width=4):
    return ContrastiveClassifier(
        resnet18(width=width, dtype=dtype),
        num_classes=4,
        projection_dim=6,
        contrastive_input=contrastive,
        classifier_input=classifier,
        class_names=("a", "b", "c", "d"),
        dtype=dtype,
    )


def compiled(model, losses=ALL_LOSSES, rate=0.05, **arguments):
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    model.compile(optimizer, losses, **arguments)
    # Within `fit` that would have the step traced twice.
    model.optimizer.build(model.trainable_variables)
    return model


def kernels(model):
    return [v for v in model.trainable_variables if v.name == "kernel"]


@pytest.mark.slow
@pytest.mark.parametrize(("contrastive", "classifier"), INPUT_PAIRS)
def test_each_pair_of_inputs_trains_and_gives_logits(
    contrastive, classifier, images_and_labels
):
    images, labels = images_and_labels
    model = compiled(small_model(contrastive, classifier, width=8), rate=0.01)
    history = model.fit(images, labels, batch_size=20, epochs=8, verbose=0).history
    assert history["cross_entropy"][-1] < history["cross_entropy"][0]
    assert model(images).shape == (40, 4)
    assert model.features(images).shape == (40, 8)
    dimension = 8 if contrastive == "features" else 6
    embeddings = model.embed(images)
    assert embeddings.shape == (40, dimension)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_projection_head_exists_only_if_something_reads_it():
    assert small_model("features", "features").projection is None
    assert small_model("projection", "features").projection is not None


def test_output_is_logits_not_probabilities(images_and_labels):
    logits = np.asarray(small_model()(images_and_labels[0]))
    assert (logits < 0).any()


def test_reported_loss_is_the_weighted_sum_of_the_reported_parts(images_and_labels):
    images, labels = images_and_labels
    model = compiled(small_model(), weight_decay=0.1)
    found = model.evaluate(images, labels, batch_size=40, verbose=0, return_dict=True)
    expected = sum(w * found[name] for name, (w, _) in ALL_LOSSES.items())
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert model.loss_weights == {n: w for n, (w, _) in ALL_LOSSES.items()}


def test_reported_parts_equal_the_losses_called_alone(images_and_labels):
    images, labels = images_and_labels
    model = compiled(small_model("projection"))
    found = model.evaluate(images, labels, batch_size=40, verbose=0, return_dict=True)
    outputs = model.outputs_of(tf.constant(images))
    for name, key in [
        ("cross_entropy", "logits"),
        ("supcon", "projection"),
        ("margin", "projection"),
        ("hinge", "logits"),
    ]:
        alone = ALL_LOSSES[name][1](labels, outputs[key])
        assert found[name] == pytest.approx(float(alone), rel=1e-4)
    accuracy = (np.argmax(outputs["logits"], axis=1) == labels).mean()
    assert found["accuracy"] == pytest.approx(accuracy)


def test_one_step_equals_sgd_written_out(images_and_labels):
    images, labels = images_and_labels
    model = small_model(dtype="float64")
    optimizer = keras.optimizers.SGD(0.125)
    model.compile(optimizer, {"cross_entropy": (1.0, CrossEntropyLoss())})
    before = [np.asarray(v) for v in model.trainable_variables]
    twin = small_model(dtype="float64")
    twin.set_weights(model.get_weights())
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels, twin(images.astype("float64"), training=True)
        )
        loss = tf.reduce_mean(losses)
    variables = [v.value for v in twin.trainable_variables]
    gradients = tape.gradient(loss, variables)
    model.train_step((tf.constant(images, tf.float64), tf.constant(labels)))
    for variable, old, gradient in zip(
        model.trainable_variables, before, gradients, strict=True
    ):
        np.testing.assert_allclose(variable, old - 0.125 * gradient, atol=1e-12)


def test_weight_decay_is_l2_in_the_gradient_of_kernels_only(images_and_labels):
    images, labels = (tf.constant(x) for x in images_and_labels)
    results = []
    for decay in (0.0, 0.01):
        keras.utils.set_random_seed(3)
        model = small_model()
        model.compile(
            keras.optimizers.SGD(0.5),
            {"cross_entropy": (1.0, CrossEntropyLoss())},
            weight_decay=decay,
        )
        before = [np.asarray(v) for v in model.trainable_variables]
        model.train_step((images, labels))
        results.append([np.asarray(v) for v in model.trainable_variables])
    for variable, old, plain, decayed in zip(
        model.trainable_variables, before, *results, strict=True
    ):
        shrink = 0.5 * 0.01 * old if variable.name == "kernel" else 0 * old
        np.testing.assert_allclose(decayed, plain - shrink, atol=1e-5)
    assert len(kernels(model)) == 4


@pytest.mark.slow
def test_two_views_train_as_twice_the_samples(images_and_labels):
    images, labels = images_and_labels
    views = np.stack([images, images[:, :, ::-1]], axis=1)
    flat = views.reshape(-1, 32, 32, 3)
    weights = []
    for data in ((views, labels), (flat, np.repeat(labels, 2))):
        keras.utils.set_random_seed(1)
        model = compiled(small_model(dtype="float64"))
        model.train_step(tuple(tf.constant(x) for x in data))
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [2, 4, 256])
def test_contrastive_accuracy_counts_nearest_neighbours_of_the_same_class(
    rows, monkeypatch
):
    monkeypatch.setattr(row_blocks, "ROWS", rows)
    angles = np.radians([0, 10, 30, 100, 105, 200])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[3]] * 2
    labels = np.array([0, 0, 1, 1, 1, 2])
    specs = [tf.TensorSpec([None, 2], tf.float64), tf.TensorSpec([None], tf.int64)]
    any_size = tf.function(
        lambda z, y: metrics.nearest_has_same_label(z, y), input_signature=specs
    )
    by_xla = tf.function(
        lambda z, y: metrics.nearest_has_same_label(z, y),
        input_signature=specs,
        jit_compile=True,
    )
    for function in (metrics.nearest_has_same_label, any_size, by_xla):
        same, has_positive = function(points, labels)
        # 0-1 and 3-4 are mutual neighbours, 2 lies nearest to 1, class 2 is alone.
        np.testing.assert_array_equal(same[:5], [True, True, False, True, True])
        np.testing.assert_array_equal(has_positive, [True] * 5 + [False])


def test_frozen_encoder_neither_learns_nor_updates_statistics(images_and_labels):
    model = small_model()
    model.encoder.trainable = False
    compiled(model)
    before = model.encoder.get_weights()
    head = np.asarray(model.classifier.kernel)
    model.fit(*images_and_labels, batch_size=20, epochs=1, verbose=0)
    for old, new in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(head, model.classifier.kernel)


@pytest.mark.parametrize(
    "policy",
    [
        "mixed_bfloat16",
        *(
            pytest.param(p, marks=pytest.mark.slow)
            for p in ("mixed_float16", "float64")
        ),
    ],
)
def test_other_policies_train_and_are_saved_in_full(
    policy, images_and_labels, tmp_path, computable
):
    computable(policy)
    images, labels = images_and_labels
    model = compiled(small_model(dtype=policy), weight_decay=1e-4)
    history = model.fit(images, labels, batch_size=20, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history["loss"]).all()
    full = in_full_precision(model)
    expected = "float64" if policy == "float64" else "float32"
    assert full.dtype_policy.compute_dtype == expected
    layers = full.encoder.layers[1:]
    assert {layer.compute_dtype for layer in layers} == {expected}
    for old, new in zip(model.get_weights(), full.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_mixed_precision_does_not_round_images_before_normalisation(images_and_labels):
    model = small_model(dtype="mixed_float16")
    seen = []
    layer = model.encoder.get_layer("normalization")
    layer.call = lambda images: seen.append(images.dtype) or images
    model(images_and_labels[0])
    assert seen == [tf.float32]


@pytest.mark.parametrize(("contrastive", "classifier"), INPUT_PAIRS)
def test_saved_model_gives_the_same_logits_uncompiled(
    contrastive, classifier, images_and_labels, tmp_path
):
    images, _ = images_and_labels
    model = small_model(contrastive, classifier)
    rng = np.random.default_rng(0)
    # Those of batch norm too, whose variances are positive.
    model.set_weights([rng.uniform(0.1, 0.3, w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    assert loaded.class_names == ("a", "b", "c", "d")
    np.testing.assert_array_equal(loaded(images), model(images))
    np.testing.assert_array_equal(loaded.embed(images), model.embed(images))
    # Those of another library's user, who only imported the package.
    plain = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(plain(images), model(images))


@pytest.mark.slow
def test_loaded_model_can_be_trained_on(images_and_labels, tmp_path):
    images, labels = images_and_labels
    small_model().save(tmp_path / "model.keras")
    model = compiled(load_model(tmp_path / "model.keras"))
    history = model.fit(images, labels, batch_size=20, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "at least 2. Received: 1"),
        ({"contrastive_input": "logits"}, "Received: 'logits'"),
        ({"classifier_input": "pixels"}, "Received: 'pixels'"),
        ({"class_names": ("a",)}, "must be 4 names. Received: 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveClassifier(resnet18(width=2), **{"num_classes": 4, **arguments})
