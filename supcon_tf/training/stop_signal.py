"""A polite stop: SIGTERM ends a run after the next step, with its state saved."""

import signal
import sys
from types import FrameType
from typing import Any

SIGTERM_EXIT = 128 + signal.SIGTERM


class StopSignal:
    """Within its context, the first SIGTERM is kept for the training loop to see.

    A scheduler that preempts a job sends SIGTERM and waits; exit code 143 tells it that
    the job is not done.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None

    def __enter__(self) -> "StopSignal":
        self._previous = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def leave(self) -> None:
        """Ends the program, once the state is saved."""
        print("stopped by SIGTERM; the same command goes on from here", file=sys.stderr)
        sys.exit(SIGTERM_EXIT)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
