"""Locks that are waited for, where `supcon_tf.runs.folder_lock` refuses."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock; nothing is guarded there.
    fcntl = None  # type: ignore[assignment]


def take(path: Path) -> int | None:
    """The descriptor that holds the lock of a file; None if another process does.

    The lock lasts until every process that was given the descriptor has closed it or
    has ended, however that happens.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            return None
        # Some network file systems know no locks; a sweep there is not refused.
    return descriptor


def sign(descriptor: int, process: int) -> None:
    """Writes down who holds a lock, for `holder`."""
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, f"process {process} on {socket.gethostname()}\n".encode(), 0)


def holder(path: Path) -> str:
    """Who holds a lock, in words."""
    return path.read_text(errors="replace").strip() or "another process"


@contextlib.contextmanager
def short_turn(path: Path) -> Iterator[None]:
    """Has a lock that nobody keeps for longer than a moment."""
    while (descriptor := take(path)) is None:
        time.sleep(0.02)
    try:
        yield
    finally:
        os.close(descriptor)
