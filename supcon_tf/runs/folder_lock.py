"""One process at a time in a folder."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from supcon_tf.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such lock; the folder is not guarded there.
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = ".lock"


@contextlib.contextmanager
def sole_use(folder: Path, flag: str = "run_dir") -> Iterator[None]:
    """Keeps other processes out of a folder, which is created if it isn't there.

    The operating system holds the lock and drops it when its holder ends, however that
    happens: a killed run leaves nothing behind that would have to be removed.

    Args:
        folder: the folder.
        flag: the flag that named it, for errors.

    Raises:
        UserError: if another process uses the folder, or it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"--{flag} must be a folder that can be written. "
            f"Received: {folder} ({error.strerror})"
        ) from error
    try:
        _lock(descriptor, folder, flag)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, flag: str) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems know no locks; a run there is not refused.
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return
        holder = os.read(descriptor, 200).decode(errors="replace").strip()
        raise UserError(
            f"--{flag} is in use by {holder or 'another process'}; wait for its end or "
            f"give another folder. Received: {folder}"
        ) from error
    os.truncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
