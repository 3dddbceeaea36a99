"""What `load` returns: decoded images, their labels, the names of their classes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from supcon_tf.data.fingerprint import Fingerprint

_IMAGES_AT_ONCE = 1024
_UNKNOWN = Fingerprint("", (), {})


@dataclass(frozen=True)
class Split:
    """Some images with their labels, in a fixed order.

    Args:
        images: (N, H, W, C) uint8; from `load` RGB, and a `np.memmap` if they exceed
            the memory that they may take.
        labels: (N,) int64, in [0, number of classes).
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """A data set, divided.

    Args:
        name: of the data set.
        class_names: in the order of the labels.
        train: what a model learns from.
        validation: held out from `train`, or of its own; None if none was asked for.
        test: held out, or of its own.
        fingerprint: what the images are, to tell them from others.
        notes: what was chosen that a user might not expect, and what was left out.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    fingerprint: Fingerprint = _UNKNOWN
    notes: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def channel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel of the training images.

        They are exact (from a histogram of the 256 values) and need memory for some
        images only.

        Returns:
            Two float64 arrays of shape (3,), in units of the [0, 1] pixel range. The
            deviation of a constant channel is 0.
        """
        counts = np.zeros((3, 256), np.int64)
        for start in range(0, len(self.train), _IMAGES_AT_ONCE):
            chunk = self.train.images[start : start + _IMAGES_AT_ONCE]
            for channel in range(3):
                values = chunk[..., channel].ravel()
                counts[channel] += np.bincount(values, minlength=256)
        levels = np.arange(256) / 255.0
        shares = counts / counts.sum(axis=1, keepdims=True)
        mean = shares @ levels
        variance = (shares * (levels - mean[:, None]) ** 2).sum(axis=1)
        return mean, np.sqrt(variance)

    def repeated(self, split: Split) -> int:
        """How many images of a split are byte for byte also training images."""
        # Whole images are compared where a row of them agrees: reading all of a large
        # data set would take longer than it is worth.
        row = self.image_shape[0] // 2
        rows = {each.tobytes() for each in _in_chunks(split.images, row)}
        alike = [
            index
            for index, each in enumerate(_in_chunks(self.train.images, row))
            if each.tobytes() in rows
        ]
        seen = {_digest(self.train.images[index]) for index in alike}
        return sum(_digest(image) in seen for image in split.images) if seen else 0


def _in_chunks(images: np.ndarray, row: int) -> Iterator[np.ndarray]:
    """The given row of each image, read some at a time."""
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        yield from np.asarray(images[start : start + _IMAGES_AT_ONCE, row])


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
