"""Finished parts of an evaluation, so that one that is stopped goes on."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from supcon_tf.runs.files import replacing, write_text

Arrays = dict[str, np.ndarray]


class Journal:
    """Keeps what was computed under a name, and gives it back instead of computing.

    Args:
        folder: where the parts lie; with None nothing is kept.
        subject: JSON-able, all that the parts depend on. Parts of another subject are
            removed.
    """

    def __init__(
        self, folder: Path | None = None, subject: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = folder
        self._prefix = ""
        if folder is None:
            return
        text = json.dumps(subject, indent=2, sort_keys=True) + "\n"
        named = folder / "subject.json"
        if not named.is_file() or named.read_text(encoding="utf-8") != text:
            self.discard()
            folder.mkdir(parents=True)
            write_text(named, text)

    def within(self, name: str) -> "Journal":
        """The same journal, for parts whose names begin with `name`."""
        inner = Journal()
        inner._folder = self._folder
        inner._prefix = f"{self._prefix}{name}/"
        return inner

    def part(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Arrays:
        """What `compute` gives, or gave before the evaluation was stopped.

        Args:
            name: of the part, once in an evaluation.
            compute: gives named arrays, or what NumPy makes arrays of.
        """
        if self._folder is None:
            return _as_arrays(compute())
        path = self._folder / (re.sub(r"[^\w.@=-]", "+", self._prefix + name) + ".npz")
        found = _read(path)
        if found is None:
            found = _as_arrays(compute())
            with replacing(path) as file:
                np.savez_compressed(file, **found)  # type: ignore[arg-type]
        return found

    def discard(self) -> None:
        """Removes all parts, once the evaluation is written or makes no sense."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, to tell whether a model is still the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_arrays(values: Mapping[str, Any]) -> Arrays:
    return {name: np.asarray(value) for name, value in values.items()}


def _read(path: Path) -> Arrays | None:
    """The arrays of a part; None if it isn't there or can't be read."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
