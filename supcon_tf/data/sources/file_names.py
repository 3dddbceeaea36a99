"""Names of very many files, in the memory that their letters take."""

import os
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import overload


class FileNames(Sequence[str]):
    """Paths of files that lie in folders of classes, class by class.

    A list of strings would take 57 bytes for each name beyond its letters, and those of
    the folder again and again; this takes 8.

    Args:
        folder: that holds the folders of the classes.
        separator: between folder, class and file.

    Example:
        >>> names = FileNames("data/train")
        >>> names.add("cat", ["1.png", "2.png"])
        >>> names[1]
        'data/train/cat/2.png'
    """

    def __init__(self, folder: str, separator: str = os.sep) -> None:
        self._folder, self._separator = folder, separator
        self._classes: list[str] = []
        self._letters = bytearray()
        self._ends = array("q", [0])
        self._class_ends: list[int] = []

    def add(self, class_name: str, files: Sequence[str]) -> None:
        """Adds the files of one more class."""
        encoded = [os.fsencode(file) for file in files]
        self._letters += b"".join(encoded)
        self._ends.extend(accumulate(map(len, encoded), initial=self._ends.pop()))
        self._classes.append(class_name)
        self._class_ends.append(len(self._ends) - 1)

    def counts(self) -> list[int]:
        """How many files each class has."""
        return [stop - start for start, stop in pairwise([0, *self._class_ends])]

    def within(self, folder: str) -> "FileNames":
        """The same files as if theirs were another folder, with `/`."""
        names = FileNames(folder, "/")
        names._classes, names._class_ends = self._classes, self._class_ends
        names._letters, names._ends = self._letters, self._ends
        return names

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        start, stop = self._ends[index : index + 2]
        file = os.fsdecode(bytes(self._letters[start:stop]))
        class_name = self._classes[bisect_right(self._class_ends, index)]
        return self._separator.join((self._folder, class_name, file))
