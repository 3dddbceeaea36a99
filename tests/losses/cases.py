"""The losses under test, each with its oracle, and what several tests compute."""

from functools import partial

import numpy as np
import tensorflow as tf

from supcon_tf.losses import (
    CrossEntropyLoss,
    MarginContrastiveLoss,
    MulticlassHingeLoss,
    SupervisedContrastiveLoss,
)

from . import oracles

# Name, loss, and oracle of each.
PAIRWISE = [
    *(
        (
            f"supcon_{variant}",
            SupervisedContrastiveLoss(temperature=0.3, variant=variant),
            partial(oracles.supervised_contrastive, temperature=0.3, variant=variant),
        )
        for variant in ("out", "in")
    ),
    (
        "margin",
        MarginContrastiveLoss(positive_margin=0.7, negative_margin=-0.1),
        partial(oracles.margin_contrastive, positive_margin=0.7, negative_margin=-0.1),
    ),
]
ALL = [
    *PAIRWISE,
    *(
        (
            f"hinge_{variant}",
            MulticlassHingeLoss(margin=0.8, variant=variant),
            partial(oracles.multiclass_hinge, margin=0.8, variant=variant),
        )
        for variant in ("max", "sum")
    ),
    ("cross_entropy", CrossEntropyLoss(), oracles.cross_entropy),
    (
        "smoothed",
        CrossEntropyLoss(label_smoothing=0.2),
        partial(oracles.cross_entropy, label_smoothing=0.2),
    ),
]

# Three classes with several samples, two with one; also valid for five logits.
LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2, 4])


def random_outputs(rows=9, columns=5, dtype="float64", seed=0):
    """Embeddings (or logits) of no particular length."""
    outputs = np.random.default_rng(seed).normal(0, 2, (rows, columns))
    return outputs.astype(dtype)


def at_angles(*degrees):
    """Unit vectors in the plane."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def value_and_gradient(loss, labels, outputs):
    """The loss and its gradient with respect to `outputs`, as numpy."""
    outputs = tf.convert_to_tensor(outputs)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        value = loss(labels, outputs)
    return value.numpy(), tape.gradient(value, outputs).numpy()
