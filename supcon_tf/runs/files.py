"""Files that are whole or not there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# A file in the making; what a killed process left of it can be told by its name.
_MAKING = ".making-"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` once it is whole and on disk."""
    with temporary_beside(path) as temporary:
        with temporary.open("wb") as file:
            yield file
        publish(temporary, path)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A name beside `path`, with its ending, for a file that is in the making.

    The caller calls `publish` once it is whole; what is left of it otherwise is
    removed.
    """
    temporary = path.with_name(f"{_MAKING}{os.getpid()}-{path.name}")
    try:
        with naming(path):
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within it, an OSError that names no file, as of a full disk, names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Gives a whole file its name, once it is on disk."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left in the making; no other may be at work."""
    for path in folder.rglob(f"{_MAKING}*"):
        path.unlink(missing_ok=True)
