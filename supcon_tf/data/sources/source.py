"""What every source of images offers before anything is decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The positions of images that could not be read, each with its name and the reason.
BadImages = dict[int, str]
# read(indices, out) writes image indices[k] into out[k], (H, W, 3) uint8, for every k
# that is not among the bad images; the indices are distinct and in any order.
Reader = Callable[[np.ndarray, np.ndarray], BadImages]

# Decoding fewer images than this takes a few seconds: no progress bar.
PROGRESS_FROM = 10_000


@dataclass(frozen=True)
class SourceSplit:
    """Images known by their labels, (N,) int64, and a way to decode some of them.

    Args:
        labels: of the images.
        read: decodes some of them.
        files: (N,) paths below `root`, with `/`; None if an image is not a file.
        root: the folder that `files` lie in.
        name: of these images in the source, for images that are not files.
    """

    labels: np.ndarray
    read: Reader
    files: Sequence[str] | None = None
    root: Path = Path()
    name: str = "train"


@dataclass(frozen=True)
class Source:
    """A data set whose images are not decoded yet.

    `image_shape` is (H, W, 3) after resizing. `test` and `validation` are None where
    the data set has no such images of its own. `notes` are lines for the user.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: SourceSplit
    test: SourceSplit | None
    validation: SourceSplit | None = None
    notes: tuple[str, ...] = ()


def progress_options(count: int, description: str) -> dict:
    """Arguments of tqdm: a bar for many images on a terminal, otherwise silence."""
    return {
        "total": count,
        "desc": description,
        "unit": "image",
        # None shows the bar on terminals only.
        "disable": None if count >= PROGRESS_FROM else True,
    }
