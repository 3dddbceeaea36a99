"""Which evaluated runs may share a table, and which an average."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supcon_tf.compare.runs import CLEAN, EMBEDDING, Column, Run, in_order
from supcon_tf.config import Config
from supcon_tf.errors import UserError
from supcon_tf.results.record import EvaluationResult
from supcon_tf.results.typed_json import Json

# What chooses the images of an evaluation beside data set, split and their number.
IMAGE_FLAGS = ("image_size", "split_seed", "test_share", "limit_test", "limit")
VALIDATION_FLAGS = ("limit_train", "validation_share")
# Flags that runs of one row may differ by: the checks leave every figure as it is.
NO_DIFFERENCE = ("seed", "checks_limit")
# Flags that say the same in any order.
SETS = ("attacks", "epsilons")


@dataclass(frozen=True)
class Row:
    """Runs that differ by seed alone; often just one."""

    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        others = len(self.runs) - 1
        return self.runs[0].label + (f" +{others}" if others else "")

    def values(self, column: Column) -> list[float]:
        """The figure of every run; empty unless all of them have it."""
        found = (run.figures.get(column) for run in self.runs)
        values = [value for value in found if value is not None]
        return values if len(values) == len(self.runs) else []

    def mean(self, column: Column) -> float | None:
        values = self.values(column)
        return statistics.fmean(values) if values else None

    def deviation(self, column: Column) -> float | None:
        """Sample standard deviation (n - 1); None for a single run."""
        values = self.values(column)
        return statistics.stdev(values) if len(values) > 1 else None


def refuse_different_evaluations(runs: Sequence[Run]) -> None:
    """Makes sure that the runs' accuracies can stand in one table.

    Epsilons may differ, and so may the images of training. Random seeds of attacks may,
    too; a step size is taken as a share of its epsilon.

    Raises:
        UserError: naming what differs between two evaluations, and both values.
    """
    first = next((run for run in runs if run.data), runs[0])
    for run in runs:
        _refuse_difference(_images(first), _images(run), first, run)
        _refuse_other_images(first, run)
    attacked: dict[str, Run] = {}
    for run in runs:
        for name, settings in _attack_settings(run).items():
            earlier = attacked.setdefault(name, run)
            _refuse_difference(_attack_settings(earlier)[name], settings, earlier, run)


def grouped(runs: Iterable[Run]) -> list[Row]:
    """Rows of the table: runs that differ in nothing but their seed share one.

    Runs that have even the seed in common are no sample of it, so they stay apart.
    """
    groups: list[list[Run]] = []
    for run in runs:
        alike = (group for group in groups if not difference(group[0], run))
        group = next(alike, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    rows = []
    for group in groups:
        seeds = {run.config.seed for run in group}
        together = len(seeds) == len(group)
        rows += [Row(tuple(group))] if together else [Row((run,)) for run in group]
    return rows


def averaged(runs: Sequence[Run]) -> list[Row]:
    """One row of all runs.

    Raises:
        UserError: unless there are several, and their seeds alone differ.
    """
    if len(runs) < 2:
        raise UserError(f"--average needs at least two runs. Received: {len(runs)}")
    for run in runs[1:]:
        if found := difference(runs[0], run):
            name, was, now = found
            raise UserError(
                "--average needs runs that differ in their seed alone. Received: "
                f"{name} {was!r} in {runs[0].path}, {now!r} in {run.path}"
            )
    seen: dict[int, Run] = {}
    for run in runs:
        other = seen.setdefault(run.config.seed, run)
        if other is not run:
            raise UserError(
                "--average needs runs of different seeds. Received: --seed "
                f"{run.config.seed} in {other.path} and in {run.path}"
            )
    return [Row(tuple(runs))]


def difference(one: Run, other: Run) -> tuple[str, Any, Any] | None:
    """What, but for the seed, first tells two runs apart, and its two values."""
    first, second = one.config.flag_values(), other.config.flag_values()
    for name in compared_flags(one.config):
        if name not in NO_DIFFERENCE and not same_value(
            name, first[name], second[name]
        ):
            return f"--{name}", first[name], second[name]
    if one.data and other.data and one.data.digest != other.data.digest:
        return "data.json:", one.data.digest, other.data.digest
    was, now = (
        ", ".join(column.title for column in run.figures if column.attack)
        for run in (one, other)
    )
    return None if was == now else ("attacks in robustness.json:", was, now)


def same_value(flag: str, one: Any, other: Any) -> bool:
    """Whether two values of a flag ask for the same."""
    if flag in SETS:
        return sorted(one) == sorted(other)
    return one == other


def compared_flags(config: Config) -> list[str]:
    """Flags that change the weights or the evaluation."""
    return [
        flag for flag, _, allowed in config.options() if allowed.changes != "nothing"
    ]


def columns_of(runs: Iterable[Run]) -> list[Column]:
    """All columns that any run has: clean, attacks by strength, embedding."""
    attacks = {column for run in runs for column in run.figures if column.attack}
    return [CLEAN, *sorted(attacks, key=in_order), *EMBEDDING]


def images_of(result: EvaluationResult) -> dict[str, Json]:
    """What an evaluation says of the images that were attacked."""
    return {
        "dataset": result.dataset,
        "split": result.split,
        "num_examples": result.num_examples,
    }


def _images(run: Run) -> dict[str, Json]:
    """What decides which images a run was evaluated on."""
    images = images_of(run.result)
    flags = run.config.flag_values()
    validation = VALIDATION_FLAGS if run.result.split == "validation" else ()
    images |= {f"--{name}": flags[name] for name in (*IMAGE_FLAGS, *validation)}
    return images


def _refuse_other_images(one: Run, other: Run) -> None:
    """Compares the images that were attacked, or where they lay if no more is known."""
    if one.data and other.data:
        split = one.result.split
        if apart := one.data.only(split).difference(other.data.only(split)):
            raise UserError(
                "runs in one table must be evaluated on the same images. Received: "
                f"{one.path} and {other.path}, with other images: {apart}"
            )
    elif one.result.dataset == "folder":
        was, now = (
            {"--data_dir": str(Path(run.config.data.data_dir).resolve())}
            for run in (one, other)
        )
        _refuse_difference(was, now, one, other)


def _attack_settings(run: Run) -> dict[str, dict[str, Json]]:
    """By attack: what makes it stronger or weaker, beside its epsilon."""
    settings: dict[str, dict[str, Json]] = {}
    for row in run.model.attacks or ():
        parameters = dict(row.parameters)
        parameters.pop("seed", None)
        step_size = parameters.get("step_size")
        if isinstance(step_size, int | float):
            del parameters["step_size"]
            share = step_size / row.epsilon
            parameters["step_size/epsilon"] = float(f"{share:.6g}")
        named = {f"{row.name} {key}": value for key, value in parameters.items()}
        settings[row.name] = {f"{row.name} norm": row.norm, **named}
    return settings


def _refuse_difference(
    expected: Mapping[str, Json], found: Mapping[str, Json], one: Run, other: Run
) -> None:
    for name in {**expected, **found}:
        was, now = expected.get(name), found.get(name)
        if was != now:
            raise UserError(
                "runs in one table must be evaluated alike. Received: "
                f"{name} {was!r} in {one.path}, {now!r} in {other.path}"
            )
