"""How well an embedding separates the classes, and how far the boundaries are."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.evaluation.batches import ImageFunction, compiled, in_batches
from supcon_tf.evaluation.embedding.separation import (
    mean_cosines,
    nearest_neighbour_predictions,
    pair_cosines,
)
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.models.margins import relative_margins, signed_margins
from supcon_tf.results.record import EmbeddingFigures

NEIGHBOURS = 20
TRAIN_LIMIT = 10_000
PAIRS = 20_000


def embedding_quality(
    model: keras.Model,
    train: Split | None,
    split: Split,
    *,
    seed: int = 0,
    classifier_trained: bool = True,
) -> tuple[EmbeddingFigures, dict[str, np.ndarray]]:
    """Measures a `ContrastiveClassifier`'s embedding on the images of a split.

    Args:
        model: the model; any other Keras model gives None for every figure, as there
            is no telling which of its layers is the embedding.
        train: training images, of which up to 10,000 (class-balanced) are the
            neighbours; without them `knn_accuracy` is None.
        split: the images that are measured.
        seed: of the choice of training images and of the sampled pairs.
        classifier_trained: False leaves the margins out, and has a linear probe.

    Returns:
        The figures, and arrays: `embeddings` (N, D), `margins` and
        `relative_margins` (N,), `positive_cosines` and `negative_cosines` (a sample of
        pairs). No arrays for another Keras model.
    """
    if not isinstance(model, ContrastiveClassifier):
        return EmbeddingFigures(), {}
    forward = _forward(model, split)
    outputs = in_batches(forward, split)
    embeddings, labels = outputs["embeddings"], split.labels
    intra, inter = mean_cosines(embeddings, labels)
    positive, negative = pair_cosines(embeddings, labels, PAIRS, seed)
    arrays = {
        "embeddings": embeddings,
        "positive_cosines": positive,
        "negative_cosines": negative,
    }
    found: dict[str, Any] = {"intra_class_cosine": intra, "inter_class_cosine": inter}
    if train is not None and len(train):
        known = _sampled(train, seed)
        vectors = in_batches(forward, known)["embeddings"]
        found |= _neighbours(vectors, known.labels, embeddings, labels)
    if classifier_trained:
        arrays |= _margins(model, outputs["read"], labels)
        found |= _distribution("margin", arrays["margins"])
        found |= _distribution("relative_margin", arrays["relative_margins"])
    elif train is not None:
        probe = linear_probe_accuracy(model, train, split, seed=seed)
        found["linear_probe_accuracy"] = probe
    # What a model that has diverged gives is no figure, and no JSON.
    finite = {k: v for k, v in found.items() if v is not None and math.isfinite(v)}
    return EmbeddingFigures(**finite), arrays


def linear_probe_accuracy(
    model: keras.Model, train: Split, split: Split, *, seed: int = 0
) -> float | None:
    """Accuracy on `split` of a logistic regression on the encoder's frozen features.

    Stands in for the classifier where training left it untouched.

    Args:
        model: a `ContrastiveClassifier`; None is returned for any other model.
        train: images that the regression learns from, up to 10,000, class-balanced.
        split: images that it is judged on.
        seed: of the choice of training images.
    """
    if not isinstance(model, ContrastiveClassifier):
        return None
    # scikit-learn takes a second to load, which other evaluations need not wait for.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learned = _sampled(train, seed)
    forward = _forward(model, split)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(in_batches(forward, learned)["features"], learned.labels)
    return float(probe.score(in_batches(forward, split)["features"], split.labels))


def _sampled(train: Split, seed: int) -> Split:
    rows = balanced_sample(train.labels, TRAIN_LIMIT, seed)
    return train.subset(rows)


def _forward(model: ContrastiveClassifier, split: Split) -> ImageFunction:
    """Gives features, unit embeddings, and the vectors that the classifier reads."""

    def forward(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model.outputs_of(images)
        return {
            "features": outputs["features"],
            "embeddings": tf.cast(outputs["embedding"], tf.float32),
            "read": outputs[model.classifier_input],
        }

    return compiled(forward, split)


def _neighbours(
    known: np.ndarray, known_labels: np.ndarray, unknown: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    count = min(NEIGHBOURS, len(known))
    predicted = nearest_neighbour_predictions(known, known_labels, unknown, count)
    return {
        "knn_accuracy": float((predicted == labels).mean()),
        "knn_neighbours": count,
        "knn_train_examples": len(known),
    }


def _margins(
    model: ContrastiveClassifier, read: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    kernel = model.classifier.kernel.numpy().astype(np.float64)
    bias = model.classifier.bias.numpy().astype(np.float64)
    return {
        "margins": signed_margins(read, labels, kernel, bias),
        "relative_margins": relative_margins(read, labels, kernel, bias),
    }


def _distribution(name: str, values: np.ndarray) -> dict[str, Any]:
    return {
        f"{name}_mean": float(values.mean()),
        f"{name}_median": float(np.median(values)),
        f"{name}_std": float(values.std()),
    }
