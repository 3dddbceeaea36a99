"""The evaluation of one model."""

import json
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from supcon_tf.config import EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.evaluation.attack_factory import refuse_impossible_attacks
from supcon_tf.evaluation.attacked_model import for_attacks
from supcon_tf.evaluation.batches import target_of
from supcon_tf.evaluation.checks.run import run_checks
from supcon_tf.evaluation.embedding.quality import embedding_quality
from supcon_tf.evaluation.examples import AdversarialExamples, adversarial_examples
from supcon_tf.evaluation.finished_parts import FinishedParts
from supcon_tf.evaluation.robustness import measure_robustness
from supcon_tf.evaluation.session import EvaluationSession
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
        examples: adversarial images for the figures, if they were asked for.
    """

    result: ModelResult
    outcomes: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    examples: AdversarialExamples | None = None

    @property
    def summary(self) -> dict[str, Json]:
        """The model's entry in robustness.json, but for the stage and the file."""
        entry = plain_json(self.result)
        del entry["stage"]
        return entry


@dataclass(frozen=True)
class Scope:
    """What is to be found out about a model.

    Args:
        stage: that the model comes from.
        title: of the progress bars.
        classifier_trained: False if the logits mean nothing yet; they are then not
            attacked, and a linear probe is reported instead.
        with_checks: whether to look for masked gradients.
        with_examples: whether to keep adversarial images for the figures.
    """

    stage: str = "final"
    title: str = "evaluate"
    classifier_trained: bool = True
    with_checks: bool = True
    with_examples: bool = False


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
    parts: FinishedParts | None = None,
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
        parts: where finished parts are kept and found again; None keeps nothing.

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
        UserError: if an attack can't be made, or the model can't be computed in full
            precision.
    """
    config = config or EvaluationConfig()
    refuse_impossible_attacks(config, seed, source)
    session = EvaluationSession(
        split,
        config,
        seed=seed,
        train=train,
        source=None if source is None else target_of(for_attacks(source, split), split),
        deterministic=deterministic,
        parts=parts or FinishedParts(),
    )
    scope = Scope(
        title=title, classifier_trained=classifier_trained, with_checks=with_checks
    )
    return evaluate_model(for_attacks(model, split), session, scope)


def evaluate_model(
    model: keras.Model, session: EvaluationSession, scope: Scope
) -> Evaluation:
    """Measures a model that is as it is to be attacked (see `for_attacks`).

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
    """
    embedding, arrays = _embedding(model, session, scope.classifier_trained)
    if not scope.classifier_trained:
        untrained = ModelResult(
            stage=scope.stage, clean_accuracy=None, attacks=None, embedding=embedding
        )
        return Evaluation(untrained, {}, arrays)
    # All attacks share one target, so that the model is compiled once.
    target = target_of(model, session.split)
    robustness = measure_robustness(target, session, scope.title)
    rows, checks = tuple(robustness.rows), None
    if scope.with_checks:
        title = f"{scope.title}: checks"
        checks = run_checks(target, session.within("checks"), rows, title)
    result = ModelResult(
        stage=scope.stage,
        clean_accuracy=robustness.clean_accuracy,
        attacks=rows,
        worst=worst_cases(rows, robustness.outcomes),
        embedding=embedding,
        checks=checks,
    )
    examples = None
    if scope.with_examples:
        examples = adversarial_examples(model, target, session)
    return Evaluation(result, robustness.outcomes, arrays, examples)


def _embedding(
    model: keras.Model, session: EvaluationSession, classifier_trained: bool
) -> tuple[EmbeddingFigures, dict[str, np.ndarray]]:
    def measured() -> dict[str, Any]:
        figures, arrays = embedding_quality(
            model,
            session.train,
            session.split,
            seed=session.seed,
            classifier_trained=classifier_trained,
        )
        return {"figures": json.dumps(plain_json(figures)), **arrays}

    arrays = session.parts.part("embedding", measured)
    figures = json.loads(str(arrays.pop("figures")))
    return read_as(EmbeddingFigures, figures), arrays
