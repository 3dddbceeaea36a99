"""The records of runs without their weights, from which a table can be made again."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from supcon_tf.compare.comparison import compared_flags
from supcon_tf.compare.runs import Run, read_runs
from supcon_tf.config import Config
from supcon_tf.config.flag_lines import flagfile_text
from supcon_tf.errors import RunError, UserError
from supcon_tf.runs.files import write_text
from supcon_tf.runs.run_folder import RunFolder

# What is kept of a run: some 50 KB.
KEPT = ("robustness.json", "metrics.jsonl", "config.json", "flags.txt", "data.json")


def refuse_records_of_runs(runs: Sequence[Run], folder: Path) -> None:
    """Checks that records may be kept in a folder.

    Raises:
        UserError: if runs themselves lie there, whose files would be replaced.
    """
    for run in runs:
        kept = RunFolder(folder / run.label)
        if kept.model_file.exists() or kept.path.resolve() == run.path.resolve():
            raise UserError(
                "--keep_records must be a folder of records, apart from runs. "
                f"Received: {folder}, which has the run {kept.path}"
            )


def keep_records(runs: Sequence[Run], stage: str, folder: Path) -> None:
    """Copies what a comparison needs of each run into a folder named after it.

    Left out are the weights, the names of the images (of which a digest is kept) and
    where things lay on the disk: data_dir is kept as a mere name, --init_from and
    --transfer_from relative to the current folder if they lead into it.

    Args:
        runs: that were compared.
        stage: that was.
        folder: of the records, which may hold others.

    Raises:
        RunError: if a copy would be compared as another run.
    """
    for run in runs:
        source, kept = RunFolder(run.path), RunFolder(folder / run.label)
        kept.path.mkdir(parents=True, exist_ok=True)
        config = _published(source.config())
        write_text(kept.config_file, config.to_json())
        flags = flagfile_text(config, str(Path("runs") / run.label))
        write_text(kept.path / "flags.txt", flags)
        shutil.copyfile(source.robustness_file, kept.robustness_file)
        kept.metrics_file.unlink(missing_ok=True)
        if source.metrics_file.exists():
            shutil.copyfile(source.metrics_file, kept.metrics_file)
        kept.data_file.unlink(missing_ok=True)
        if run.data:
            write_text(kept.data_file, _digests(source, run))
        copy = read_runs([str(kept.path)], stage)[0]
        if _compared(copy) != _compared(run):
            raise RunError(f"{kept.path} is no record of {run.path}: they differ")


def _digests(folder: RunFolder, run: Run) -> str:
    """A run's data.json, with a digest of each split in place of its images."""
    values = json.loads(folder.data_file.read_text(encoding="utf-8"))
    for name, split in values["splits"].items():
        split.pop("examples", None)
        split["digest"] = run.data.splits[name].digest  # type: ignore[union-attr]
    return json.dumps(values, indent=1) + "\n"


def _compared(run: Run) -> list[Any]:
    """What a table says of a run, and what may keep it out of one."""
    flags = run.config.flag_values()
    paths = ("data_dir", "init_from", "transfer_from")
    names = [name for name in compared_flags(run.config) if name not in paths]
    digest = run.data.digest if run.data else None
    return [run.result, run.figures, digest, [flags[name] for name in names]]


def _published(config: Config) -> Config:
    data_dir = Path(config.data.data_dir)
    name = data_dir.name or "data" if config.data.data_dir else ""
    data = dataclasses.replace(config.data, data_dir=name)
    evaluation = dataclasses.replace(
        config.evaluation, transfer_from=_below(config.evaluation.transfer_from)
    )
    return dataclasses.replace(
        config, data=data, evaluation=evaluation, init_from=_below(config.init_from)
    )


def _below(path: str) -> str:
    """A path relative to the current folder, if it leads into it; else as it is."""
    if not path:
        return path
    whole, here = Path(path).resolve(), Path.cwd().resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else path)
