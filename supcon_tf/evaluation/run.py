"""The evaluation of a run, stage by stage, and of a model that no run here made."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from supcon_tf.config import Config, EvaluationConfig, StageConfig
from supcon_tf.data import ImageData, Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.errors import UserError
from supcon_tf.evaluation.compatibility import check_fits
from supcon_tf.evaluation.model import evaluate, for_attacks
from supcon_tf.evaluation.parts import Journal, file_digest
from supcon_tf.evaluation.report.report import (
    data_line,
    file_introduction,
    run_introduction,
)
from supcon_tf.evaluation.results import result_of, versions, write_evaluation
from supcon_tf.evaluation.robustness import refuse_impossible_attacks
from supcon_tf.models import load_model
from supcon_tf.results.intervals import wilson_interval
from supcon_tf.results.markdown import plain
from supcon_tf.runs.files import write_text
from supcon_tf.runs.history import history_lines, history_of
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.runs.seen_images import part_in_training
from supcon_tf.visualization.tensorboard.log import log_hparams, log_images


def evaluate_run(
    folder: RunFolder,
    config: Config,
    data: ImageData,
    destination: RunFolder | None = None,
) -> dict[str, Any]:
    """Evaluates each finished stage and writes robustness.json, .npz and report.md.

    The masking checks are made on the final model, the one that is used.

    Args:
        folder: the run's.
        config: the run's; its evaluation settings may be others.
        data: the run's.
        destination: where the results go, if not to the run. TensorBoard shows the
            evaluation that lies in the run folder.

    Returns:
        What robustness.json holds.

    Raises:
        UserError: if no stage is finished, or the split to attack is empty.
    """
    destination = destination or folder
    split = chosen_split(data, config)
    source = transfer_source(config.evaluation, data)
    refuse_impossible_attacks(config.evaluation, config.seed, source, data.num_classes)
    found = {}
    paths = finished_stages(folder, config)
    journal = _journal(destination, config, data, paths)
    for stage, path in paths.items():
        model = load_model(path)
        check_fits(model, data, str(path))
        model = for_attacks(model, split)
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
            journal=journal.within(stage),
        )
    result = result_of(config, data, split, found, paths)
    history = history_of(folder, config)
    recipe = "[flags.txt](flags.txt), usable again as a flagfile"
    if destination.path != folder.path:
        recipe = f"those of the run in {plain(str(folder.path))}"
    figures = write_evaluation(
        destination,
        config,
        data,
        split,
        result,
        found,
        model,
        run_introduction(
            config, history, result, plain(part_in_training(folder, config, data))
        ),
        [
            data_line(data),
            *map(plain, data.remarks),
            *history_lines(history),
            f"flags of training: {recipe}",
        ],
        {stage: _trained_by(config, stage) for stage in paths},
    )
    if destination.path == folder.path:
        log_images(folder.tensorboard, {path.stem: path for path in figures.values()})
        log_hparams(folder.tensorboard, config, result)
    else:
        # So that it can be compared as a run can.
        write_text(destination.config_file, config.to_json())
        write_text(destination.data_file, data.fingerprint.to_json())
    journal.discard()
    return result


def evaluate_file(
    path: Path, config: Config, data: ImageData, destination: RunFolder
) -> dict[str, Any]:
    """Evaluates any Keras model that maps [0,1] images to logits.

    Args:
        path: its `.keras` file.
        config: data and evaluation settings; the rest does not matter.
        data: the images.
        destination: folder of the results.

    Returns:
        What robustness.json holds, under the stage "final".

    Raises:
        UserError: if the model can't be loaded or does not fit the data.
        ProbabilityOutputError: if its output is a probability.
    """
    split = chosen_split(data, config)
    source = transfer_source(config.evaluation, data)
    refuse_impossible_attacks(config.evaluation, config.seed, source, data.num_classes)
    model = load_model(path)
    check_fits(model, data, f"--model={path}")
    model = for_attacks(model, split)
    journal = _journal(destination, config, data, {"final": path})
    found = {
        "final": evaluate(
            model,
            split,
            config.evaluation,
            seed=config.seed,
            train=data.train,
            source=source,
            title=f"evaluate {path.name}",
            journal=journal,
        )
    }
    result = result_of(config, data, split, found, {"final": path})
    write_evaluation(
        destination,
        config,
        data,
        split,
        result,
        found,
        model,
        file_introduction(path, model, result),
        [data_line(data), *map(plain, data.remarks), f"model: {plain(str(path))}"],
        {},
    )
    write_text(destination.data_file, data.fingerprint.to_json())
    journal.discard()
    correct = round(found["final"].summary["clean_accuracy"] * len(split))
    if wilson_interval(correct, len(split))[0] <= 1 / data.num_classes:
        print(
            "warning: without an attack the model is no better than chance; it should "
            f"take pixels in [0, 1] and number its classes as {data.name} does",
            file=sys.stderr,
        )
    return result


def _journal(
    destination: RunFolder, config: Config, data: ImageData, models: Mapping[str, Path]
) -> Journal:
    """What an evaluation of these models, on this data, has finished before."""
    files = dict(models)
    if config.evaluation.transfer_from:
        files["source"] = RunFolder(config.evaluation.transfer_from).model_file
    subject = {
        "evaluation": dataclasses.asdict(config.evaluation),
        "data": data.fingerprint.digest,
        "split_seed": config.data.split_seed,
        "seed": config.seed,
        "deterministic": config.deterministic,
        "models": {name: file_digest(path) for name, path in files.items()},
        "versions": versions(),
    }
    return Journal(destination.evaluation_parts, subject)


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


def _trained_by(config: Config, stage: str) -> StageConfig:
    return config.pretrain if stage == "pretrain" else list(config.stages())[-1][1]


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
        split = split.subset(rows)
    return split


def transfer_source(settings: EvaluationConfig, data: ImageData) -> keras.Model | None:
    """The model of `--transfer_from`, as it is attacked.

    Raises:
        UserError: if there is none, or it does not fit the data.
    """
    if not settings.transfer_from:
        return None
    path = RunFolder(settings.transfer_from).model_file
    if not path.is_file():
        raise UserError(
            "--transfer_from must be a run folder with a finished model.keras. "
            f"Received: {settings.transfer_from}"
        )
    model = load_model(path)
    check_fits(model, data, f"--transfer_from={settings.transfer_from}")
    return for_attacks(model, data.test)
