"""Images of tensorflow-datasets, read without decoding what isn't wanted."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from supcon_tf.data.decoding.encoded import decode, resize
from supcon_tf.data.sources.quiet import only_errors
from supcon_tf.data.sources.source import (
    BadImages,
    Source,
    SourceSplit,
    progress_options,
)
from supcon_tf.data.sources.tfds_access import prepared_builder
from supcon_tf.errors import UserError

_LABELS_AT_ONCE = 4096
_IMAGES_AT_ONCE = 256
_VALIDATION = ("validation", "valid", "val")
# Finding one reads the data up to it once more.
_REASONS = 10


def open_tfds(name: str, data_dir: str, image_size: int) -> Source:
    """A classification data set of tensorflow-datasets, downloaded if need be.

    Its validation images are the test images if it has no `test` split, or one whose
    images have no labels. Its bytes are decoded as `encoded.decode` does, not by its
    own features: as those of an image folder, and of a request to an exported model.

    Args:
        name: as `tfds.builder` takes it.
        data_dir: folder of the prepared data; the library's own default if empty.
        image_size: height and width in pixels that images are resized to, without
            keeping their proportions; 0 keeps their size, which must then be one.

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
    read = {
        split: _source_split(builder, split, image_size)
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
    with _readable(builder.name):
        first = list(_exactly(_dataset(builder, split, "label"), 1, 1))
    return bool(first) and int(first[0]["label"]) < 0


def _image_shape(builder: Any, image_size: int, name: str) -> tuple[int, int, int]:
    if image_size:
        return image_size, image_size, 3
    height, width = builder.info.features["image"].shape[:2]
    if height is None or width is None:
        # The data set doesn't promise one size; the first image says which it would
        # have to be, and reading the others checks it.
        sizes = _dataset(builder, "train", "image").map(
            lambda example: tf.shape(decode(example["image"]))
        )
        with _readable(name):
            first = next(sizes.ignore_errors().as_numpy_iterator(), None)
        if first is None:
            raise UserError(f"--dataset={name} has no image that can be decoded")
        height, width, _ = first
    return int(height), int(width), 3


def _source_split(builder: Any, split: str, image_size: int) -> SourceSplit:
    count = builder.info.splits[split].num_examples
    batches = _dataset(builder, split, "label").batch(_LABELS_AT_ONCE)
    with _readable(builder.name):
        labels = [batch["label"] for batch in _exactly(batches, count, _LABELS_AT_ONCE)]

    if sum(map(len, labels)) != count:
        raise UserError(
            f"--data_dir has a prepared {builder.name} of {count} {split} images. "
            f"Received: {sum(map(len, labels))}"
        )

    def read(indices: np.ndarray, out: np.ndarray) -> BadImages:
        positions = np.full(count, -1, np.int64)
        positions[indices] = np.arange(len(indices))
        images = _decoded(builder, split, positions, out.shape[1:3], bool(image_size))
        # What can't be decoded is missing among them.
        images = images.ignore_errors().batch(_IMAGES_AT_ONCE).prefetch(2)
        missing = np.ones(len(indices), bool)
        with (
            _readable(builder.name),
            tqdm(**progress_options(len(indices), f"{builder.name} {split}")) as bar,
        ):
            for batch in _exactly(images, len(indices), _IMAGES_AT_ONCE):
                where, pixels, sizes = batch
                _check_sizes(sizes, out.shape[1:3], builder.name, bool(image_size))
                out[where] = pixels
                missing[where] = False
                bar.update(len(where))
        bad = np.flatnonzero(missing)
        bad = bad[np.argsort(indices[bad])]
        reasons = _reasons(builder, split, indices[bad[:_REASONS]]) if len(bad) else []
        return {
            int(k): f"{split}[{indices[k]}]{reason}"
            for k, reason in zip_longest(bad, reasons, fillvalue="")
        }

    all_labels = np.concatenate([np.empty(0, np.int64), *labels])
    return SourceSplit(all_labels, read, name=split)


def _dataset(builder: Any, split: str, feature: str) -> tf.data.Dataset:
    """{feature: value} of a split, in the order of its files; images stay encoded."""
    import tensorflow_datasets as tfds

    skip = {"image": tfds.decode.SkipDecoding()} if feature == "image" else None
    with only_errors("absl"):
        return builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({feature: True}, decoders=skip),
            read_config=tfds.ReadConfig(try_autocache=False),
        )


def _decoded(
    builder: Any,
    split: str,
    positions: np.ndarray,
    size: tuple[int, int],
    resized: bool,
) -> tf.data.Dataset:
    """(place in the output, pixels, size before resizing) of the wanted images."""
    where = tf.constant(positions)

    def decode_one(
        index: tf.Tensor, example: dict[str, tf.Tensor]
    ) -> tuple[tf.Tensor, ...]:
        pixels = decode(example["image"])
        found = tf.shape(pixels)[:2]
        # A batch needs one shape; the caller refuses what is cut or padded here.
        if resized:
            return where[index], resize(pixels, size), found
        return where[index], tf.image.resize_with_crop_or_pad(pixels, *size), found

    dataset = _dataset(builder, split, "image").enumerate()
    dataset = dataset.filter(lambda index, _: where[index] >= 0)
    return dataset.map(decode_one, num_parallel_calls=tf.data.AUTOTUNE)


def _reasons(builder: Any, split: str, indices: np.ndarray) -> list[str]:
    """Why some images can't be decoded, in brackets, in the order of their indices."""
    wanted = tf.constant(indices)
    dataset = _dataset(builder, split, "image").enumerate()
    dataset = dataset.filter(lambda index, _: tf.reduce_any(index == wanted))
    reasons = []
    for _, example in _exactly(dataset, len(indices), 1):
        try:
            decode(tf.constant(example["image"]))
            reasons.append("")
        except tf.errors.InvalidArgumentError as error:
            reasons.append(f" ({_first_line(error)})")
    return reasons


def _exactly(dataset: tf.data.Dataset, count: int, batch_size: int) -> Iterator[Any]:
    """The batches of `count` elements.

    Asking for one more would make TensorFlow report an OUT_OF_RANGE on the terminal.
    """
    return islice(dataset.as_numpy_iterator(), -(-count // batch_size))


def _check_sizes(
    sizes: np.ndarray, expected: tuple[int, int], name: str, resized: bool
) -> None:
    wrong = sizes[(sizes != np.array(expected)).any(axis=1)]
    if len(wrong) and not resized:
        height, width = wrong[0]
        raise UserError(
            "--image_size must be given for images of different sizes. Received: 0 "
            f"with {expected[1]}x{expected[0]} and {width}x{height} in {name}"
        )


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise UserError(
            f"--data_dir has a prepared {name} that can't be read "
            f"({_first_line(error)})"
        ) from error


def _first_line(error: tf.errors.OpError) -> str:
    """What it says, without the names of nodes that TensorFlow puts around it."""
    lines = error.message.partition("\n\t [[")[0].strip().splitlines()
    line = lines[-1 if lines[0].startswith("Graph execution error") else 0]
    line = re.sub(r"\{\{.*?\}\}\s*", "", line)
    return re.sub(r"^assertion failed: \[(.*)\]$", r"\1", line)
