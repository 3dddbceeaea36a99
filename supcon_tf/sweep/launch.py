"""Starts a run in a process of its own, and stops it as it wants to be stopped."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from supcon_tf.errors import RunError
from supcon_tf.sweep.turns import sign

# Of a log, in which the last line is looked for.
_TAIL = 16 * 1024


def train_command() -> list[str]:
    """The words that start a training, in a checkout and where there is none."""
    return [sys.executable, "-m", "supcon_tf.train"]


class Launcher:
    """Starts one run at a time. Within its context a signal stops run and sweep.

    SIGTERM, SIGHUP or Ctrl-C become one SIGTERM for the run, which saves its state and
    ends; a second Ctrl-C ends it at once. Once it has ended, they are ignored: the
    sweep ends too.
    """

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Launcher":
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # nohup has SIGHUP ignored, and means it.
            if number and signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_IGN if self.stopped_by else handler)

    def run(self, words: list[str], log: Path, lock: int) -> tuple[int, str]:
        """Waits for a run.

        Args:
            words: its command line, without the program.
            log: file that its output is added to.
            lock: descriptor that the run keeps open, whatever becomes of this process.

        Returns:
            Its exit code, and the last line of its output: of its error, if there is
            one.

        Raises:
            RunError: if it can't be started.
        """
        command = [*train_command(), *words]
        with log.open("ab") as file:
            when = time.strftime("%Y-%m-%d %H:%M:%S")
            file.write(f"# {when}: {shlex.join(command)}\n".encode(errors="replace"))
            file.flush()
            begin = file.tell()
            self._process = _started(command, file, lock)
        if self.stopped_by:
            self._process.terminate()
        try:
            sign(lock, self._process.pid)
        except OSError:
            self._process.terminate()
            raise
        finally:
            code = self._process.wait()
            self._process = None
        return code, last_line(log, begin)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        again = self.stopped_by == number == signal.SIGINT
        self.stopped_by = self.stopped_by or number
        if self._process:
            if again:
                self._process.kill()
            else:
                self._process.terminate()


def _started(
    command: list[str], output: BinaryIO, lock: int
) -> subprocess.Popen[bytes]:
    posix = os.name == "posix"
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # The log is looked at while the run goes on.
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            # A terminal's Ctrl-C is for this process, which passes it on.
            start_new_session=posix,
            pass_fds=(lock,) if posix else (),
        )
    except OSError as error:
        raise RunError(f"{command[0]} can't be started: {error.strerror}") from error


def last_line(log: Path, begin: int = 0) -> str:
    """The last error of a log, else its last line; empty if there is none.

    Args:
        log: the file.
        begin: bytes at its start that belong to something else.
    """
    lines = list(_lines(log, begin))
    errors = (line for line in reversed(lines) if line.startswith("error: "))
    return next(errors, lines[-1] if lines else "")


def _lines(log: Path, begin: int) -> Iterator[str]:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(begin, size - _TAIL))
        for line in file.read().decode(errors="replace").splitlines():
            if line.strip():
                yield line.strip()
