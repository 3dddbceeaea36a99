"""Images of tensorflow-datasets, read without decoding what isn't wanted."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.data.decoding.encoded import decode
from supcon_tf.data.decoding.image_files import BadImage
from supcon_tf.data.sources.source import (
    Source,
    SourceSplit,
    Stored,
    reader_of,
)
from supcon_tf.data.sources.tfds_access import prepared_builder
from supcon_tf.data.sources.tfds_index import has_random_access, index_of, wants_index
from supcon_tf.data.sources.tfds_pixels import Fit, whole_pixels
from supcon_tf.data.sources.tfds_records import Records
from supcon_tf.data.sources.tfds_stream import (
    dataset,
    exactly,
    readable,
    stream_reader,
)
from supcon_tf.errors import UserError

_LABELS_AT_ONCE = 4096
_IMAGES_AT_ONCE = 256
# Of these many records the order is compared: some turns through the files.
_COMPARED = 1024
_VALIDATION = ("validation", "valid", "val")
# Finding one reads the data up to it once more.
_REASONS = 10


def open_tfds(
    name: str, data_dir: str, image_size: int, crop_to_aspect_ratio: bool = False
) -> Source:
    """A classification data set of tensorflow-datasets, downloaded if need be.

    Its validation images are the test images if it has no `test` split, or one whose
    images have no labels. Its bytes are decoded as `encoded.decode` does, not by its
    own features: as those of an image folder, and of a request to an exported model.

    Args:
        name: as `tfds.builder` takes it.
        data_dir: folder of the prepared data; the library's own default if empty.
        image_size: height and width in pixels that images are resized to; 0 keeps
            their size, which must then be one.
        crop_to_aspect_ratio: resize the middle square of an image, else the whole of
            it without keeping its proportions.

    Raises:
        UserError: if the data set is unknown, unfit or out of reach, or sizes differ
            while `image_size` is 0.
    """
    builder = prepared_builder(name, data_dir)
    splits = builder.info.splits
    there = (name for name in _VALIDATION if name in splits)
    validation = next((n for n in there if not _lacks_labels(builder, n)), None)
    test, notes = _test_split(builder, validation)
    unused = [split for split in splits if split not in ("train", test, validation)]
    if unused:
        notes = (*notes, f"ignored: split {', '.join(unused)}")
    shape = _image_shape(builder, image_size, name)
    fit = Fit(shape, bool(image_size), crop_to_aspect_ratio, builder.name)
    read = {
        split: _source_split(builder, split, shape, fit)
        for split in ("train", validation, test)
        if split
    }
    return Source(
        name=builder.name,
        class_names=tuple(builder.info.features["label"].names),
        image_shape=shape,
        train=read["train"],
        validation=read[validation] if validation and validation != test else None,
        test=read[test] if test else None,
        notes=notes,
    )


def _test_split(
    builder: Any, validation: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """The split of labelled images for test, and a note if it is not the first."""
    names = filter(None, ("test", validation))
    splits = [name for name in names if name in builder.info.splits]
    labelled = (name for name in splits if not _lacks_labels(builder, name))
    found = next(labelled, None)
    if found == next(iter(splits), None):
        return found, ()
    instead = f"its {found} split is" if found else "a share of its train images is"
    return found, (
        f"the {splits[0]} images of {builder.name} have no labels, so {instead} used "
        "as test images",
    )


def _lacks_labels(builder: Any, split: str) -> bool:
    """Whether a split is of images to be guessed: their labels are -1."""
    with readable(builder.name):
        if wants_index(builder, split):
            return bool((index_of(builder, split).labels[:1] < 0).any())
        first = list(exactly(dataset(builder, split, "label"), 1, 1))
    return bool(first) and int(first[0]["label"]) < 0


def _image_shape(builder: Any, image_size: int, name: str) -> tuple[int, int, int]:
    if image_size:
        return image_size, image_size, 3
    height, width = builder.info.features["image"].shape[:2]
    if (height is None or width is None) and has_random_access(builder):
        records = Records(builder, "train")
        for number in range(len(records.index.labels)):
            with suppress(BadImage):
                return whole_pixels(records.content(number)).shape
        raise UserError(f"--dataset={name} has no image that can be decoded")
    if height is None or width is None:
        # The data set doesn't promise one size; the first image says which it would
        # have to be, and reading the others checks it.
        sizes = dataset(builder, "train", "image").map(
            lambda example: tf.shape(decode(example["image"]))
        )
        with readable(name):
            first = next(sizes.ignore_errors().as_numpy_iterator(), None)
        if first is None:
            raise UserError(f"--dataset={name} has no image that can be decoded")
        height, width, _ = first
    return int(height), int(width), 3


def _source_split(
    builder: Any, split: str, shape: tuple[int, int, int], fit: "Fit"
) -> SourceSplit:
    count = builder.info.splits[split].num_examples
    with readable(builder.name):
        labels = _labels(builder, split, count)
    if len(labels) != count:
        raise UserError(
            f"--data_dir has a prepared {builder.name} of {count} {split} images. "
            f"Received: {len(labels)}"
        )
    records = _once(lambda: _records(builder, split))

    def image(index: int) -> np.ndarray:
        content = records().content(index)
        with records().naming(index):
            return fit.pixels(content)

    def decode(index: int, content: bytes) -> np.ndarray:
        with records().naming(index):
            return whole_pixels(content)

    if has_random_access(builder):
        read = reader_of(image, f"{builder.name} {split}")
    else:
        read = stream_reader(builder, split, count, fit)
    stored = Stored(
        lambda index: records().content(index),
        decode,
        lambda indices: records().index.lengths[indices].astype(np.int64),
    )
    return SourceSplit(labels, read, name=split, image=image, stored=stored)


def _labels(builder: Any, split: str, count: int) -> np.ndarray:
    if wants_index(builder, split):
        return index_of(builder, split).labels
    batches = dataset(builder, split, "label").batch(_LABELS_AT_ONCE)
    labels = [batch["label"] for batch in exactly(batches, count, _LABELS_AT_ONCE)]
    return np.concatenate([np.empty(0, np.int64), *labels])


def _records(builder: Any, split: str) -> Records:
    """The records by number, which are compared with those that come as a stream."""
    with readable(builder.name):
        records = Records(builder, split)
        if not has_random_access(builder):
            count = min(_COMPARED, len(records.index.labels))
            stream = exactly(dataset(builder, split, "label"), count, 1)
            labels = [int(example["label"]) for example in stream]
            if labels != records.index.labels[:count].tolist():
                raise UserError(
                    f"--cache_gib must hold the decoded images of {builder.name}: this "
                    "version of tensorflow-datasets reads its files in an order that "
                    "is not known here"
                )
    return records


def _once(make: Callable[[], Records]) -> Callable[[], Records]:
    """What `make` gives, which is called by the first of all threads that ask."""
    lock = threading.Lock()
    made: list[Records] = []

    def found() -> Records:
        with lock:
            if not made:
                made.append(make())
        return made[0]

    return found
