"""A comparison in Markdown: the table, what to know of it, and what differs."""

from collections.abc import Sequence
from typing import Any

from supcon_tf.compare.comparison import Row, columns_of, compared_flags, same_value
from supcon_tf.compare.runs import Column
from supcon_tf.config.options import plain_number
from supcon_tf.results.markdown import markdown_table, plain

LENGTHS = ("relative_margin_mean",)
# In units of each model's own space, so they say nothing across the rows of a table.
ONLY_IN_JSON = ("margin_mean",)


def report(rows: Sequence[Row], stage: str) -> str:
    """The table in Markdown, and what a reader must know of it."""
    columns = [
        column
        for column in columns_of(run for row in rows for run in row.runs)
        if column.key not in ONLY_IN_JSON
    ]
    header = ["run", "n", *(column.title for column in columns)]
    cells = [
        [row.label, str(len(row.runs)), *(cell(row, column) for column in columns)]
        for row in rows
    ]
    table = markdown_table(header, cells)
    parts = [table, _notes(rows, stage, columns), _differences(rows)]
    return "\n\n".join(part for part in parts if part)


def cell(row: Row, column: Column) -> str:
    """`mean ± standard deviation`, the one figure, or a dash for none."""
    mean, deviation = row.mean(column), row.deviation(column)
    if mean is None:
        return "-"
    if column.key in LENGTHS:
        return f"{mean:z.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
    spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
    return f"{100 * mean:.1f}{spread}%"


def _notes(rows: Sequence[Row], stage: str, columns: Sequence[Column]) -> str:
    result = rows[0].runs[0].result
    notes = [
        f"Accuracy of each run's {stage} model on {result.num_examples} "
        f"{result.split} images of {plain(result.dataset)}; relative margin: "
        "mean distance to the nearest decision boundary / length of the image's vector."
    ]
    for row in rows:
        if len(row.runs) > 1:
            runs = ", ".join(
                f"{plain(run.label)} ({run.config.seed})" for run in row.runs
            )
            notes.append(
                f"{plain(row.label)}: mean ± sample standard deviation (n - 1) of n = "
                f"{len(row.runs)} runs that differ in seed alone: {runs}."
            )
    if width := half_width(rows):
        notes.append(
            "95 % intervals of a single run's accuracies under attack are within "
            f"± {100 * width:.1f} points."
        )
    if failed := failed_checks(rows):
        checks = "; ".join(
            f"{name} ({plain(', '.join(of))})" for name, of in failed.items()
        )
        notes.append(f"Failed masking checks, so figures may be too good: {checks}.")
    notes += _images(rows)
    if any(column.attack == "autoattack_art" for column in columns):
        notes.append("autoattack_art is not the standard AutoAttack.")
    return "\n".join(f"- {note}" for note in notes)


def _images(rows: Sequence[Row]) -> list[str]:
    """What data.json doesn't tell of the runs' images, or tells apart."""
    runs = [run for row in rows for run in row.runs]
    notes = []
    if unknown := [run.label for run in runs if run.data is None]:
        notes.append(
            "Whether these runs have the images of the others can't be checked, since "
            f"they have no data.json: {plain(', '.join(unknown))}."
        )
    trained_on = {run.data.only("train").digest for run in runs if run.data}
    if len(trained_on) > 1:
        notes.append("The runs were trained on different images (data.json).")
    return notes


def half_width(rows: Sequence[Row]) -> float | None:
    """How far, at most, accuracies in rows of a single run may be off."""
    attacks = [
        attack
        for row in rows
        for attack in row.runs[0].model.attacks or ()
        if len(row.runs) == 1
    ]
    return max((attack.farthest_bound for attack in attacks), default=None)


def failed_checks(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The runs that failed a masking check, by its name."""
    failed: dict[str, list[str]] = {}
    for run in (run for row in rows for run in row.runs):
        for check in run.model.failed_checks:
            failed.setdefault(check.name, []).append(run.label)
    return failed


def differing_flags(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Flags that are not the same in every row, with their value in each."""
    flags = [[run.config.flag_values() for run in row.runs] for row in rows]
    differing = {}
    for name in compared_flags(rows[0].runs[0].config):
        values = [_of_row(name, row) for row in flags]
        if not all(same_value(name, value, values[0]) for value in values):
            differing[name] = values
    return differing


def _of_row(name: str, runs: Sequence[dict[str, Any]]) -> Any:
    """A flag's one value in a row, or a list of what its runs have."""
    found = [run[name] for run in runs]
    alike = all(same_value(name, value, found[0]) for value in found)
    return found[0] if alike and name != "seed" else found


def _differences(rows: Sequence[Row]) -> str:
    if len(rows) == 1:
        return ""
    differing = differing_flags(rows)
    if not differing:
        return "No flag differs between the rows."
    header = ["flag", *(row.label for row in rows)]
    cells = [
        [f"--{name}", *(_plain(value) for value in values)]
        for name, values in differing.items()
    ]
    return "Flags that differ between the rows:\n\n" + markdown_table(header, cells)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_plain(item) for item in value)
    return plain_number(value) or "''"
