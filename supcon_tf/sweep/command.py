"""What `python -m supcon_tf.sweep` is asked for, and its flags."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import flags

from supcon_tf.commands.flagfile import FLAGFILE, with_flagfiles
from supcon_tf.commands.flags import define_config, define_options, new_flags, parse
from supcon_tf.config.options import option
from supcon_tf.errors import UserError
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.sweep.grid import RECIPE, Axis, parse_grid

USAGE = """
usage: python -m supcon_tf.sweep --flagfile=FILE --grid=FLAG=V1,V2,... [--grid=...]
           --output=DIR [--only=K] [--share_stages] [--dry_run] [--flag=value ...]

Makes a run for each combination of the values, one after the other, each in a folder of
DIR that is named after what differs, and compares them. The same command goes on with a
sweep that was stopped. All flags of python train.py may be given; they go to every run.
"""
# Flags that are not of the runs: those that take a value, and those that need none.
_OWN = ("grid", "output", "only")
_SWITCHES = ("share_stages", "dry_run")


@dataclass(frozen=True)
class SweepSettings:
    """Where the runs go, and which are made."""

    output: str = option("", "folder of the runs and of their comparison", path=True)
    only: int = option(
        -1,
        "make this run alone, counted from 0 in the order of --dry_run, and compare "
        "nothing; for arrays of jobs, --only=$SLURM_ARRAY_TASK_ID",
    )
    share_stages: bool = option(
        False,
        "a run begins with the finished stages of another that trains alike so far, "
        "where what differs is of later stages or of the evaluation",
    )
    dry_run: bool = option(False, "print the command of each run, do nothing")


@dataclass(frozen=True)
class Request:
    """A sweep.

    Args:
        axes: what varies.
        output: the folder of the runs, of sweep.json and of the comparison.
        only: the one run to make, counted from 0; None for all.
        share_stages: whether stages that runs have in common are trained once.
        dry_run: whether the commands are printed and nothing is done.
        words: flags of every run, as they were given.
    """

    axes: tuple[Axis, ...]
    output: Path
    only: int | None
    share_stages: bool
    dry_run: bool
    words: tuple[str, ...]


def parse_request(argv: Sequence[str]) -> Request:
    """The sweep that a command line asks for.

    Raises:
        UserError: in one line, for what can't be a sweep.
    """
    values = _define_flags()
    # What a flagfile says may be varied; what the command line says may not.
    spoken = _without_flagfiles(argv[1:])
    for word in spoken:
        if word.lstrip("-").partition("=")[0] == "run_dir" and word[0] == "-":
            raise UserError(
                "a run's folder is named after what differs, in --output. "
                f"Received: {word!r}"
            )
    parse(values, [*argv[:1], *spoken], USAGE)
    axes = parse_grid(values["grid"].value or [])
    for axis in axes:
        recipes = axis.flag == RECIPE and len(spoken) < len(argv) - 1
        if recipes or values[axis.flag].present:
            raise UserError(
                f"--{axis.flag} must be in --grid or on the command line. "
                f"Received: both, --grid={axis.flag}={','.join(axis.values)} too"
            )
    _refuse_own_flags_in_flagfiles(argv[1:])
    return Request(
        tuple(axes),
        _output(str(values["output"].value)),
        values["only"].value if values["only"].present else None,
        bool(values["share_stages"].value),
        bool(values["dry_run"].value),
        tuple(_of_runs(argv[1:])),
    )


def _define_flags() -> flags.FlagValues:
    values = new_flags()
    flags.DEFINE_multi_string(
        "grid",
        [],
        "FLAG=V1,V2,...: a flag of the runs and its values; where there are semicolons "
        "they separate the values instead ('epsilons=1,2;4,8'); given several times "
        "every combination is a run; FLAG may be flagfile, which other flags override",
        flag_values=values,
    )
    define_options(values, SweepSettings)
    define_config(values)
    return values


def _output(folder: str) -> Path:
    if not folder:
        raise UserError("--output must be a folder. Received: ''")
    own = RunFolder(folder)
    if own.config_file.exists() or own.has_trained():
        raise UserError(f"--output must not be the folder of a run. Received: {folder}")
    return Path(folder)


def _refuse_own_flags_in_flagfiles(words: Sequence[str]) -> None:
    """The runs read the same flagfiles, and know no such flags."""
    read = with_flagfiles(words)
    for word in read:
        own = word.lstrip("-").partition("=")[0] in (*_OWN, *_SWITCHES)
        if own and word.startswith("-") and read.count(word) > words.count(word):
            raise UserError(
                "what makes a sweep must be on the command line, not in a flagfile. "
                f"Received: {word!r}"
            )


def _without_flagfiles(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, given, _ = word.partition("=")
        if flag not in FLAGFILE:
            kept.append(word)
        elif not given:
            next(rest, None)
    return kept


def _of_runs(words: Sequence[str]) -> list[str]:
    """The words of a parsed command line that go to every run, in their order."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, given, _ = word.lstrip("-").partition("=")
        if flag in _OWN and word.startswith("-"):
            if not given:
                next(rest, None)
        elif word != "--" and flag.removeprefix("no") not in _SWITCHES:
            kept.append(word)
    return kept
