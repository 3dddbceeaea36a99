"""The command `python -m supcon_tf.sweep`: the runs of a grid, and their comparison."""

import shlex
import signal
import sys
from collections.abc import Sequence

from supcon_tf.commands.flags import run_command
from supcon_tf.compare.__main__ import main as compare
from supcon_tf.compare.comparison import IMAGE_FLAGS, VALIDATION_FLAGS
from supcon_tf.errors import RunError, UserError
from supcon_tf.sweep import launch
from supcon_tf.sweep.command import Request, parse_request
from supcon_tf.sweep.plan import PlannedRun, plan
from supcon_tf.sweep.record import SweepRecord
from supcon_tf.sweep.runner import Runner

# Runs that differ by one of these are attacked on other images or in other ways.
OTHER_ATTACKS = ("norm", "pgd_steps", "pgd_restarts")
APART = (*IMAGE_FLAGS, "dataset", "split", *OTHER_ATTACKS)


def main(argv: list[str]) -> int:
    request = parse_request(argv)
    runs = plan(request)
    if request.dry_run:
        print(commands(runs, request.only))
        return 0
    record = SweepRecord(request.output)
    record.check(request.axes)
    try:
        request.output.mkdir(parents=True, exist_ok=True)
        record.begin(request.axes, [run.name for run in runs])
    except OSError as error:
        raise UserError(
            "--output must be a folder that can be written. "
            f"Received: {request.output} ({error.strerror})"
        ) from error
    return run_and_compare(request, runs, record)


def run_and_compare(
    request: Request, runs: Sequence[PlannedRun], record: SweepRecord
) -> int:
    """The runs that were asked for, and the comparison of all if it was all."""
    chosen = list(enumerate(runs))
    if request.only is not None:
        chosen = [chosen[request.only]]
    apart = _apart(runs) if request.only is None else []
    if apart:
        print(
            f"note: runs that differ by --{', --'.join(apart)} are not evaluated "
            "alike, so that there may be no table of them",
            file=sys.stderr,
        )
    done: list[PlannedRun] = []
    failed: list[PlannedRun] = []
    with launch.Launcher() as launcher:
        donors = runs if request.share_stages else ()
        runner = Runner(record, launcher, len(runs), donors)
        runner.forget_the_killed([run for _, run in chosen])
        for number, run in chosen:
            (done if runner.make(number, run) else failed).append(run)
            if launcher.stopped_by:
                name = signal.Signals(launcher.stopped_by).name
                print(
                    f"stopped by {name}; the same command goes on from here",
                    file=sys.stderr,
                )
                return 128 + launcher.stopped_by
    if done and request.only is None:
        _compare(request, done, bool(apart))
    if failed:
        reasons = (f"{run.name}: {record.of(run.name)['message']}" for run in failed)
        raise RunError(
            f"{len(failed)} of {len(chosen)} runs failed, and the same command tries "
            f"them again. {'; '.join(reasons)}"
        )
    return 0


def commands(runs: Sequence[PlannedRun], only: int | None) -> str:
    """The command of each run, for a shell; its number for --only is in a comment."""
    start = shlex.join(launch.train_command())
    return "\n".join(
        f"# --only={number}: {run.name}\n{start} {shlex.join(run.words)}"
        for number, run in enumerate(runs)
        if only in (None, number)
    )


def _apart(runs: Sequence[PlannedRun]) -> list[str]:
    """Flags in which the runs differ so that they may not be compared."""
    held_out = any(run.config.evaluation.split == "validation" for run in runs)
    flags = [run.config.flag_values() for run in runs]
    return [
        name
        for name in (*APART, *(VALIDATION_FLAGS if held_out else ()))
        if any(values[name] != flags[0][name] for values in flags)
    ]


def _compare(request: Request, done: Sequence[PlannedRun], apart: bool) -> None:
    """As `python -m supcon_tf.compare` does, into the folder of the sweep."""
    folders = [str(run.folder.path) for run in done]
    print(flush=True)
    try:
        compare(["compare", f"--output={request.output}", "--", *folders])
    except UserError as error:
        if not apart:
            raise RunError(f"the runs can't be compared: {error}") from error
        print(f"note: there is no table: {error}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main, sys.argv)
