"""Which images a split has, by class: their names and the sizes of their files."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

# By class, the name of each image and the bytes of its file. The name is that of the
# file below --data_dir; without files it is a position, SOURCE_SPLIT/17, of no size.
Examples = Mapping[str, Mapping[str, int | None]]


class ListedExamples(Mapping[str, Mapping[str, int | None]]):
    """The same as a mapping of mappings, which are made when they are asked for.

    Args:
        class_names: of the labels.
        labels: (N,) of the images.
        indices: (N,) of the images in their source.
        name: of the image of an index.
        sizes: (N,) bytes of their files; None if they are not files.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        labels: np.ndarray,
        indices: np.ndarray,
        name: Callable[[int], str],
        sizes: np.ndarray | None,
    ) -> None:
        # Those of a folder lie class by class already.
        if (labels[1:] < labels[:-1]).any():
            order = np.argsort(labels, kind="stable")
            labels, indices = labels[order], indices[order]
            sizes = None if sizes is None else sizes[order]
        self.count = len(labels)
        self._starts = np.searchsorted(labels, np.arange(len(class_names) + 1))
        self._numbers = {owner: k for k, owner in enumerate(class_names)}
        self._indices, self._name, self._sizes = indices, name, sizes

    def __getitem__(self, owner: str) -> dict[str, int | None]:
        number = self._numbers[owner]
        part = slice(*self._starts[number : number + 2])
        names = map(self._name, self._indices[part].tolist())
        if self._sizes is None:
            return dict.fromkeys(names)
        return dict(zip(names, self._sizes[part].tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def written(names: Mapping[str, int | None]) -> str | dict[str, int | None]:
    """As data.json has it: names with sizes, or positions in a text."""
    return _packed(names) if None in names.values() else dict(names)


def _packed(names: Mapping[str, int | None]) -> str:
    """Positions of one source split, `train/0-4,9`, in a text that stays small."""
    if not names:
        return ""
    source = next(iter(names)).rpartition("/")[0]
    positions = sorted(int(name.rpartition("/")[2]) for name in names)
    ranges: list[list[int]] = []
    for position in positions:
        if ranges and position == ranges[-1][1] + 1:
            ranges[-1][1] = position
        else:
            ranges.append([position, position])
    texts = (f"{low}-{high}" if high > low else f"{low}" for low, high in ranges)
    return f"{source}/{','.join(texts)}"


def unpacked(text: str) -> dict[str, int | None]:
    source, _, ranges = text.rpartition("/")
    names: dict[str, int | None] = {}
    for part in filter(None, ranges.split(",")):
        low, _, high = part.partition("-")
        names |= {f"{source}/{i}": None for i in range(int(low), int(high or low) + 1)}
    return names
