"""What `load` returns: images, their labels, the names of their classes."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from supcon_tf.data.bad_images import listed
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.repeated import Repeated, repeated
from supcon_tf.data.split_fingerprint import DIGESTED_WHOLE

_BYTES_AT_ONCE = 16 * 2**20
_SAMPLE = 4096
_UNKNOWN = Fingerprint("", (), {})


@dataclass(frozen=True)
class Split:
    """Some images with their labels, in a fixed order.

    Args:
        images: (N, H, W, C) uint8; from `load` RGB, and `EncodedImages`, which are
            indexed as an array is, if they exceed the memory that they may take.
        labels: (N,) int64, in [0, number of classes).
    """

    images: np.ndarray | EncodedImages
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Some of the images as models take them: float32 in [0, 1]."""
        return self.images[rows].astype(np.float32) / 255

    def subset(self, rows: np.ndarray) -> "Split":
        """Some of the images; encoded ones stay so."""
        if isinstance(self.images, EncodedImages):
            return Split(self.images.subset(rows), self.labels[rows])
        return Split(self.images[rows], self.labels[rows])


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

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and which training images have turned out to be bad since."""
        images = self.train.images
        if not isinstance(images, EncodedImages) or not images.left_out:
            return self.notes
        bad = listed(list(images.left_out.values()))
        return (
            *self.notes,
            f"replaced by others of their class, by --skip_bad_images, {bad}",
        )

    def channel_statistics(self, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel of the training images.

        They are exact for the images that they are of (from a histogram of the 256
        values), and need memory for some images only.

        Args:
            exact: of all images, rather than of a seeded sample of 4,096 where there
                are more than 256 MiB of them.

        Returns:
            Two float64 arrays of shape (3,), in units of the [0, 1] pixel range. The
            deviation of a constant channel is 0.
        """
        counts = np.zeros((3, 256), np.int64)
        rows = np.arange(len(self.train))
        sample = 0 if exact else statistics_sample(self.train)
        if sample:
            rows = np.random.default_rng(0).permutation(rows)[:sample]
        at_once = max(1, _BYTES_AT_ONCE // int(np.prod(self.image_shape)))
        for start in range(0, len(rows), at_once):
            chunk = self.train.images[rows[start : start + at_once]]
            # Several times faster than numpy counts, which makes them int64 first.
            below_each_other = Image.fromarray(chunk.reshape(-1, *chunk.shape[2:]))
            counts += np.array(below_each_other.histogram()).reshape(3, 256)
        levels = np.arange(256) / 255.0
        shares = counts / counts.sum(axis=1, keepdims=True)
        mean = shares @ levels
        variance = (shares * (levels - mean[:, None]) ** 2).sum(axis=1)
        return mean, np.sqrt(variance)

    def repeated(self, split: Split) -> Repeated:
        """How many images of a split are also training images."""
        return repeated(self.train.images, split.images)


def statistics_sample(train: Split) -> int:
    """How many images the channel statistics are of; 0 for all.

    It depends on the images alone, and not on where they are kept.
    """
    return min(_SAMPLE, len(train)) if train.images.nbytes > DIGESTED_WHOLE else 0
