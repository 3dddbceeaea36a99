"""A polite stop: SIGTERM ends a run with its state saved and exit code 143.

A process that ends so ignores any further SIGTERM, which schedulers send too: it would
be killed on its last way, and be taken for one that has saved nothing.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGTERM_EXIT = 128 + signal.SIGTERM


@contextlib.contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """Within its context SIGTERM ends the program at once, but with exit code 143.

    For everything that is on disk at any moment, as an evaluation's finished parts are.
    """

    def leave(signum: int, frame: FrameType | None) -> None:
        _leave()

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        # Else it is left already.
        if signal.getsignal(signal.SIGTERM) is leave:
            signal.signal(signal.SIGTERM, previous)


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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # It may have come after the loop's last look, while a model was written.
        if self.requested and kind is None:
            self.leave()
        if not (self.requested and kind is SystemExit):
            signal.signal(signal.SIGTERM, self._previous)

    def leave(self) -> None:
        """Ends the program, once the state is saved."""
        _leave()

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True


def _leave() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("stopped by SIGTERM; the same command goes on from here", file=sys.stderr)
    sys.exit(SIGTERM_EXIT)
