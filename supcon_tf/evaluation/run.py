"""The evaluation of a run, stage by stage, and of a model that no run here made."""

import sys
from collections.abc import Sequence
from pathlib import Path

from supcon_tf.config import Config
from supcon_tf.data import ImageData
from supcon_tf.errors import UserError
from supcon_tf.evaluation.attacked_model import for_attacks
from supcon_tf.evaluation.compatibility import check_fits
from supcon_tf.evaluation.completeness import refuse_to_shrink
from supcon_tf.evaluation.findings import Findings, ModelFile
from supcon_tf.evaluation.finished_result import finished_result
from supcon_tf.evaluation.model_evaluation import Scope, evaluate_model
from supcon_tf.evaluation.output import write_record
from supcon_tf.evaluation.preparation import (
    chosen_split,
    keeping_parts,
    open_session,
)
from supcon_tf.evaluation.report.content import Content
from supcon_tf.evaluation.report.introduction import (
    data_line,
    file_introduction,
    run_introduction,
)
from supcon_tf.evaluation.report.report import write_report
from supcon_tf.evaluation.session import EvaluationSession
from supcon_tf.models import load_model
from supcon_tf.results.intervals import wilson_interval
from supcon_tf.results.markdown import plain
from supcon_tf.results.record import EvaluationResult
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
    stages: Sequence[str] | None = None,
) -> EvaluationResult:
    """Evaluates each finished stage and writes robustness.json, .npz and report.md.

    The masking checks are made on the final model, the one that is used (without it, on
    the last one).

    Args:
        folder: the run's.
        config: the run's; its evaluation settings may be others.
        data: the run's.
        destination: where the results go, if not to the run. TensorBoard shows the
            evaluation that lies in the run folder.
        stages: names of the models that are evaluated, as in `Config.models`; None for
            all of them.

    Returns:
        The record of the evaluation.

    Raises:
        UserError: if no stage is finished, the split to attack is empty, or the run
            folder holds an evaluation that this one must not replace.
    """
    destination = destination or folder
    within_run = destination.path == folder.path
    session = open_session(config, data)
    if within_run:
        refuse_to_shrink(folder, config.evaluation, len(session.split))
    files = [
        file
        for file in _files_of_run(folder, config)
        if stages is None or file.stage in stages
    ]
    session = keeping_parts(session, destination, config, data, files)
    findings = evaluate_models(files, session, config, data)
    result = findings.result()
    history = history_of(folder, config)
    recipe = "[flags.txt](flags.txt), usable again as a flagfile"
    if not within_run:
        recipe = f"those of the run in {plain(str(folder.path))}"
    part = plain(part_in_training(folder, config, data))
    pictures = write_record(destination, findings, result)
    if within_run:
        images = {picture.path.stem: picture.path for picture in pictures}
        log_images(folder.tensorboard, images)
        log_hparams(folder.tensorboard, config, result)
    else:
        # So that it can be compared as a run can.
        write_text(destination.config_file, config.to_json())
        write_text(destination.data_file, data.fingerprint.to_json())
    introduction = run_introduction(config, history, result, part)
    origin = (
        data_line(data),
        *map(plain, data.remarks),
        *history_lines(history),
        f"flags of training: {recipe}",
    )
    content = Content(data.name, result, introduction, origin, tuple(pictures))
    write_report(destination, content)
    session.parts.discard()
    return result


def finished_evaluation(
    folder: RunFolder, config: Config, data: ImageData
) -> EvaluationResult | None:
    """The evaluation in a run folder, if that is all that one now would give.

    Raises:
        UserError: if robustness.json is not one.
    """
    asked = len(chosen_split(data, config))
    result = finished_result(folder, config, data, asked)
    if result and folder.evaluation_parts.exists():
        # It may have been killed before it could remove them.
        session, files = open_session(config, data), _files_of_run(folder, config)
        keeping_parts(session, folder, config, data, files).parts.discard_own()
    return result


def evaluate_file(
    path: Path, config: Config, data: ImageData, destination: RunFolder
) -> EvaluationResult:
    """Evaluates any Keras model that maps [0,1] images to logits.

    Args:
        path: its `.keras` file.
        config: data and evaluation settings; the rest does not matter.
        data: the images.
        destination: folder of the results.

    Returns:
        The record of the evaluation, its only model under the stage "final".

    Raises:
        UserError: if the model can't be loaded or does not fit the data.
        ProbabilityOutputError: if its output is a probability.
    """
    file = ModelFile(path, f"--model={path}", "final", f"evaluate {path.name}")
    session = open_session(config, data)
    session = keeping_parts(session, destination, config, data, [file])
    findings = evaluate_models([file], session, config, data)
    result = findings.result()
    pictures = write_record(destination, findings, result)
    write_text(destination.data_file, data.fingerprint.to_json())
    introduction = file_introduction(path, findings.num_parameters, result)
    origin = data_line(data), *map(plain, data.remarks), f"model: {plain(str(path))}"
    content = Content(data.name, result, introduction, origin, tuple(pictures))
    write_report(destination, content)
    session.parts.discard()
    clean = findings.final.outcomes["clean"]
    if wilson_interval(int(clean.sum()), len(clean))[0] <= 1 / data.num_classes:
        print(
            "warning: without an attack the model is no better than chance; it should "
            f"take pixels in [0, 1] and number its classes as {data.name} does",
            file=sys.stderr,
        )
    return result


def evaluate_models(
    files: Sequence[ModelFile],
    session: EvaluationSession,
    config: Config,
    data: ImageData,
) -> Findings:
    """Evaluates models one after the other, each loaded only then.

    Checks and pictures are those of the last, the final one.

    Raises:
        UserError: if one can't be loaded or does not fit the data.
        ProbabilityOutputError: if its output is a probability.
    """
    evaluations = []
    for file in files:
        final = file is files[-1]
        model = load_model(file.path)
        check_fits(model, data, file.origin)
        model = for_attacks(model, session.split)
        scope = Scope(
            file.stage,
            file.title,
            classifier_trained=file.classifier_trained,
            with_checks=final,
            with_examples=final,
        )
        found = evaluate_model(model, session.within(file.stage), scope)
        evaluations.append(found)
    return Findings(
        config,
        data,
        session.split,
        tuple(files),
        tuple(evaluations),
        model.count_params(),
    )


def check_evaluation(folder: RunFolder, config: Config, data: ImageData) -> None:
    """What the evaluation would refuse is better refused before hours of training.

    Raises:
        UserError: if there is something.
    """
    session = open_session(config, data)
    if not finished_result(folder, config, data, len(session.split)):
        refuse_to_shrink(folder, config.evaluation, len(session.split))


def finished_stages(folder: RunFolder, config: Config) -> dict[str, Path]:
    """Model files by their name in a report: each earlier stage's, and the final one.

    Raises:
        UserError: if there is no final model.
    """
    if not folder.model_file.exists():
        raise UserError(
            f"a run folder with a finished model.keras is needed. "
            f"Received: {folder.path}"
        )
    return {name: folder.model(name) for name in config.models()}


def _files_of_run(folder: RunFolder, config: Config) -> list[ModelFile]:
    trained_by = config.models()
    return [
        ModelFile(
            path,
            str(path),
            name,
            f"evaluate {name}",
            config.classifier_trained(name),
            config.stage(trained_by[name]),
        )
        for name, path in finished_stages(folder, config).items()
    ]
