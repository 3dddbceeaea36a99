"""Images for training: where they come from, how they are divided and augmented.

`load` reads a data set into memory once; `supcon_tf.data.batches` makes batches of
it and `supcon_tf.data.augmentation.policies` changes their pixels.
"""

from supcon_tf.data.image_data import ImageData, Split
from supcon_tf.data.loader import load

__all__ = ["ImageData", "Split", "load"]
