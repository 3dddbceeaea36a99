"""The command `python -m supcon_tf.compare`: several runs in a table and a figure."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supcon_tf.commands.flags import define_options, new_flags, parse_words, run_command
from supcon_tf.compare.comparison import (
    Row,
    averaged,
    columns_of,
    grouped,
    images_of,
    refuse_different_evaluations,
)
from supcon_tf.compare.records import keep_records, refuse_records_of_runs
from supcon_tf.compare.report import differing_flags, half_width, report
from supcon_tf.compare.runs import CLEAN, Column, read_runs
from supcon_tf.config import FINAL, Config
from supcon_tf.config.options import option, validate_options
from supcon_tf.errors import UserError
from supcon_tf.results.typed_json import Json
from supcon_tf.runs.files import write_text
from supcon_tf.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from supcon_tf.visualization.curves import Curves

USAGE = """
usage: python -m supcon_tf.compare RUN [RUN ...] --output=DIR [--flag=value ...]

Writes one table (comparison.md, comparison.json) and one figure (robustness.png) of
evaluated runs. Runs that differ by their seed alone share a row.
"""
SCHEMA = 1


@dataclass(frozen=True)
class CompareSettings:
    """Where a comparison goes, and what is compared.

    Raises:
        UserError: on construction, if a value is not allowed.
    """

    output: str = option(
        "", "folder that the table and the figure are written to", path=True
    )
    stage: str = option(FINAL, "which model of each run", choices=Config.model_names())
    average: bool = option(
        False,
        "average all the runs into one row; refused, naming the difference, unless "
        "they differ in their seed alone",
    )
    keep_records: str = option(
        "",
        "folder that records of the runs are copied to, without weights, of which the "
        "comparison can be made again; it may hold others",
        path=True,
    )

    def __post_init__(self) -> None:
        validate_options(self)
        if not self.output:
            raise UserError("--output must be a folder. Received: ''")
        folder = RunFolder(self.output)
        if folder.config_file.exists() or folder.robustness_file.exists():
            raise UserError(
                f"--output must not be the folder of a run. Received: {self.output}"
            )


def main(argv: list[str]) -> None:
    paths, settings = parse_settings(argv)
    runs = read_runs(paths, settings.stage)
    refuse_different_evaluations(runs)
    rows = averaged(runs) if settings.average else grouped(runs)
    text = report(rows, settings.stage)
    records = Path(settings.keep_records) if settings.keep_records else None
    if records:
        refuse_records_of_runs(runs, records)
    try:
        write_comparison(Path(settings.output), rows, settings.stage, text)
        if records:
            keep_records(runs, settings.stage, records)
    except OSError as error:
        raise UserError(
            "--output and --keep_records must be folders that can be written. "
            f"Received: {error.filename or settings.output} ({error.strerror})"
        ) from error
    print(text)


def parse_settings(argv: list[str]) -> tuple[list[str], CompareSettings]:
    """The run folders and the settings that a command line asks for."""
    values = new_flags()
    # Flags may follow the run folders.
    values.set_gnu_getopt(True)
    define_options(values, CompareSettings)
    paths = parse_words(values, argv, USAGE)
    if not paths:
        raise UserError("one or more run folders are needed. Received: none")
    names = CompareSettings.__dataclass_fields__
    given: dict[str, Any] = {name: values[name].value for name in names}
    return paths, CompareSettings(**given)


def write_comparison(folder: Path, rows: Sequence[Row], stage: str, text: str) -> None:
    """Writes comparison.md, comparison.json and robustness.png."""
    # matplotlib takes a moment to load: a refusal should not have to wait for it.
    from supcon_tf.visualization.curves import robustness_curves

    folder.mkdir(parents=True, exist_ok=True)
    curves = {row.label: _curves(row) for row in rows}
    title = f"{stage} models; band: 95 % interval of one run, ± deviation of several"
    robustness_curves(curves, folder / "robustness.png", title)
    record = json.dumps(_record(rows, stage), indent=2)
    write_text(folder / "comparison.json", record + "\n")
    picture = "![Accuracy over attack strength](robustness.png)"
    write_text(folder / "comparison.md", f"# Comparison\n\n{text}\n\n{picture}\n")


def _curves(row: Row) -> "Curves":
    from supcon_tf.visualization.curves import Curves, Point

    if len(row.runs) == 1:
        return Curves.of(row.runs[0].model)
    points = []
    for column in columns_of(row.runs):
        mean, spread = row.mean(column), row.deviation(column)
        if column.attack and mean is not None and spread is not None:
            band = max(0, mean - spread), min(1, mean + spread)
            points.append(
                Point(column.attack, column.norm, column.strength, mean, band)
            )
    return Curves(row.mean(CLEAN), tuple(points))


def _record(rows: Sequence[Row], stage: str) -> dict[str, Json]:
    """What comparison.json holds."""
    columns = columns_of(run for row in rows for run in row.runs)
    return {
        "schema": SCHEMA,
        "stage": stage,
        **images_of(rows[0].runs[0].result),
        "rows": [
            {
                "label": row.label,
                "runs": [str(run.path) for run in row.runs],
                "seeds": [run.config.seed for run in row.runs],
                "n": len(row.runs),
                "figures": [_figure(row, column) for column in columns],
            }
            for row in rows
        ],
        "differing_flags": differing_flags(rows),
        "largest_half_width_95": half_width(rows),
    }


def _figure(row: Row, column: Column) -> dict[str, Json]:
    of_attack: dict[str, Json] = {}
    if column.attack:
        of_attack = {
            "attack": column.attack,
            "norm": column.norm,
            "strength": column.strength,
        }
    return {
        "name": column.key,
        **of_attack,
        "mean": row.mean(column),
        "standard_deviation": row.deviation(column),
        "values": row.values(column),
    }


if __name__ == "__main__":
    run_command(main, sys.argv)
