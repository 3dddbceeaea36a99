"""The runs of a sweep, all checked before the first begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from supcon_tf.commands.flags import (
    config_from,
    define_config,
    define_path,
    new_flags,
    parse,
)
from supcon_tf.config import Config
from supcon_tf.config.flag_lines import flagfile_text
from supcon_tf.errors import UserError
from supcon_tf.runs.history import pretrained_file
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.sweep.command import Request
from supcon_tf.sweep.grid import RECIPE, Axis, combinations
from supcon_tf.sweep.names import run_name


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be made.

    Args:
        name: of its folder, and in tables.
        folder: where it goes.
        config: what it is.
        words: the flags that say so, of a command line for people.
    """

    name: str
    folder: RunFolder
    config: Config
    words: tuple[str, ...]

    @property
    def flags(self) -> str:
        """The run as a flagfile, whatever becomes of the files that `words` name."""
        return flagfile_text(self.config, str(self.folder.path))


def plan(request: Request) -> list[PlannedRun]:
    """All runs of a sweep, in the order in which they are made.

    Raises:
        UserError: for a value or a combination that no run can have, one that is there
            twice, or a folder in which another run has begun.
    """
    chosen = list(combinations(request.axes))
    configs = [_config(request, values) for values in chosen]
    _refuse_repeated_values(request.axes, chosen, configs)
    runs = [
        _planned(request, values, config)
        for values, config in zip(chosen, configs, strict=True)
    ]
    _refuse_repeated_names(runs)
    for run in runs:
        if run.folder.path.exists() and not run.folder.path.is_dir():
            raise UserError(
                f"--output must have room for the run's folder {run.name}, and has a "
                f"file of that name. Received: {request.output}"
            )
        run.folder.check(run.config)
        # A value with a comma in it, as names of runs have, may have become two.
        if run.config.init_from and not run.folder.has_trained():
            pretrained_file(run.config.init_from)
    if request.only is not None and not 0 <= request.only < len(runs):
        raise UserError(
            f"--only must be from 0 to {len(runs) - 1}, as the grid has {len(runs)} "
            f"runs. Received: {request.only}"
        )
    return runs


def config_of(words: Sequence[str]) -> Config:
    """The config of a run that is started with these words."""
    values = new_flags()
    define_path(values, "run_dir", "")
    define_config(values)
    parse(values, ["train.py", *words], "")
    return config_from(values)


def _words(request: Request, values: dict[str, str]) -> list[str]:
    """Flags of a run; a recipe comes first, so that the others may change it."""
    varied = [f"--{flag}={value}" for flag, value in values.items() if flag != RECIPE]
    recipe = [f"--{RECIPE}={values[RECIPE]}"] if RECIPE in values else []
    return [*recipe, *request.words, *varied]


def _config(request: Request, values: dict[str, str]) -> Config:
    try:
        config = config_of(_words(request, values))
        if config.strategy == "multi_worker":
            raise UserError(
                "--strategy must be of one machine: each worker would begin a sweep. "
                "--dry_run prints commands that can be started on all of them. "
                "Received: 'multi_worker'"
            )
        # Written down for the run, so it must be possible to.
        flagfile_text(config, "")
    except UserError as error:
        combination = ", ".join(f"{flag}={value}" for flag, value in values.items())
        raise UserError(f"{error} (in the run of {combination})") from error
    return config


def _planned(request: Request, values: dict[str, str], config: Config) -> PlannedRun:
    name = run_name(_typed(values, config))
    folder = RunFolder(request.output / name)
    words = [*_words(request, values), f"--run_dir={folder.path}"]
    return PlannedRun(name, folder, config, tuple(words))


def _typed(values: dict[str, str], config: Config) -> dict[str, Any]:
    options = config.flag_values()
    return {flag: options.get(flag, value) for flag, value in values.items()}


def _refuse_repeated_values(
    axes: Sequence[Axis], chosen: Sequence[dict[str, str]], configs: Sequence[Config]
) -> None:
    """Values that are written differently may be the same: 1e-3 and 0.001."""
    for axis in axes:
        meant = {
            values[axis.flag]: _typed(values, config)[axis.flag]
            for values, config in zip(chosen, configs, strict=True)
        }
        seen: dict[Any, str] = {}
        for text in axis.values:
            if (first := seen.setdefault(meant[text], text)) != text or (
                axis.values.count(text) > 1
            ):
                raise UserError(
                    f"--grid={axis.flag}=... must have each value once. "
                    f"Received: {first!r} and {text!r}"
                )


def _refuse_repeated_names(runs: Sequence[PlannedRun]) -> None:
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        other = seen.setdefault(run.name, run)
        if other is not run:
            raise UserError(
                "--grid must give each run a name of its own (of flagfiles it is the "
                f"file's). Received: {run.name} for {' '.join(other.words)} and for "
                f"{' '.join(run.words)}"
            )
