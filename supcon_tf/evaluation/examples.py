"""Adversarial images to look at, and where they lie in the embedding."""

from dataclasses import dataclass

import keras
import numpy as np

from supcon_tf.attacks import Target
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.evaluation.batches import BATCH_SIZE
from supcon_tf.evaluation.session import EvaluationSession
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.results.strength import strength_text

MOST = 400


@dataclass(frozen=True)
class AdversarialExamples:
    """Images of a class-balanced sample, as they are and under FGSM.

    Args:
        images: (M, H, W, C) float32 in [0, 1].
        adversarial: (M, H, W, C) the same under attack.
        labels: (M,) true classes.
        predictions: (M,) of `images`.
        adversarial_predictions: (M,) of `adversarial`.
        embeddings: (M, D) of `images`; None if the model has none that is known.
        adversarial_embeddings: (M, D) of `adversarial`, or None.
        attack: which, and how strong, in words.
    """

    images: np.ndarray
    adversarial: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    adversarial_predictions: np.ndarray
    embeddings: np.ndarray | None
    adversarial_embeddings: np.ndarray | None
    attack: str


def adversarial_examples(
    model: keras.Model, target: Target, session: EvaluationSession
) -> AdversarialExamples:
    """Attacks up to 400 images with FGSM, at the middle epsilon of the config.

    Args:
        model: the model, as it is attacked.
        target: the same, compiled.
        session: images, epsilons and seed.
    """
    sample = _sample(session.split, session.seed)
    strengths = session.config.epsilons
    strength = strengths[len(strengths) // 2]
    images = sample.pixels()
    attack = session.attack("fgsm", strength)
    adversarial = np.asarray(attack(target, images, sample.labels))
    embedded = isinstance(model, ContrastiveClassifier)
    return AdversarialExamples(
        images,
        adversarial,
        sample.labels,
        _predictions(target, images),
        _predictions(target, adversarial),
        _embeddings(model, images) if embedded else None,
        _embeddings(model, adversarial) if embedded else None,
        f"FGSM, epsilon {strength_text(strength, session.config.norm)}",
    )


def _sample(split: Split, seed: int) -> Split:
    rows = balanced_sample(split.labels, MOST, seed)
    np.random.default_rng(seed).shuffle(rows)
    return split.subset(rows)


def _predictions(target: Target, images: np.ndarray) -> np.ndarray:
    logits = [np.asarray(target.logits(batch)) for batch in _batches(images)]
    return np.concatenate(logits).argmax(axis=1)


def _embeddings(model: ContrastiveClassifier, images: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [np.asarray(model.embed(batch)) for batch in _batches(images)]
    )


def _batches(images: np.ndarray) -> list[np.ndarray]:
    return [
        images[start : start + BATCH_SIZE]
        for start in range(0, len(images), BATCH_SIZE)
    ]
