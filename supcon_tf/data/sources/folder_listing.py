"""Which files of an image folder are whose, and which are left out."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from supcon_tf.data.decoding.image_files import suffixes
from supcon_tf.data.sources.file_names import FileNames
from supcon_tf.errors import UserError

LAYOUT = "train/CLASS/IMAGE"
_ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SHOWN = 3


@dataclass(frozen=True)
class ClassFolders:
    """The images of one split, in the order of their names.

    Args:
        folder: that holds the folders of the classes.
        class_names: sorted.
        paths: of all images, class by class.
        ignored: what lies there besides, in words.
    """

    folder: str
    class_names: list[str]
    paths: FileNames
    ignored: list[str]

    @property
    def counts(self) -> np.ndarray:
        """How many images each class has."""
        return np.array(self.paths.counts(), np.int64)


def find_splits(root: Path) -> tuple[dict[str, str], list[str]]:
    """The folders of "train", "validation" and "test" by any of their names.

    Returns:
        The folders that are there, and what lies beside them, in words.

    Raises:
        UserError: if a split is there twice or is a broken link.
    """
    splits: dict[str, str] = {}
    ignored = []
    files = 0
    for entry in _entries(str(root)):
        role = _ROLES.get(entry.name.lower())
        if entry.is_dir() and role in splits:
            raise UserError(
                f"--data_dir must have one {role} folder. Received: "
                f"{splits[role]} and {entry.path}"
            )
        if role:
            _refuse_broken_link(entry)
        if not entry.is_dir():
            files += 1
        elif role:
            splits[role] = entry.path
        else:
            ignored.append(f"folder {shown(entry.name)}")
    if files:
        ignored.append(f"{_files(files)} beside the folders of {shown(str(root))}")
    return splits, ignored


def list_classes(folder: str) -> ClassFolders:
    """All images below a split's folder, one folder a class.

    Raises:
        UserError: if a folder can't be read, or names of classes can't be told apart
            or written down.
    """
    name = os.path.basename(folder)
    class_names: list[str] = []
    paths = FileNames(folder)
    stray, deeper, others = 0, Counter[str](), Counter[str]()
    for entry in _entries(folder):
        _refuse_broken_link(entry)
        if not entry.is_dir():
            stray += 1
            continue
        class_names.append(entry.name)
        place = shown(f"{name}/{entry.name}")
        images = []
        for inner in _scanned(entry.path):
            if inner.is_dir():
                deeper[place] += sum(len(files) for _, _, files in os.walk(inner.path))
            elif os.path.splitext(inner.name)[1].lower() in suffixes():
                images.append(inner.name)
            else:
                others[place] += 1
        paths.add(entry.name, sorted(images))
    _check_names(class_names, folder)
    ignored = [
        *([f"{_files(stray)} beside the class folders of {name}"] if stray else []),
        *_in_places(deeper, "in sub-folders of"),
        *_in_places(others, "of other kinds in"),
    ]
    return ClassFolders(folder, class_names, paths, ignored)


def look_alike(name: str) -> str:
    """What names have in common that can't be told apart by eye."""
    return unicodedata.normalize("NFC", name).strip()


def shown(text: str) -> str:
    """A name that may be no text, so that it can be printed."""
    return text.encode("utf-8", "backslashreplace").decode()


def _entries(folder: str) -> list[os.DirEntry]:
    """All but what is hidden, by name; one pass, and no look at the files."""
    return sorted(_scanned(folder), key=lambda entry: entry.name)


def _scanned(folder: str) -> Iterator[os.DirEntry]:
    """The same in any order; a list of entries of a large folder takes much memory."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise UserError(
            f"--data_dir has a folder that can't be read: {shown(folder)} "
            f"({error.strerror})"
        ) from error


def _refuse_broken_link(entry: os.DirEntry) -> None:
    if entry.is_symlink() and not os.path.exists(entry.path):
        raise UserError(
            f"--data_dir must not have broken links for folders. Received: "
            f"{shown(entry.path)} -> {shown(os.readlink(entry.path))}"
        )


def _check_names(names: Sequence[str], folder: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        # A file of one name a line goes with every exported model.
        if any(
            unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name
        ):
            raise UserError(
                "--data_dir must have class folders whose names are one line of UTF-8 "
                f"text. Received: {name!a} in {shown(folder)}"
            )
        twin = seen.setdefault(look_alike(name), name)
        if twin != name:
            raise UserError(
                "--data_dir must have class folders whose names can be told apart. "
                f"Received: {twin!a} and {name!a} in {shown(folder)}, which look alike"
            )


def _in_places(counts: Counter[str], words: str) -> Iterable[str]:
    if not counts:
        return
    places = ", ".join(islice(counts, _SHOWN))
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    yield f"{_files(counts.total())} {words} {places}{more}"


def _files(count: int) -> str:
    return f"{count:,} file{'s' if count > 1 else ''}"
