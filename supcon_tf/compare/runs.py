"""Evaluated runs as they lie in their folders."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from supcon_tf.config import ATTACKS, Config
from supcon_tf.errors import UserError
from supcon_tf.results.record import EvaluationResult, ModelResult, read_result
from supcon_tf.results.strength import strength_text
from supcon_tf.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from supcon_tf.data.fingerprint import Fingerprint


@dataclass(frozen=True)
class Column:
    """One figure of a model: an accuracy under attack, or one that has no attack."""

    key: str
    attack: str = ""
    norm: str = ""
    strength: float = 0.0

    @property
    def title(self) -> str:
        if not self.attack:
            return TITLES[self.key]
        return f"{self.attack} {strength_text(self.strength, self.norm)}"


TITLES = {
    "clean_accuracy": "clean",
    "knn_accuracy": "kNN",
    "relative_margin_mean": "relative margin",
    "margin_mean": "margin",
}
CLEAN = Column("clean_accuracy")
EMBEDDING = tuple(Column(key) for key in TITLES if key != CLEAN.key)


@dataclass(frozen=True)
class Run:
    """A run folder that was evaluated, and one of its models.

    Args:
        path: the folder, as it was given.
        label: its name in the table, unique there.
        config: the run's, with the settings that it was evaluated with.
        result: what robustness.json holds.
        model: the entry of the compared stage in it.
        figures: the model's figures; None where one could not be measured.
        data: what the run's images were; None if an earlier version made the run.
    """

    path: Path
    label: str
    config: Config
    result: EvaluationResult
    model: ModelResult
    figures: dict[Column, float | None]
    data: "Fingerprint | None" = None


def read_runs(paths: Sequence[str], stage: str) -> list[Run]:
    """Reads evaluated run folders.

    Raises:
        UserError: for a folder that holds no evaluation of `stage`, or was given twice.
    """
    folders = [Path(path).resolve() for path in paths]
    for place, folder in enumerate(folders):
        if folder in folders[:place]:
            raise UserError(
                f"each run is compared once. Received: {paths[place]} twice"
            )
    labels = unique_labels(folders)
    return [
        _read(Path(path), label, stage)
        for path, label in zip(paths, labels, strict=True)
    ]


def unique_labels(folders: Sequence[Path]) -> list[str]:
    """The name of each folder, with as many parents as tell it from the others."""
    labels = []
    for folder in folders:
        same = [other for other in folders if other.name == folder.name]
        depth = 1
        while len({other.parts[-depth:] for other in same}) < len(same):
            depth += 1
        # A name that is no text would end every write of it.
        label = os.fsencode("/".join(folder.parts[-depth:]))
        labels.append(label.decode(errors="backslashreplace"))
    return labels


def _read(path: Path, label: str, stage: str) -> Run:
    folder = RunFolder(path)
    if not folder.robustness_file.is_file():
        raise UserError(
            f"a run folder with a robustness.json is needed. Received: {path}"
        )
    result = read_result(folder.robustness_file)
    model = result.of_stage(stage)
    if model is None:
        raise UserError(
            f"--stage must be one that was evaluated in {path}: "
            f"{', '.join(model.stage for model in result.models)}. Received: {stage!r}"
        )
    config = _config(folder, result)
    data = folder.fingerprint()
    return Run(path, label, config, result, model, _figures(model), data)


def _config(folder: RunFolder, result: EvaluationResult) -> Config:
    """The run's config, with the settings of an evaluation made after it."""
    try:
        config = folder.config()
        evaluation = result.made_with(config.evaluation)
        return dataclasses.replace(config, evaluation=evaluation)
    except UserError as error:
        raise UserError(f"{folder.config_file}: {error}") from error


def _figures(model: ModelResult) -> dict[Column, float | None]:
    figures: dict[Column, float | None] = {CLEAN: model.clean_accuracy}
    columns = {
        Column("accuracy", row.name, row.norm, row.strength): row.accuracy
        for row in model.attacks or ()
    }
    figures |= {column: columns[column] for column in sorted(columns, key=in_order)}
    return figures | {c: getattr(model.embedding, c.key) for c in EMBEDDING}


def in_order(column: Column) -> tuple[int, str, float]:
    """What columns of attacks are sorted by; attacks that are no more come last."""
    known = column.attack in ATTACKS
    place = ATTACKS.index(column.attack) if known else len(ATTACKS)
    return place, column.attack, column.strength
