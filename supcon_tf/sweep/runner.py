"""Goes through the runs of a sweep, one after the other."""

import datetime
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from supcon_tf.compare.comparison import compared_flags
from supcon_tf.config import Config
from supcon_tf.errors import RunError, UserError
from supcon_tf.runs.files import write_text
from supcon_tf.sweep.launch import Launcher
from supcon_tf.sweep.plan import PlannedRun, config_of
from supcon_tf.sweep.record import LOG, SweepRecord
from supcon_tf.sweep.sharing import take_stages
from supcon_tf.sweep.turns import holder, sign, take

# Seconds between two looks at a run that another process has in hand.
PATIENCE = 1.0
LOCK = ".sweep.lock"
# What is there once a run is finished.
FINISHED = ("config_file", "model_file", "robustness_file", "report_file")
LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class Outcome:
    """What sweep.json says of a run."""

    status: str
    seconds: float | None = None
    exit_code: int | None = None
    message: str | None = None

    def words(self) -> str:
        took = str(datetime.timedelta(seconds=round(self.seconds or 0)))
        if self.status == "failed":
            return f"failed after {took}, {self.message}"
        return f"{'done' if self.status == 'done' else 'stopped'} after {took}"


class Runner:
    """Makes runs and writes down what became of them.

    Args:
        record: of the sweep.
        launcher: within its context.
        total: how many runs the sweep has.
        donors: runs whose finished stages others may begin with.
    """

    def __init__(
        self,
        record: SweepRecord,
        launcher: Launcher,
        total: int,
        donors: Sequence[PlannedRun] = (),
    ) -> None:
        self._record = record
        self._launcher = launcher
        self._total = total
        self._donors = donors

    def make(self, number: int, run: PlannedRun) -> bool:
        """Makes a run unless it is finished; False if it failed or was stopped.

        Args:
            number: its place in the sweep, from 0.
            run: what it is.
        """
        title = f"run {number + 1} of {self._total}: {run.name}"
        lock = self._turn(title, run)
        if lock is None:
            return False
        try:
            if self._is_finished(run):
                print(f"{title}: was done before", flush=True)
                return True
            return self._start(title, run, lock)
        finally:
            os.close(lock)

    def forget_the_killed(self, runs: Sequence[PlannedRun]) -> None:
        """Runs that nobody has in hand any more wait again."""
        for run in runs:
            if self._record.of(run.name)["status"] != "running":
                continue
            if (lock := take(_lock_of(run))) is not None:
                self._record.update(run.name, status="waiting")
                os.close(lock)

    def _turn(self, title: str, run: PlannedRun) -> int | None:
        """The lock of a run; waits for a process that has it in hand."""
        path, told = _lock_of(run), False
        while not self._launcher.stopped_by:
            lock = take(path)
            if lock is not None:
                sign(lock, os.getpid())
                return lock
            if not told:
                print(f"{title}: waits for {holder(path)}", flush=True)
                told = True
            time.sleep(PATIENCE)
        return None

    def _is_finished(self, run: PlannedRun) -> bool:
        """Whether there is nothing to do; in doubt the run itself finds out."""
        files = (getattr(run.folder, name) for name in FINISHED)
        if self._record.of(run.name)["status"] != "done" or not all(
            file.is_file() for file in files
        ):
            return False
        return _of_results(run.folder.config()) == _of_results(run.config)

    def _start(self, title: str, run: PlannedRun, lock: int) -> bool:
        log = run.folder.path / LOG
        print(f"{title} (output: {log})", flush=True)
        words = _frozen(run)
        begun = Outcome("running")
        self._record.update(run.name, **asdict(begun))
        try:
            if taken := take_stages(run, self._donors):
                print(f"{title}: begins with {taken}", flush=True)
        except RunError as error:
            return self._end(title, run, Outcome("failed", message=str(error)))
        begin = time.monotonic()
        code, last = self._launcher.run(words, log, lock)
        seconds = round(time.monotonic() - begin, 1)
        outcome = Outcome("done", seconds, code)
        if code and self._launcher.stopped_by:
            outcome = Outcome("waiting", seconds, code)
        elif code:
            outcome = Outcome("failed", seconds, code, _message(code, last))
        where = f" (output: {log})" if outcome.status == "failed" else ""
        return self._end(title, run, outcome, where)

    def _end(
        self, title: str, run: PlannedRun, outcome: Outcome, where: str = ""
    ) -> bool:
        self._record.update(run.name, **asdict(outcome))
        print(f"{title}: {outcome.words()}{where}", flush=True)
        return outcome.status == "done"


def _lock_of(run: PlannedRun) -> Path:
    run.folder.path.mkdir(parents=True, exist_ok=True)
    return run.folder.path / LOCK


def _of_results(config: Config) -> dict[str, Any]:
    """What a run's weights and accuracies depend on."""
    values = config.flag_values()
    return {name: values[name] for name in compared_flags(config)}


def _frozen(run: PlannedRun) -> list[str]:
    """Words that start a run as it was planned, though its flagfiles may be others now.

    Raises:
        UserError: if they would start another.
    """
    path = run.folder.path / "flags.txt"
    write_text(path, run.flags)
    words = [f"--flagfile={path}"]
    if config_of(words) != run.config:
        raise UserError(f"{path} does not give the run that it was written for")
    return words


def _message(code: int, last: str) -> str:
    if code < 0:
        try:
            end = f"ended by {signal.Signals(-code).name}"
        except ValueError:
            end = f"ended by signal {-code}"
        hint = " (out of memory?)" if -code == getattr(signal, "SIGKILL", 0) else ""
        return f"{end}{hint}: {last[:LONGEST_MESSAGE]}"
    return f"exit code {code}: {last[:LONGEST_MESSAGE]}"
