"""Handwritten digits that come with scikit-learn: 1,797 images, no network needed."""

import numpy as np
from PIL import Image

from supcon_tf.data.sources.source import BadImages, Source, SourceSplit

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

    def read(indices: np.ndarray, out: np.ndarray) -> BadImages:
        for position, index in enumerate(indices):
            image = Image.fromarray(gray[index])
            enlarged = image.resize((size, size), Image.Resampling.BICUBIC)
            out[position] = np.asarray(enlarged)[..., None]
        return {}

    return Source(
        name="digits",
        class_names=tuple(str(name) for name in digits.target_names),
        image_shape=(size, size, 3),
        train=SourceSplit(digits.target.astype(np.int64), read),
        test=None,
    )
