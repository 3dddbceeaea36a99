"""Finished parts of an evaluation, so that one that is stopped goes on."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from supcon_tf.runs.files import replacing, write_text

Arrays = dict[str, np.ndarray]
# Of the parts' names; parts of other names must not be taken for these.
VERSION = 2
SUBJECT = "subject.json"
# Characters of a part's name that its file has.
LONGEST = 100


@dataclass(frozen=True)
class FinishedParts:
    """Keeps what was computed under a name, and gives it back instead of computing.

    Args:
        folder: where the parts lie; with None nothing is kept.
        subject: JSON-able, all that the parts depend on. Parts of another subject are
            removed as soon as one of this is wanted.
        prefix: of the parts' names.
    """

    folder: Path | None = None
    subject: Mapping[str, Any] | None = None
    prefix: str = ""

    def within(self, name: str) -> "FinishedParts":
        """The same folder, for parts whose names begin with `name`."""
        return replace(self, prefix=f"{self.prefix}{name}/")

    def part(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Arrays:
        """What `compute` gives, or gave before the evaluation was stopped.

        Args:
            name: of the part, once in an evaluation.
            compute: gives named arrays, or what NumPy makes arrays of.
        """
        if self.folder is None:
            return _as_arrays(compute())
        self._claim(self.folder)
        path = self.folder / f"{_file_name(self.prefix + name)}.npz"
        found = _read(path)
        if found is None:
            found = _as_arrays(compute())
            with replacing(path) as file:
                np.savez_compressed(file, **found)  # type: ignore[arg-type]
        return found

    def discard(self) -> None:
        """Removes all parts, once the evaluation is written or makes no sense."""
        if self.folder is not None:
            # What is left by a process that is killed meanwhile still has its subject.
            for path in self.folder.glob("*.npz"):
                path.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def discard_own(self) -> None:
        """Removes the parts if they are of this subject."""
        if self.folder is not None and self._are_own(self.folder):
            self.discard()

    def _claim(self, folder: Path) -> None:
        """Makes sure that the parts in the folder are of this subject."""
        if not self._are_own(folder):
            self.discard()
            folder.mkdir(parents=True)
            write_text(folder / SUBJECT, self._named())

    def _are_own(self, folder: Path) -> bool:
        named = folder / SUBJECT
        if not named.is_file():
            return False
        return named.read_text(encoding="utf-8", errors="replace") == self._named()

    def _named(self) -> str:
        subject = {"version": VERSION, "of": self.subject}
        return json.dumps(subject, indent=2, sort_keys=True) + "\n"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, to tell whether a model is still the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_name(name: str) -> str:
    """A name that file systems take, however many epsilons it holds."""
    plain = re.sub(r"[^\w.@=-]", "+", name)
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _as_arrays(values: Mapping[str, Any]) -> Arrays:
    return {name: np.asarray(value) for name, value in values.items()}


def _read(path: Path) -> Arrays | None:
    """The arrays of a part; None if it isn't there or can't be read."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
