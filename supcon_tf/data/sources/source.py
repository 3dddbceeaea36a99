"""What every source of images offers before anything is decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from supcon_tf.data.decoding.image_files import BadImage
from supcon_tf.data.sources.quiet import no_warnings
from supcon_tf.data.threads import side_by_side

# The positions of images that could not be read, each with its name and the reason.
BadImages = dict[int, str]
# read(indices, out) writes image indices[k] into out[k], (H, W, 3) uint8, for every k
# that is not among the bad images; the indices are distinct and in any order.
Reader = Callable[[np.ndarray, np.ndarray], BadImages]

# Decoding fewer images than this takes a few seconds: no progress bar.
PROGRESS_FROM = 10_000


@dataclass(frozen=True)
class Stored:
    """Images as they are stored; every function may be called by many threads at once.

    Args:
        content: the bytes of the image of an index.
        decode: from an index and its bytes to upright pixels (H, W, 3) uint8, in the
            size that they are stored in.
        sizes: from indices (M,) to the bytes of these images, (M,) int64; -1 for what
            is not there.

    Raises:
        BadImage: from `content` and `decode`, naming the image and the reason.
    """

    content: Callable[[int], bytes]
    decode: Callable[[int, bytes], np.ndarray]
    sizes: Callable[[np.ndarray], np.ndarray]


def _no_image(index: int) -> np.ndarray:
    raise NotImplementedError("this source decodes all its images at once")


@dataclass(frozen=True)
class SourceSplit:
    """Images known by their labels, (N,) int64, and a way to decode some of them.

    Args:
        labels: of the images.
        read: decodes some of them.
        files: (N,) paths below `root`, with `/`; None if an image is not a file.
        root: the folder that `files` lie in.
        name: of these images in the source, for images that are not files.
        image: decodes the one of an index, (H, W, 3) uint8, the same pixels as `read`;
            from any thread. It raises `BadImage`, naming the image and the reason.
        stored: gives the images as they are stored; None if nothing but `image` can.
    """

    labels: np.ndarray
    read: Reader
    files: Sequence[str] | None = None
    root: Path = Path()
    name: str = "train"
    image: Callable[[int], np.ndarray] = _no_image
    stored: Stored | None = None


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


def reader_of(image: Callable[[int], np.ndarray], description: str) -> Reader:
    """A reader that decodes image by image, in threads.

    Args:
        image: see `SourceSplit`.
        description: of the progress bar.
    """

    def read(indices: np.ndarray, out: np.ndarray) -> BadImages:
        def read_one(position: int) -> str:
            try:
                out[position] = image(int(indices[position]))
            except BadImage as error:
                return str(error)
            return ""

        bad: BadImages = {}
        bar = tqdm(**progress_options(len(indices), description))
        # Pillow's warnings name no file.
        with no_warnings(), bar:
            problems = side_by_side(read_one, range(len(indices)))
            for position, problem in enumerate(problems):
                bar.update()
                if problem:
                    bad[position] = problem
        return bad

    return read


def progress_options(count: int, description: str) -> dict:
    """Arguments of tqdm: a bar for many images on a terminal, otherwise silence."""
    return {
        "total": count,
        "desc": description,
        "unit": "image",
        # None shows the bar on terminals only.
        "disable": None if count >= PROGRESS_FROM else True,
    }
