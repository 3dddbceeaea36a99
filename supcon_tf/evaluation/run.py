"""The evaluation of a run: each stage's model, into the run folder."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from supcon_tf import __version__
from supcon_tf.config import Config, EvaluationConfig
from supcon_tf.data import ImageData, Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.errors import UserError
from supcon_tf.evaluation.checks import warning_lines
from supcon_tf.evaluation.model import evaluate, for_attacks
from supcon_tf.evaluation.figures import draw_figures
from supcon_tf.evaluation.report import write_report
from supcon_tf.files import replacing, write_text
from supcon_tf.models import load_model
from supcon_tf.run_folder import RunFolder
from supcon_tf.visualization.tensorboard_log import log_hparams, log_images

SCHEMA = 1
PACKAGES = ("tensorflow", "keras", "numpy")


def evaluate_run(folder: RunFolder, config: Config, data: ImageData) -> dict[str, Any]:
    """Evaluates each finished stage and writes robustness.json, .npz and report.md.

    The masking checks are made on the final model, the one that is used.

    Returns:
        What robustness.json holds.

    Raises:
        UserError: if no stage is finished, or the split to attack is empty.
    """
    split = chosen_split(data, config)
    source = transfer_source(config.evaluation)
    found = {}
    for stage, path in finished_stages(folder, config).items():
        model = load_model(path)
        found[stage] = evaluate(
            model,
            split,
            config.evaluation,
            seed=config.seed,
            train=data.train,
            source=source,
            classifier_trained=config.classifier_trained(stage),
            with_checks=stage == "final",
            deterministic=config.deterministic,
            title=f"evaluate {stage}",
        )
    result = {
        "schema": SCHEMA,
        "dataset": config.data.dataset,
        "split": config.evaluation.split,
        "num_examples": len(split),
        "seed": config.seed,
        "versions": versions(),
        "models": [{"stage": s, **found[s].summary} for s in found],
    }
    outcomes = {
        f"{stage}/{name}": outcome
        for stage, evaluation in found.items()
        for name, outcome in evaluation.outcomes.items()
    }
    write_results(folder, result, outcomes)
    figures = draw_figures(
        folder.figures,
        config,
        {stage: evaluation.summary for stage, evaluation in found.items()},
        {stage: evaluation.arrays for stage, evaluation in found.items()},
        for_attacks(model),
        split,
        data.class_names,
    )
    write_report(folder, config, data, result, figures)
    log_images(folder.tensorboard, {path.stem: path for path in figures.values()})
    log_hparams(folder.tensorboard, config, result)
    for line in warning_lines(found["final"].summary["checks"] or []):
        print(line, file=sys.stderr)
    return result


def finished_stages(folder: RunFolder, config: Config) -> dict[str, Path]:
    """Model files by their name in a report: pretrain (if another follows), final.

    Raises:
        UserError: if there is no final model.
    """
    if not folder.model_file.exists():
        raise UserError(
            f"a run folder with a finished model.keras is needed. "
            f"Received: {folder.path}"
        )
    stages = {}
    if config.pretrain.epochs and config.finetune.epochs:
        stages["pretrain"] = folder.stage_model_file("pretrain")
    return {**stages, "final": folder.model_file}


def chosen_split(data: ImageData, config: Config) -> Split:
    """The images that `--split` and `--limit` choose."""
    settings = config.evaluation
    split = data.test if settings.split == "test" else data.validation
    if split is None:
        raise UserError(
            "--split=validation needs --validation_share above 0. "
            f"Received: {config.data.validation_share:g}"
        )
    if settings.limit and settings.limit < len(split):
        rows = balanced_sample(split.labels, settings.limit, config.data.split_seed)
        split = Split(split.images[rows], split.labels[rows])
    return split


def transfer_source(settings: EvaluationConfig) -> keras.Model | None:
    """The model of `--transfer_from`."""
    if not settings.transfer_from:
        return None
    return load_model(RunFolder(settings.transfer_from).model_file)


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "supcon_tf": __version__,
        **{name: version(name) for name in PACKAGES},
    }


def write_results(
    folder: RunFolder, result: dict[str, Any], outcomes: dict[str, np.ndarray]
) -> None:
    """Writes robustness.json, and robustness.npz with the outcome of each image."""
    with replacing(folder.robustness_file.with_suffix(".npz")) as file:
        np.savez_compressed(file, **outcomes)  # type: ignore[arg-type]
    write_text(folder.robustness_file, json.dumps(result, indent=2) + "\n")
