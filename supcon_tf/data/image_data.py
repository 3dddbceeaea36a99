"""What `load` returns: decoded images, their labels, the names of their classes."""

from dataclasses import dataclass

import numpy as np

_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True)
class Split:
    """Some images with their labels, in a fixed order.

    Args:
        images: (N, H, W, 3) uint8, RGB; a `np.memmap` if they exceed the memory that
            they may take.
        labels: (N,) int64, in [0, number of classes).
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """A data set, divided.

    `validation` is None if no share of it was asked for. `notes` are lines for the
    user: what was left out, and why.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
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
