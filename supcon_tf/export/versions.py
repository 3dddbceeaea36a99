"""Version folders as TensorFlow Serving reads them: whole, or not there.

A server that watches `DIR` loads every folder in it whose name is a whole number. A
version is therefore made under another name and renamed once it is whole and on disk.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from supcon_tf.errors import UserError

_TEMPORARY = re.compile(r"\.export-(\d+)-(\d+)")


def choose_version(output: Path, asked: int) -> int:
    """The number of the new version: `asked`, or the highest there + 1 if that is 0.

    Raises:
        UserError: if the version exists, or `output` is no folder.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"--output must be a folder. Received: {output} (a file)")
    taken = existing_versions(output)
    if asked in taken:
        raise UserError(
            f"--model_version must be new: {output} holds versions "
            f"{', '.join(map(str, taken))}. Received: {asked}"
        )
    return asked or max(taken, default=0) + 1


def existing_versions(output: Path) -> list[int]:
    """The version numbers in a folder, ascending, as a server would read them."""
    if not output.is_dir():
        return []
    names = (path.name for path in output.iterdir())
    # isdigit alone also takes numerals that no server does.
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


@contextlib.contextmanager
def new_version(output: Path, version: int) -> Iterator[Path]:
    """A folder that becomes `output/version` if the block ends without an error.

    What earlier exports left when they were killed is removed.

    Raises:
        UserError: if `output` can't be written, or the version appeared meanwhile.
    """
    temporary = output / f".export-{version}-{os.getpid()}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(output)
        temporary.mkdir()
    except OSError as error:
        raise UserError(
            f"--output must be a folder that can be written. "
            f"Received: {output} ({error.strerror})"
        ) from error
    try:
        yield temporary
        sync_tree(temporary)
        _publish(temporary, output / str(version))
        _sync(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Waits until all files below a folder, and their names, are on disk."""
    for path, _, files in os.walk(folder):
        for name in files:
            _sync(Path(path, name))
        _sync(Path(path))


def _publish(temporary: Path, final: Path) -> None:
    try:
        os.rename(temporary, final)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise UserError(
            f"--model_version must be new. Received: {final.name} (another export "
            f"wrote {final} meanwhile)"
        ) from error


def _remove_leftovers(output: Path) -> None:
    for path in output.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_alive(int(match[2])):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
