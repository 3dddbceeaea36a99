"""Cosines, neighbours and margins against slow loops and known geometry."""

import numpy as np
import pytest

from supcon_tf.data import Split
from supcon_tf.evaluation.embedding.quality import (
    embedding_quality,
    linear_probe_accuracy,
)
from supcon_tf.evaluation.embedding.separation import (
    mean_cosines,
    nearest_neighbour_predictions,
    pair_cosines,
)
from supcon_tf.models import ContrastiveClassifier, resnet18
from supcon_tf.models.margins import signed_margins
from supcon_tf.results.record import EmbeddingFigures

pytestmark = pytest.mark.usefixtures("shallow")


def unit_vectors(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def splits(digits):
    images = np.repeat(np.repeat(np.repeat(digits.images, 2, 1), 2, 2), 3, 3)
    return (
        Split(images[:200], digits.labels[:200]),
        Split(images[200:260], digits.labels[200:260]),
    )


def network(width=4, **arguments) -> ContrastiveClassifier:
    return ContrastiveClassifier(resnet18((16, 16, 3), width), 10, **arguments)


def test_mean_cosines_are_those_of_a_loop_over_pairs():
    vectors, labels = unit_vectors(17, 5), np.arange(17) % 3
    same, different = [], []
    for i in range(17):
        for j in range(17):
            if i != j:
                (same if labels[i] == labels[j] else different).append(
                    vectors[i] @ vectors[j]
                )
    intra, inter = mean_cosines(vectors, labels)
    assert intra == pytest.approx(np.mean(same))
    assert inter == pytest.approx(np.mean(different))


def test_mean_cosines_are_none_without_such_pairs():
    vectors = unit_vectors(3, 4)
    assert mean_cosines(vectors, np.arange(3))[0] is None
    assert mean_cosines(vectors, np.zeros(3, int))[1] is None


def test_sampled_pairs_have_the_means_of_all_pairs():
    vectors = unit_vectors(60, 3)
    # Of unequal sizes and out of order, so that a biased choice would show.
    labels = np.random.default_rng(1).choice(4, 60, p=[0.6, 0.2, 0.1, 0.1])
    positive, negative = pair_cosines(vectors, labels, 200_000, seed=0)
    intra, inter = mean_cosines(vectors, labels)
    assert positive.mean() == pytest.approx(intra, abs=0.01)
    assert negative.mean() == pytest.approx(inter, abs=0.01)


def test_sampled_pairs_are_never_an_image_with_itself_or_of_the_wrong_kind():
    angles = np.array([0.0, 0.5, 2.0, 3.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    positive, negative = pair_cosines(vectors, np.array([0, 1, 0, 1]), 500, seed=0)
    assert set(positive.round(5)) == set(np.cos([2.0, 2.5]).astype(np.float32).round(5))
    assert set(negative.round(5)) == set(
        np.cos([0.5, 3.0, 1.5, 1.0]).astype(np.float32).round(5)
    )


def test_pairs_that_do_not_exist_are_not_sampled():
    positive, negative = pair_cosines(unit_vectors(3, 2), np.arange(3), 10, seed=0)
    assert len(positive) == 0
    assert len(negative) == 10


def test_neighbours_vote_as_in_a_slow_loop():
    known, labels = unit_vectors(50, 4), np.arange(50) % 5
    unknown = unit_vectors(30, 4, seed=1)
    predicted = nearest_neighbour_predictions(known, labels, unknown, 7)
    for vector, prediction in zip(unknown, predicted, strict=True):
        cosines = known @ vector
        nearest = np.argsort(-cosines)[:7]
        votes = {
            label: (
                (labels[nearest] == label).sum(),
                cosines[nearest][labels[nearest] == label].sum(),
            )
            for label in labels[nearest]
        }
        assert prediction == max(votes, key=votes.get)


def test_a_tie_goes_to_the_nearer_class():
    known = np.array([[1.0, 0.0], [0.0, 1.0]])
    unknown = np.array([[0.6, 0.8], [0.8, 0.6]])
    predicted = nearest_neighbour_predictions(known, np.array([0, 1]), unknown, 2)
    assert list(predicted) == [1, 0]


def test_vectors_that_are_not_finite_are_near_to_none():
    known, labels = unit_vectors(40, 4), np.arange(40) % 4
    unknown = unit_vectors(20, 4, seed=1)
    expected = nearest_neighbour_predictions(known, labels, unknown, 5)
    known = np.concatenate([known, np.full((3, 4), np.nan)])
    unknown = np.concatenate([unknown, [[np.inf, 0, 0, 0]]])
    labels = np.concatenate([labels, np.zeros(3, int)])
    predicted = nearest_neighbour_predictions(known, labels, unknown, 5)
    np.testing.assert_array_equal(predicted[:-1], expected)


def test_margins_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(20, 6)), rng.integers(0, 4, 20)
    kernel, bias = rng.normal(size=(6, 4)), rng.normal(size=4)
    margins = signed_margins(vectors, labels, kernel, bias)
    for vector, label, margin in zip(vectors, labels, margins, strict=True):
        logits = vector @ kernel + bias
        distances = [
            (logits[label] - logits[j])
            / np.linalg.norm(kernel[:, label] - kernel[:, j])
            for j in range(4)
            if j != label
        ]
        assert margin == pytest.approx(min(distances))
        assert (margin > 0) == (logits.argmax() == label)


@pytest.mark.parametrize(("share", "flipped"), [(0.999, False), (1.001, True)])
def test_the_margin_is_how_far_a_point_must_move_to_be_misclassified(share, flipped):
    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(size=(2, 3)), rng.normal(size=3)
    points = rng.normal(size=(50, 2))
    labels = (points @ kernel + bias).argmax(axis=1)
    margins = signed_margins(points, labels, kernel, bias)
    angles = np.linspace(0, 2 * np.pi, 20_000)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for point, label, margin in zip(points, labels, margins, strict=True):
        around = point + share * margin * circle
        assert ((around @ kernel + bias).argmax(axis=1) != label).any() == flipped


def test_a_class_with_the_same_weights_is_no_boundary():
    kernel, bias = np.array([[1.0, 1.0, 0.0]]), np.zeros(3)
    margins = signed_margins(np.array([[2.0]]), np.array([0]), kernel, bias)
    assert margins == pytest.approx([2.0])
    alike = signed_margins(np.ones((1, 1)), np.array([0]), np.ones((1, 3)), bias)
    assert alike == [0.0]


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"contrastive_input": "projection", "projection_dim": 6},
        {"classifier_input": "projection", "projection_dim": 6},
    ],
)
def test_the_measured_vectors_are_those_that_the_heads_use(inputs, splits):
    model = network(**inputs)
    train, split = splits
    summary, arrays = embedding_quality(model, train, split)
    images = split.pixels()
    assert arrays["embeddings"] == pytest.approx(model.embed(images).numpy(), abs=1e-5)
    predictions = model(images).numpy().argmax(axis=1)
    assert ((arrays["margins"] > 0) == (predictions == split.labels)).all()
    read = model.outputs_of(images)[model.classifier_input].numpy()
    lengths = np.linalg.norm(read, axis=1)
    assert arrays["relative_margins"] * lengths == pytest.approx(
        arrays["margins"], rel=1e-3
    )
    assert summary.margin_median == pytest.approx(np.median(arrays["margins"]))
    assert summary.knn_train_examples == 200
    assert summary.knn_neighbours == 20
    assert summary.knn_accuracy > 0.2


def test_what_is_not_finite_is_no_figure(splits):
    """A stage that trained no classifier may have diverged unnoticed."""
    diverged = network(contrastive_input="projection", projection_dim=6)
    last = diverged.projection.trainable_variables[-1]
    last.assign(np.full(last.shape, np.nan))
    train, _ = splits
    summary, arrays = embedding_quality(diverged, train, splits[1])
    assert np.isnan(arrays["embeddings"]).all()
    assert summary.intra_class_cosine is summary.inter_class_cosine is None
    assert summary.knn_accuracy is not None


def test_an_untrained_classifier_has_no_margins(splits):
    untrained = network()
    summary, arrays = embedding_quality(untrained, *splits, classifier_trained=False)
    assert summary.margin_mean is None
    assert "margins" not in arrays
    assert summary.linear_probe_accuracy == linear_probe_accuracy(untrained, *splits)
    assert summary.knn_accuracy is not None


def test_without_training_images_there_are_no_neighbours(splits):
    summary, _ = embedding_quality(network(), None, splits[1])
    assert summary.knn_accuracy is None
    assert summary.intra_class_cosine is not None


def test_a_foreign_model_has_no_embedding(honest, test_digits):
    summary, arrays = embedding_quality(honest, test_digits, test_digits)
    assert summary == EmbeddingFigures()
    assert arrays == {}
    assert linear_probe_accuracy(honest, test_digits, test_digits) is None


def test_a_linear_probe_reads_random_features_better_than_chance(splits):
    assert linear_probe_accuracy(network(width=8), *splits) > 0.5
