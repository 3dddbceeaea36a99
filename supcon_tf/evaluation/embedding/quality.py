"""How well an embedding separates the classes, and how far the boundaries are."""

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
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measures a `ContrastiveClassifier`'s embedding on the images of a split.

    Args:
        model: the model; any other Keras model gives None for every figure, as there
            is no telling which of its layers is the embedding.
        train: training images, of which up to 10,000 (class-balanced) are the
            neighbours; without them `knn_accuracy` is None.
        split: the images that are measured.
        seed: of the choice of training images and of the sampled pairs.
        classifier_trained: False leaves the margins out.

    Returns:
        The `embedding` of robustness.json (accuracies and cosines as they are, margins
        in units of the space that the classifier reads, relative margins in lengths of
        the image's vector there), and arrays: `embeddings` (N, D), `margins` and
        `relative_margins` (N,), `positive_cosines` and `negative_cosines` (a sample of
        pairs). No arrays for another Keras model.
    """
    summary: dict[str, Any] = {
        "knn_accuracy": None,
        "knn_neighbours": None,
        "knn_train_examples": None,
        "intra_class_cosine": None,
        "inter_class_cosine": None,
        **_distribution("margin", None),
        **_distribution("relative_margin", None),
    }
    if not isinstance(model, ContrastiveClassifier):
        return summary, {}
    forward = _forward(model, split)
    outputs = in_batches(forward, split)
    embeddings, labels = outputs["embeddings"], split.labels
    intra, inter = mean_cosines(embeddings, labels)
    summary.update(intra_class_cosine=intra, inter_class_cosine=inter)
    positive, negative = pair_cosines(embeddings, labels, PAIRS, seed)
    arrays = {
        "embeddings": embeddings,
        "positive_cosines": positive,
        "negative_cosines": negative,
    }
    if train is not None and len(train):
        known = _sampled(train, seed)
        vectors = in_batches(forward, known)["embeddings"]
        count = min(NEIGHBOURS, len(known))
        predicted = nearest_neighbour_predictions(
            vectors, known.labels, embeddings, count
        )
        summary["knn_accuracy"] = float((predicted == labels).mean())
        summary.update(knn_neighbours=count, knn_train_examples=len(known))
    if classifier_trained:
        arrays.update(_margins(model, outputs["read"], labels))
        for name in ("margin", "relative_margin"):
            summary.update(_distribution(name, arrays[f"{name}s"]))
    return summary, arrays


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
    return Split(train.images[rows], train.labels[rows])


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


def _margins(
    model: ContrastiveClassifier, read: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    kernel = model.classifier.kernel.numpy().astype(np.float64)
    bias = model.classifier.bias.numpy().astype(np.float64)
    return {
        "margins": signed_margins(read, labels, kernel, bias),
        "relative_margins": relative_margins(read, labels, kernel, bias),
    }


def _distribution(name: str, values: np.ndarray | None) -> dict[str, float | None]:
    keys = (f"{name}_mean", f"{name}_median", f"{name}_std")
    if values is None:
        return dict.fromkeys(keys)
    figures = float(values.mean()), float(np.median(values)), float(values.std())
    return dict(zip(keys, figures, strict=True))
