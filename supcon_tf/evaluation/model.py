"""The evaluation of one model."""

import json
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from supcon_tf.config import EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.evaluation.checks.run import run_checks
from supcon_tf.evaluation.embedding.quality import embedding_quality
from supcon_tf.evaluation.parts import Journal
from supcon_tf.evaluation.robustness import (
    measure_robustness,
    refuse_impossible_attacks,
    target_of,
)
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.models.build import in_full_precision
from supcon_tf.models.folding import fold_batch_norm
from supcon_tf.models.twin import FEW, layers_of
from supcon_tf.results.record import EmbeddingFigures, ModelResult
from supcon_tf.results.typed_json import Json, plain_json, read_as
from supcon_tf.results.worst import worst_cases


@dataclass(frozen=True)
class Evaluation:
    """What was found out about a model.

    Args:
        result: its entry in robustness.json, without a file.
        outcomes: whether each image (N,) is classified correctly, under "clean" and
            "ATTACK@EPSILON".
        arrays: embeddings, margins and cosines for the figures.
    """

    result: ModelResult
    outcomes: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]

    @property
    def summary(self) -> dict[str, Json]:
        """The model's entry in robustness.json, but for the stage and the file."""
        entry = plain_json(self.result)
        del entry["stage"]
        return entry


def evaluate(
    model: keras.Model,
    split: Split,
    config: EvaluationConfig | None = None,
    *,
    seed: int = 0,
    train: Split | None = None,
    source: keras.Model | None = None,
    classifier_trained: bool = True,
    with_checks: bool = True,
    deterministic: bool = False,
    title: str = "evaluate",
    journal: Journal | None = None,
    stage: str = "final",
) -> Evaluation:
    """Measures a model's accuracy, clean and under attack, and its embedding.

    Args:
        model: any Keras model from [0,1] images (N, H, W, C) to logits.
        split: the images to attack, with their labels.
        config: attacks, epsilons, checks; the defaults if None.
        seed: of everything random in the attacks.
        train: training images, that nearest neighbours are looked up in.
        source: the model that makes the images of the transfer attack.
        classifier_trained: False if the logits mean nothing yet; they are then not
            attacked, and a linear probe is reported instead.
        with_checks: whether to look for masked gradients.
        deterministic: whether a second evaluation should give the same bits.
        title: of the progress bars.
        journal: where finished parts are kept and found again; None keeps nothing.
        stage: that the model comes from.

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
        UserError: if an attack can't be made, or the model can't be computed in full
            precision.
    """
    config = config or EvaluationConfig()
    refuse_impossible_attacks(config, seed, source)
    model = for_attacks(model, split)
    source = None if source is None else for_attacks(source, split)
    journal = journal or Journal()

    def embedding_part() -> dict[str, Any]:
        figures, arrays = embedding_quality(
            model, train, split, seed=seed, classifier_trained=classifier_trained
        )
        return {"figures": json.dumps(plain_json(figures)), **arrays}

    arrays = journal.part("embedding", embedding_part)
    embedding = read_as(EmbeddingFigures, json.loads(str(arrays.pop("figures"))))
    if not classifier_trained:
        untrained = ModelResult(
            stage=stage, clean_accuracy=None, attacks=None, embedding=embedding
        )
        return Evaluation(untrained, {}, arrays)
    # All attacks share one target of each model, so each is compiled once.
    target = target_of(model, split)
    if source is not None:
        source = target_of(source, split)
    robustness = measure_robustness(target, split, config, seed, source, title, journal)
    checks = None
    if with_checks:
        checks = run_checks(
            target,
            split,
            config,
            seed=seed,
            source=source,
            attacks=robustness.rows,
            deterministic=deterministic,
            title=f"{title}: checks",
            journal=journal.within("checks"),
        )
    result = ModelResult(
        stage=stage,
        clean_accuracy=robustness.clean_accuracy,
        attacks=tuple(robustness.rows),
        worst=worst_cases(robustness.rows, robustness.outcomes),
        embedding=embedding,
        checks=checks,
    )
    return Evaluation(result, robustness.outcomes, arrays)


def for_attacks(model: keras.Model, split: Split | None = None) -> keras.Model:
    """The same function, in full precision and quicker: batch norm folded away.

    Args:
        model: any Keras model.
        split: images that it takes, on a few of which the two are compared.

    Raises:
        UserError: if the model can't be computed in full precision.
    """
    images = None
    if split is not None and len(split):
        images = split.images[:FEW].astype(np.float32) / 255
    model = in_full_precision(model, images)
    norm = keras.layers.BatchNormalization
    has_norm = any(isinstance(layer, norm) for layer in layers_of(model))
    foldable = isinstance(model, ContrastiveClassifier) and has_norm
    return fold_batch_norm(model, images) if foldable else model
