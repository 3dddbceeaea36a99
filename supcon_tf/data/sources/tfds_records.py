"""Examples of a prepared data set of tensorflow-datasets, by their number."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from supcon_tf.data.decoding.image_files import BadImage
from supcon_tf.data.sources.tfds_index import (
    Index,
    has_random_access,
    index_of,
    paths_of,
    raw_source,
)

# The length of a record, 8 bytes, and its checksum.
_BEFORE = 12


class Records:
    """The examples of a split, which any number of threads may ask for.

    Args:
        builder: of the data set.
        split: its name.
    """

    def __init__(self, builder: Any, split: str) -> None:
        self.index: Index = index_of(builder, split)
        self._split = split
        self._read = _reader(builder, split, self.index)

    def content(self, number: int) -> bytes:
        """The encoded image of an example.

        Raises:
            BadImage: if it can't be read.
        """
        with self.naming(number):
            try:
                example = tf.train.Example.FromString(self._read(number))
            except BadImage:
                raise
            # The reader of another library and the parser raise what they like.
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise BadImage(reason) from error
            values = example.features.feature["image"].bytes_list.value
            if not values:
                raise BadImage("its example holds no image")
            return values[0]

    @contextlib.contextmanager
    def naming(self, number: int) -> Iterator[None]:
        """Within it, what is wrong with an image is told with its place."""
        try:
            yield
        except BadImage as error:
            raise BadImage(f"{self._split}[{number}] ({error})") from error


def _reader(builder: Any, split: str, index: Index) -> Callable[[int], bytes]:
    if has_random_access(builder):
        source = raw_source(builder, split)
        return lambda number: source[number]
    paths = paths_of(builder, split)

    def read(number: int) -> bytes:
        length = int(index.lengths[number])
        # Opened for each: there may be more files than a process may have open.
        with _open(paths[index.shards[number]]) as file:
            file.seek(int(index.offsets[number]))
            found = file.read(_BEFORE + length)
        if len(found) < _BEFORE + length:
            raise BadImage("the file has become shorter")
        if int.from_bytes(found[:8], "little") != length:
            raise BadImage("no record of its length lies there any more")
        return found[_BEFORE:]

    return read


def _open(path: str) -> Any:
    # Files of the machine itself are read some times faster without TensorFlow.
    return tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb", 0)
