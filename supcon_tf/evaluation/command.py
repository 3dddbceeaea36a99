"""What `python -m supcon_tf.evaluation` is asked for, and its flags.

All that can be refused without TensorFlow is refused here.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags

from supcon_tf.commands.flags import (
    define_options,
    define_path,
    evaluation_from,
    new_flags,
    parse,
    refuse_unread_data_dir,
)
from supcon_tf.config import Config, DataConfig, EvaluationConfig
from supcon_tf.config.options import option, options_of
from supcon_tf.errors import UserError
from supcon_tf.evaluation.completeness import refuse_to_shrink
from supcon_tf.runs.run_folder import RunFolder

ALL = "all"
USAGE = """
usage: python -m supcon_tf.evaluation --run_dir=RUN [--output=DIR] [--flag=value ...]
       python -m supcon_tf.evaluation --model=FILE.keras --output=DIR --dataset=NAME
           [--flag=value ...]

Attacks the models of a finished run again, with the run's own settings where no flag
says otherwise, or any Keras model that maps [0,1] images to logits. Writes
robustness.json, robustness.npz, report.md and figures into the run folder, or into
--output.
"""


@dataclass(frozen=True)
class _Models:
    """Which models of a run are evaluated."""

    stage: str = option(
        ALL,
        "which of the run's models are evaluated; one of them alone goes to --output",
        choices=(ALL, *Config.model_names()),
    )


@dataclass(frozen=True)
class Request:
    """What is to be evaluated, and how.

    Args:
        subject: the run folder, or the file of a model.
        is_run: which of the two.
        output: where the results go; None for the run folder.
        stage: which of the run's models, or all.
        config: data and evaluation settings; those of the run, overridden by flags.
    """

    subject: Path
    is_run: bool
    output: Path | None
    config: Config
    stage: str = ALL

    @property
    def destination(self) -> tuple[Path, str]:
        """The folder of the results, and the flag that named it."""
        return (self.output, "output") if self.output else (self.subject, "run_dir")


def parse_request(argv: list[str]) -> Request:
    """The request that a command line makes; creates the folder of the results.

    Raises:
        UserError: in one line, for anything that can't be evaluated as asked.
    """
    values = _define_flags()
    parse(values, argv, USAGE)
    run_dir, model, output = (
        str(values[name].value) for name in ("run_dir", "model", "output")
    )
    if bool(run_dir) == bool(model):
        raise UserError(
            "either --run_dir or --model must be given. "
            f"Received: --run_dir={run_dir!r} and --model={model!r}"
        )
    read = _of_run if run_dir else _of_model
    request = read(Path(run_dir or model), Path(output) if output else None, values)
    _check_transfer_source(request.config.evaluation)
    _make_writable(request)
    return request


def _define_flags() -> flags.FlagValues:
    values = new_flags()
    for name, text in (
        ("run_dir", "folder of a finished run, whose settings are the defaults here"),
        ("model", "a .keras file that maps [0,1] images (N, H, W, C) to logits"),
        ("output", "folder of the results; with --run_dir, the run folder if empty"),
    ):
        define_path(values, name, text)
    define_options(values, _Models())
    define_options(values, EvaluationConfig())
    define_options(values, DataConfig())
    return values


def _of_run(run_dir: Path, output: Path | None, values: flags.FlagValues) -> Request:
    folder = RunFolder(run_dir)
    base = folder.config()
    if not folder.model_file.is_file():
        raise UserError(
            f"--run_dir must hold a finished model.keras. Received: {run_dir}"
        )
    for field, allowed in options_of(DataConfig):
        if values[field.name].present and allowed.changes == "weights":
            raise UserError(
                f"--{field.name} goes with --model: a run is evaluated on its own "
                f"data. Received: {values[field.name].value!r}"
            )
    config = _overridden(base, values)
    if output and output.resolve() == run_dir.resolve():
        output = None
    stage = str(values["stage"].value)
    if stage != ALL:
        if stage not in config.models():
            names = ", ".join((ALL, *config.models()))
            raise UserError(f"--stage must be one of {names}. Received: {stage!r}")
        if output is None:
            raise UserError(
                "--stage needs --output: the evaluation in a run folder is of all its "
                f"models. Received: --stage={stage} and --output=''"
            )
    if output is None:
        refuse_to_shrink(folder, config.evaluation, config.evaluation.limit)
    return Request(run_dir, True, output, config, stage)


def _of_model(model: Path, output: Path | None, values: flags.FlagValues) -> Request:
    if not model.is_file():
        raise UserError(f"--model must be a .keras file. Received: {model}")
    if output is None:
        raise UserError(
            "--model needs --output, the folder of the results. Received: --output=''"
        )
    if values["stage"].present:
        raise UserError(
            "--stage goes with --run_dir: a file holds one model. "
            f"Received: {values['stage'].value!r}"
        )
    return Request(model, False, output, _overridden(Config(), values))


def _overridden(base: Config, values: flags.FlagValues) -> Config:
    """`base` with the flags that were given."""
    given = evaluation_from(values, base.evaluation)
    norm = given.get("norm", base.evaluation.norm)
    if norm != base.evaluation.norm and "epsilons" not in given:
        raise UserError(
            "another --norm needs --epsilons: they are in 1/255 for linf and in "
            f"[0,1] pixel units for l2. Received: --norm={norm}"
        )
    data: dict[str, Any] = {
        field.name: values[field.name].value
        for field, _ in options_of(DataConfig)
        if values[field.name].present
    }
    config = dataclasses.replace(
        base,
        evaluation=dataclasses.replace(base.evaluation, **given),
        data=dataclasses.replace(base.data, **data),
    )
    if "data_dir" in data:
        refuse_unread_data_dir(config.data)
    return config


def _check_transfer_source(settings: EvaluationConfig) -> None:
    source = settings.transfer_from
    if source and not RunFolder(source).model_file.is_file():
        raise UserError(
            "--transfer_from must be a run folder with a finished model.keras. "
            f"Received: {source}"
        )


def _make_writable(request: Request) -> None:
    """Finds out before the evaluation, not after it, whether results can be written."""
    folder, flag = request.destination
    if request.output and RunFolder(folder).has_trained():
        raise UserError(
            f"--output must not be the folder of another run. Received: {folder}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise UserError(
            f"--{flag} must be a folder that can be written. Received: {folder}"
        )
