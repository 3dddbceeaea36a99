"""What an evaluation leaves on disk: robustness.json, .npz, figures, report.md."""

import dataclasses
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from supcon_tf import __version__
from supcon_tf.config import Config, StageConfig
from supcon_tf.data import ImageData, Split
from supcon_tf.evaluation.coverage import covers
from supcon_tf.evaluation.model import Evaluation
from supcon_tf.evaluation.parts import file_digest
from supcon_tf.evaluation.report.figures import draw_figures
from supcon_tf.evaluation.report.report import write_report
from supcon_tf.results.record import EvaluationResult, ModelResult, read_result
from supcon_tf.results.typed_json import plain_json
from supcon_tf.runs.files import replacing, write_text
from supcon_tf.runs.run_folder import RunFolder

PACKAGES = ("tensorflow", "keras", "numpy")


def result_of(
    config: Config,
    data: ImageData,
    split: Split,
    found: Mapping[str, Evaluation],
    files: Mapping[str, Path],
) -> EvaluationResult:
    """The record of an evaluation.

    Args:
        config: what the models were evaluated with.
        data: the data set.
        split: the images that were attacked.
        found: evaluations by stage.
        files: of the models, by stage.
    """
    return EvaluationResult(
        dataset=config.data.dataset,
        split=config.evaluation.split,
        num_examples=len(split),
        seed=config.seed,
        settings=plain_json(config.evaluation),
        data_digest=data.fingerprint.digest,
        versions=versions(),
        models=tuple(
            dataclasses.replace(
                evaluation.result, stage=stage, model_sha256=file_digest(files[stage])
            )
            for stage, evaluation in found.items()
        ),
    )


def write_evaluation(
    destination: RunFolder,
    config: Config,
    data: ImageData,
    split: Split,
    result: EvaluationResult,
    found: Mapping[str, Evaluation],
    model: keras.Model,
    introduction: str,
    origin: list[str],
    trained_by: Mapping[str, StageConfig],
) -> dict[str, Path]:
    """Writes everything but TensorBoard's logs, and warns of failed checks.

    Args:
        destination: the folder, a run's or not.
        config: what the models were evaluated with.
        data: the data set.
        split: the images that were attacked.
        result: what robustness.json holds.
        found: evaluations by stage, the last one "final".
        model: the final model, as it was attacked.
        introduction: the report's first paragraph.
        origin: of data and model, as list items of the report.
        trained_by: the last stage that trained each model; empty if it is not known.

    Returns:
        The figures by caption.
    """
    outcomes = {
        f"{stage}/{name}": outcome
        for stage, evaluation in found.items()
        for name, outcome in evaluation.outcomes.items()
    }
    _write_results(destination, result, outcomes)
    figures = draw_figures(
        destination.figures,
        config,
        {model.stage: model for model in result.models},
        {stage: evaluation.arrays for stage, evaluation in found.items()},
        model,
        split,
        data.class_names,
        trained_by,
    )
    write_report(destination, data.name, result, figures, introduction, origin)
    for check in result.final.failed_checks:
        print(f"warning: check {check.name} failed: {check.detail}", file=sys.stderr)
    return figures


def finished_result(
    folder: RunFolder, config: Config, data: ImageData, num_examples: int
) -> EvaluationResult | None:
    """The evaluation in a run folder, if that is all that an evaluation now would give.

    Args:
        folder: the run's.
        config: what would be evaluated, and how.
        data: the images.
        num_examples: how many of them would be attacked.

    Raises:
        UserError: if robustness.json is not one.
    """
    if not (folder.robustness_file.exists() and folder.report_file.exists()):
        return None
    result = read_result(folder.robustness_file)
    # Earlier versions did not write down which images they attacked.
    same = (
        result.data_digest in (None, data.fingerprint.digest)
        and (result.dataset, result.seed) == (config.data.dataset, config.seed)
        and all(_is_of(model, folder) for model in result.models)
    )
    return result if same and covers(result, config.evaluation, num_examples) else None


def _is_of(evaluated: ModelResult, folder: RunFolder) -> bool:
    """Whether a model of robustness.json is the one that lies in the run folder."""
    path = folder.model(evaluated.stage)
    if not path.is_file():
        return False
    if evaluated.model_sha256 is not None:
        return evaluated.model_sha256 == file_digest(path)
    # Schema 1 does not say which model it was; it was there before its evaluation.
    return path.stat().st_mtime <= folder.robustness_file.stat().st_mtime


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "supcon_tf": __version__,
        **{name: version(name) for name in PACKAGES},
    }


def _write_results(
    folder: RunFolder, result: EvaluationResult, outcomes: dict[str, np.ndarray]
) -> None:
    with replacing(folder.robustness_file.with_suffix(".npz")) as file:
        np.savez_compressed(file, **outcomes)  # type: ignore[arg-type]
    write_text(folder.robustness_file, result.to_json())
