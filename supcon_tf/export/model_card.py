"""The model card: what a deployed model was trained on, and how far to trust it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supcon_tf.config import Config
from supcon_tf.config.options import plain_number
from supcon_tf.errors import UserError
from supcon_tf.results.markdown import markdown_table, plain
from supcon_tf.results.record import AttackRow, CheckRow, EvaluationResult, WorstRow
from supcon_tf.results.typed_json import plain_json
from supcon_tf.runs.history import history_lines, history_of
from supcon_tf.runs.run_folder import RunFolder

SCHEMA = 1
INTENDED_USE = (
    "Classifying images of the kind it was trained on into the classes above, and "
    "research on robustness to small perturbations of the pixels."
)
ACCURACY_COLUMNS = ["attack", "strength", "accuracy", "95 % interval", "settings"]
LIMITS = (
    "It answers with one of its classes for any image, also for one of none of them; "
    "its probabilities are not calibrated.",
    "Its robustness is empirical: measured with the attacks above, on the images "
    "above. A stronger or an adaptive attack can break it, and nothing is certified.",
    "Images that are not finite or not in [0,1] are refused by TensorFlow only. A copy "
    "converted to ONNX, TFLite or OpenVINO has lost that check, and answers for pixels "
    "from 0 to 255, and for NaN, with one of its classes.",
    "Perturbations other than the measured ones (rotation, weather, other cameras) "
    "were not tested.",
)


@dataclass(frozen=True)
class CardEvaluation:
    """What robustness.json says of the model; see `ModelResult` for the last five."""

    split: str
    num_examples: int
    seed: int
    versions: Mapping[str, str]
    clean_accuracy: float | None
    attacks: tuple[AttackRow, ...] | None
    worst: tuple[WorstRow, ...] | None
    checks: tuple[CheckRow, ...] | None
    failed_checks: tuple[CheckRow, ...]


@dataclass(frozen=True)
class ModelCard:
    """What model_card.json holds, in the order of its keys.

    Args:
        recipe, init_from: as of `history_of`.
        evaluation: None if the model was not evaluated.
    """

    schema: int
    model: str
    stage: str
    dataset: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    arithmetic: str
    batch_norm_folded: bool
    seed: int
    trained_in: str
    recipe: Mapping[str, Any]
    init_from: Mapping[str, Any] | None
    evaluation: CardEvaluation | None
    intended_use: str
    limits: tuple[str, ...]

    def to_json(self) -> str:
        """The text of model_card.json."""
        return json.dumps(plain_json(self), indent=2) + "\n"


def model_card(
    folder: RunFolder,
    config: Config,
    stage: str,
    class_names: Sequence[str],
    image_shape: Sequence[int],
    folded: bool,
) -> ModelCard:
    """The card of a model of a run.

    Args:
        folder: the run; its robustness.json may be missing.
        config: of the run.
        stage: the model's name, of `Config.models`.
        class_names: the name of each class.
        image_shape: (H, W, 3).
        folded: whether batch norm was folded.

    Raises:
        UserError: if robustness.json is there but can't be read.
    """
    history = history_of(folder, config, stage)
    return ModelCard(
        schema=SCHEMA,
        model=f"ResNet-18 of width {config.model.width}",
        stage=stage,
        dataset=config.data.dataset,
        classes=tuple(class_names),
        image_shape=tuple(image_shape),
        arithmetic="float32",
        batch_norm_folded=folded,
        seed=config.seed,
        trained_in=config.dtype_policy,
        recipe=history["recipe"],
        init_from=history["init_from"],
        evaluation=_evaluation(folder, stage),
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )


def markdown(card: ModelCard) -> str:
    """The card for people."""
    height, width, _ = card.image_shape
    history = {"recipe": card.recipe, "init_from": card.init_from}
    lines = [
        f"# Model card: {plain(card.dataset)}, {card.model}",
        "",
        f"- stage: {card.stage}, seed {card.seed}, trained in {card.trained_in}, "
        f"served in {card.arithmetic}"
        + (", batch norm folded" if card.batch_norm_folded else ""),
        f"- input: RGB images of {height}x{width} pixels",
        f"- {len(card.classes)} classes: {_shortened(card.classes)}",
        "",
        "## Training",
        "",
        *(f"- {line}" for line in history_lines(history)),
        "",
        "## Accuracy",
        "",
        *_accuracy(card.evaluation),
        "",
        "## Intended use",
        "",
        card.intended_use,
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card.limits),
    ]
    return "\n".join(lines) + "\n"


def _evaluation(folder: RunFolder, stage: str) -> CardEvaluation | None:
    """The stage's part of robustness.json; None if it was not evaluated."""
    path = folder.robustness_file
    if not path.is_file():
        return None
    try:
        result = EvaluationResult.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} can't be read as an evaluation ({error}): evaluate the run "
            f"again with python -m supcon_tf.evaluation --run_dir={folder.path}"
        ) from error
    model = result.of_stage(stage)
    if model is None:
        return None
    return CardEvaluation(
        split=result.split,
        num_examples=result.num_examples,
        seed=result.seed,
        versions=result.versions,
        clean_accuracy=model.clean_accuracy,
        attacks=model.attacks,
        worst=model.worst,
        checks=model.checks,
        failed_checks=model.failed_checks,
    )


def _accuracy(evaluation: CardEvaluation | None) -> list[str]:
    if evaluation is None:
        return ["Not evaluated: the run has no figures for this model."]
    if evaluation.attacks is None:
        return ["Not evaluated: this stage trained no classifier."]
    rows = [["none", "", f"{evaluation.clean_accuracy:.1%}", "", ""]]
    for row in evaluation.attacks:
        settings = ", ".join(f"{k} {v}" for k, v in row.parameters.items())
        rows.append([row.name, *_figures(row), settings])
    for worst in evaluation.worst or ():
        attacks = f"all of {', '.join(worst.attacks)}"
        rows.append(["worst", *_figures(worst), attacks])
    return [
        f"On {evaluation.num_examples} {evaluation.split} images, seed "
        f"{evaluation.seed}; adversarial images that are classified right, in all "
        "images.",
        "",
        markdown_table(ACCURACY_COLUMNS, rows),
        "",
        *_checks(evaluation),
    ]


def _figures(row: AttackRow | WorstRow) -> list[str]:
    low, high = row.interval_95
    radius = plain_number(row.strength) + "/255" * (row.norm == "linf")
    return [
        f"{row.norm} {radius}",
        f"{row.accuracy:.1%}",
        f"{low:.1%} to {high:.1%}",
    ]


def _checks(evaluation: CardEvaluation) -> list[str]:
    if not evaluation.checks:
        return ["No masking checks were run: the figures may overstate the robustness."]
    failed = evaluation.failed_checks
    if not failed:
        applied = sum(check.passed is not None for check in evaluation.checks)
        return [f"No masking check failed ({applied} apply)."]
    return [
        "**Failed masking checks: the figures above overstate the robustness.**",
        "",
        *(f"- {check.name}: {check.detail}" for check in failed),
    ]


def _shortened(names: Sequence[str], shown: int = 10) -> str:
    rest = ", ... (all in labels.txt)" if len(names) > shown else ""
    return plain(", ".join(names[:shown])) + rest
