"""Images of tensorflow-datasets to pixels, in a graph and one by one."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from supcon_tf.data.decoding.encoded import decode, resize
from supcon_tf.data.decoding.image_files import BadImage
from supcon_tf.errors import UserError


@dataclass(frozen=True)
class Fit:
    """Brings images to the size of all."""

    shape: tuple[int, int, int]
    resized: bool
    crop_to_aspect_ratio: bool
    name: str

    def pixels(self, content: bytes) -> np.ndarray:
        """Decoded, as all images are.

        Raises:
            BadImage: if it can't be decoded.
            UserError: if it has another size than others, and none was asked for.
        """
        with _decodable():
            pixels, size = self._of_content(tf.constant(content))
        self.refuse_sizes(size.numpy()[None])
        return pixels.numpy()

    @cached_property
    def _of_content(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        signature = [tf.TensorSpec([], tf.string)]
        return tf.function(self.of_content, signature, autograph=False)

    def of_content(self, content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pixels (H, W, 3) uint8, and what the height and width were."""
        pixels, size = decode(content), self.shape[:2]
        found = tf.shape(pixels)[:2]
        # A batch needs one shape; the caller refuses what is cut or padded here.
        if self.resized:
            return resize(pixels, size, self.crop_to_aspect_ratio), found
        return tf.image.resize_with_crop_or_pad(pixels, *size), found

    def refuse_sizes(self, sizes: np.ndarray) -> None:
        expected = self.shape[:2]
        wrong = sizes[(sizes != np.array(expected)).any(axis=1)]
        if len(wrong) and not self.resized:
            height, width = wrong[0]
            raise UserError(
                "--image_size must be given for images of different sizes. Received: 0 "
                f"with {expected[1]}x{expected[0]} and {width}x{height} in {self.name}"
            )


def whole_pixels(content: bytes) -> np.ndarray:
    """Decoded, in the size that it is stored in.

    Raises:
        BadImage: if it can't be decoded.
    """
    with _decodable():
        return decode(tf.constant(content)).numpy()


@contextmanager
def _decodable() -> Iterator[None]:
    try:
        # Eager operations would go to a GPU, where there is one.
        with tf.device("CPU"):
            yield
    except tf.errors.OpError as error:
        raise BadImage(first_line(error)) from error


def first_line(error: tf.errors.OpError) -> str:
    """What it says, without the names of nodes that TensorFlow puts around it."""
    lines = error.message.partition("\n\t [[")[0].strip().splitlines()
    line = lines[-1 if lines[0].startswith("Graph execution error") else 0]
    line = re.sub(r"\{\{.*?\}\}\s*", "", line)
    return re.sub(r"^assertion failed: \[(.*)\]$", r"\1", line)
