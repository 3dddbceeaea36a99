"""Handwritten digits that come with scikit-learn: 1,797 images, no network needed."""

import numpy as np
from PIL import Image

from supcon_tf.data.sources.source import Source, SourceSplit, Stored, reader_of

_DEFAULT_SIZE = 32
_LARGEST_VALUE = 16


def open_digits(image_size: int) -> Source:
    """The 8x8 digits, smoothly enlarged and shown as RGB.

    Args:
        image_size: height and width in pixels; 0 means 32.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    gray = np.round(digits.images * (255 / _LARGEST_VALUE)).astype(np.uint8)
    size = image_size or _DEFAULT_SIZE

    def image(index: int) -> np.ndarray:
        enlarged = Image.fromarray(gray[index]).resize(
            (size, size), Image.Resampling.BICUBIC
        )
        return np.repeat(np.asarray(enlarged)[..., None], 3, axis=2)

    stored = Stored(
        lambda index: gray[index].tobytes(),
        lambda index, _: np.repeat(gray[index][..., None], 3, axis=2),
        lambda indices: np.full(len(indices), gray[0].nbytes),
    )
    return Source(
        name="digits",
        class_names=tuple(str(name) for name in digits.target_names),
        image_shape=(size, size, 3),
        train=SourceSplit(
            digits.target.astype(np.int64),
            reader_of(image, "digits"),
            image=image,
            stored=stored,
        ),
        test=None,
    )
