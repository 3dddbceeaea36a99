"""Where each image of a prepared data set of tensorflow-datasets lies."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from supcon_tf.data.sources.source import progress_options
from supcon_tf.data.untuned import untuned
from supcon_tf.runs.files import replacing

_AT_ONCE, _READ_AT_ONCE = 4096, 64
# Around a record of a TFRecord file: its length (8 bytes) and two checksums.
_AROUND = 16
# An index of less is made in seconds whenever it is needed.
_KEPT_FROM = 2**30

# Those of the builders at hand.
_known: WeakKeyDictionary[Any, dict[str, "Index"]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Index:
    """Arrays (N,), of the examples in the order in which tensorflow-datasets reads.

    Args:
        labels: int64.
        lengths: int32, the bytes of each record; of the example, not of its image.
        shards: int32, which file it is in.
        offsets: int64, where in the file it begins.
    """

    labels: np.ndarray
    lengths: np.ndarray
    shards: np.ndarray
    offsets: np.ndarray


def index_of(builder: Any, split: str) -> Index:
    """The index of a split, of an earlier start or made now.

    It is made by reading all records once, which checks what guards them against
    damage. That of a large data set is kept in a file beside its own.

    Raises:
        tf.errors.OpError: if the data can't be read.
    """
    known = _known.setdefault(builder, {})
    if split not in known:
        known[split] = kept_index(builder, split) or _new_index(builder, split)
    return known[split]


def _new_index(builder: Any, split: str) -> Index:
    size = _size(builder, split)
    if size >= _KEPT_FROM:
        print(
            f"note: {builder.name} {split} is read through once, to find where its "
            f"images lie ({size / 2**30:.3g} GiB)",
            file=sys.stderr,
        )
    made = _made(builder, split)
    if size >= _KEPT_FROM:
        _keep(builder, split, made)
    return made


def wants_index(builder: Any, split: str) -> bool:
    """Whether reading all labels takes as long as making the index, or it is there."""
    return (
        has_random_access(builder)
        or _size(builder, split) >= _KEPT_FROM
        or kept_index(builder, split) is not None
    )


def has_random_access(builder: Any) -> bool:
    """Whether it was prepared as `array_record`, which can't be read as a stream."""
    return str(builder.info.file_format.value) == "array_record"


def paths_of(builder: Any, split: str) -> list[str]:
    return [os.fspath(path) for path in builder.info.splits[split].filepaths]


def raw_source(builder: Any, split: str) -> Any:
    """The records of an `array_record`: a sequence, that also takes many at once."""
    import tensorflow_datasets as tfds

    return builder.as_data_source(
        split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )


def _made(builder: Any, split: str) -> Index:
    label = {"label": tf.io.FixedLenFeature([], tf.int64)}
    one_by_one = has_random_access(builder)
    records = _array_records if one_by_one else _tfrecords
    batches = (
        records(builder, split)
        .map(
            lambda shard, record: (
                tf.io.parse_single_example(record, label)["label"],
                tf.cast(tf.strings.length(record), tf.int64),
                shard,
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .batch(_AT_ONCE)
    )
    found = [np.zeros((3, 0), np.int64)]
    count = builder.info.splits[split].num_examples
    with tqdm(**progress_options(count, f"{builder.name} {split} index")) as bar:
        for batch in untuned(batches).as_numpy_iterator():
            found.append(np.stack(batch))
            bar.update(len(batch[0]))
    labels, lengths, shards = np.concatenate(found, axis=1)
    offsets = np.zeros(0 if one_by_one else len(labels), np.int64)
    if not one_by_one:
        for shard in np.unique(shards):
            mine = np.flatnonzero(shards == shard)
            offsets[mine] = np.cumsum(lengths[mine] + _AROUND) - lengths[mine] - _AROUND
    return Index(labels, lengths.astype(np.int32), shards.astype(np.int32), offsets)


def _tfrecords(builder: Any, split: str) -> tf.data.Dataset:
    """(file, record) in the order of `builder.as_dataset`; damage is an error."""
    import tensorflow_datasets as tfds

    def of_file(number: tf.Tensor, path: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(path, buffer_size=2**20)
        return records.map(lambda record: (number, record))

    files = tf.data.Dataset.from_tensor_slices(paths_of(builder, split))
    return files.enumerate().interleave(
        of_file,
        # As `tensorflow_datasets.core.reader` chooses it.
        cycle_length=1 if builder.info.disable_shuffling else 16,
        block_length=tfds.ReadConfig().interleave_block_length,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _array_records(builder: Any, split: str) -> tf.data.Dataset:
    source = raw_source(builder, split)

    def records() -> Iterator[tuple[int, bytes]]:
        for start in range(0, len(source), _READ_AT_ONCE):
            numbers = range(start, min(start + _READ_AT_ONCE, len(source)))
            yield from ((0, record) for record in source.__getitems__(numbers))

    signature = (tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.string))
    return tf.data.Dataset.from_generator(records, output_signature=signature)


def _size(builder: Any, split: str) -> int:
    return sum(tf.io.gfile.stat(path).length for path in paths_of(builder, split))


def _state(builder: Any, split: str) -> np.ndarray:
    """What tells the files from others: their sizes and times."""
    stats = [tf.io.gfile.stat(path) for path in paths_of(builder, split)]
    return np.array([(stat.length, stat.mtime_nsec) for stat in stats], np.int64)


def _file(builder: Any, split: str) -> Path:
    return Path(os.fspath(builder.data_path)) / f".supcon_tf-{split}-index.npz"


def kept_index(builder: Any, split: str) -> Index | None:
    """The index of an earlier start, if it is of these files."""
    try:
        # numpy leaves a file that it opened itself open if it is no archive.
        with _file(builder, split).open("rb") as raw, np.load(raw) as file:
            arrays = {name: file[name] for name in file.files}
        state = arrays.pop("state")
        found = Index(**arrays)
    # A damaged archive makes zipfile, zlib and numpy raise nearly anything.
    except Exception:
        return None
    return found if np.array_equal(state, _state(builder, split)) else None


def _keep(builder: Any, split: str, index: Index) -> None:
    path = _file(builder, split)
    arrays = {field.name: getattr(index, field.name) for field in fields(Index)}
    try:
        with replacing(path) as file:
            np.savez(file, state=_state(builder, split), **arrays)
    except OSError as error:
        print(
            f"note: {path} can't be written ({error.strerror}), so the next start "
            "reads the data through again",
            file=sys.stderr,
        )
