"""Evaluations made up by hand, with what a test does not care about filled in."""

from typing import Any

from supcon_tf.results.record import (
    AttackRow,
    CheckRow,
    EmbeddingFigures,
    EvaluationResult,
    ModelResult,
    WorstRow,
)


def radius(strength: float, norm: str = "linf") -> dict[str, Any]:
    """The fields of a row that say how strong the attack was."""
    in_255 = norm == "linf"
    return {
        "norm": norm,
        "epsilon": strength / 255 if in_255 else strength,
        "epsilon_255": strength if in_255 else None,
    }


def attack_row(
    name: str = "fgsm",
    strength: float = 8.0,
    accuracy: float = 0.5,
    norm: str = "linf",
    **other: Any,
) -> AttackRow:
    given: dict[str, Any] = {
        "accuracy": accuracy,
        "interval_95": (accuracy - 0.02, accuracy + 0.03),
        "num_examples": 100,
        "parameters": {},
        "seconds": 0.1,
        **radius(strength, norm),
        **other,
    }
    return AttackRow(name, **given)


def worst_row(
    strength: float, accuracy: float, *attacks: str, norm: str = "linf"
) -> WorstRow:
    interval = accuracy - 0.02, accuracy + 0.03
    return WorstRow(
        **radius(strength, norm),
        accuracy=accuracy,
        interval_95=interval,
        num_examples=100,
        attacks=attacks,
    )


def check_row(name: str, passed: bool | None, detail: str = "a sentence") -> CheckRow:
    return CheckRow(name, passed, None if passed is None else 0.0, 0.01, detail)


def model_result(
    stage: str = "final", *attacks: AttackRow, **other: Any
) -> ModelResult:
    given: dict[str, Any] = {
        "clean_accuracy": 0.75,
        "attacks": attacks,
        "embedding": EmbeddingFigures(knn_accuracy=0.5),
        **other,
    }
    return ModelResult(stage=stage, **given)


def evaluation_result(*models: ModelResult, **other: Any) -> EvaluationResult:
    given: dict[str, Any] = {
        "dataset": "digits",
        "split": "test",
        "num_examples": 100,
        "seed": 0,
        "versions": {"keras": "3"},
        **other,
    }
    return EvaluationResult(models=models or (model_result(),), **given)
