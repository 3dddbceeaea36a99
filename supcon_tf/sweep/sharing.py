"""Stages that runs of a sweep have in common, trained once (`--share_stages`)."""

import filecmp
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from supcon_tf.errors import RunError
from supcon_tf.runs.files import publish, temporary_beside, write_text
from supcon_tf.runs.history import RECORD
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.sweep.plan import PlannedRun


def take_stages(run: PlannedRun, others: Iterable[PlannedRun]) -> str | None:
    """Gives a run that has not begun the finished stages of one that trains alike.

    As many as it can, from the first on; the run goes on from there as it would from
    its own. Lines of metrics.jsonl say which `run` they are of.

    Args:
        run: that is about to be started, by this process alone.
        others: runs that may have finished stages.

    Returns:
        The stages and the run that they were taken of, in words; None if there is
        nothing to take.

    Raises:
        RunError: if a copy can't be made, or is not what it was copied from.
    """
    if run.folder.config_file.exists():
        return None
    names = [name for name, _ in run.config.stages()]
    donors = [other for other in others if other is not run]
    for count in range(len(names), 0, -1):
        stages = names[:count]
        for donor in donors:
            if _trained_alike(run, donor.folder, stages):
                return _taken(run, donor, stages)
    return None


def _taken(run: PlannedRun, donor: PlannedRun, stages: Sequence[str]) -> str:
    what = f"{' and '.join(stages)} of {donor.name}"
    try:
        _copy(donor, run.folder, stages)
    except OSError as error:
        raise RunError(f"no {what}: {error}") from error
    return what


def _trained_alike(run: PlannedRun, donor: RunFolder, stages: Sequence[str]) -> bool:
    files = (donor.config_file, *map(donor.stage_model_file, stages))
    return all(file.is_file() for file in files) and run.config.trains_alike(
        donor.config(), stages[-1]
    )


def _copy(donor: PlannedRun, target: RunFolder, stages: Sequence[str]) -> None:
    """Models last: without them, a run that is killed here is given all again."""
    source = donor.folder
    for file in (source.data_file, source.path / RECORD):
        if file.exists():
            _copy_file(file, target.path / file.name)
    # Events are files of their own names: those of a copy that broke off would stay.
    shutil.rmtree(target.tensorboard, ignore_errors=True)
    for stage in stages:
        if (events := source.tensorboard / stage).exists():
            shutil.copytree(events, target.tensorboard / stage)
    lines = [
        {**line, "run": line.get("run", donor.name)}
        for line in source.metrics()
        if line["stage"] in stages
    ]
    write_text(target.metrics_file, "".join(json.dumps(line) + "\n" for line in lines))
    for stage in stages:
        model = target.stage_model_file(stage)
        model.parent.mkdir(exist_ok=True)
        _copy_file(source.stage_model_file(stage), model)


def _copy_file(source: Path, target: Path) -> None:
    with temporary_beside(target) as temporary:
        shutil.copyfile(source, temporary)
        if not filecmp.cmp(source, temporary, shallow=False):
            raise RunError(f"{target} is not what it was copied from, {source}")
        publish(temporary, target)
