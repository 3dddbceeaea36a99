"""Held-out images that are training images, too."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from supcon_tf.data.decoding.image_files import BadImage
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.threads import all_places

_IMAGES_AT_ONCE = 1024
# No more encoded images than that are read: a few seconds.
_BYTES_READ, _FILES_READ = 2**30, 20_000


class Repeated(NamedTuple):
    """Counts of images.

    Args:
        found: byte for byte training images.
        looked_at: of how many that is known.
    """

    found: int
    looked_at: int


def repeated(
    train: np.ndarray | EncodedImages, held_out: np.ndarray | EncodedImages
) -> Repeated:
    """Counts the held-out images that are byte for byte training images.

    Encoded images are compared as they are stored, and only those of as many bytes: a
    seeded sample of these sizes, where reading all of such images takes too long.

    Args:
        train: (N, H, W, C) uint8.
        held_out: (M, H, W, C) uint8.
    """
    if isinstance(train, EncodedImages) and isinstance(held_out, EncodedImages):
        return _of_stored(train, held_out)
    # Whole images are compared where a row of them agrees: reading all of a large
    # data set would take longer than it is worth.
    row = train.shape[1] // 2
    rows = {each.tobytes() for each in _in_chunks(held_out, row)}
    alike = [
        index
        for index, each in enumerate(_in_chunks(train, row))
        if each.tobytes() in rows
    ]
    seen = {_digest(train[index].tobytes()) for index in alike}
    found = sum(_digest(image.tobytes()) in seen for image in held_out) if seen else 0
    return Repeated(found, len(held_out))


def _of_stored(train: EncodedImages, held_out: EncodedImages) -> Repeated:
    train_sizes, sizes = train.stored_sizes, held_out.stored_sizes
    distinct, counts = np.unique(sizes, return_counts=True)
    train_counts = np.bincount(
        np.searchsorted(distinct, train_sizes[np.isin(train_sizes, distinct)]),
        minlength=len(distinct),
    )
    counts = np.where(train_counts > 0, counts + train_counts, 0)
    order = np.random.default_rng(0).permutation(len(distinct))
    few = np.cumsum(counts[order]) <= _FILES_READ
    few &= np.cumsum((counts * distinct)[order]) <= _BYTES_READ
    chosen = distinct[order[few]]
    shared = np.intersect1d(chosen, train_sizes)
    seen = set(_digests(train, np.isin(train_sizes, shared)))
    mine = _digests(held_out, np.isin(sizes, shared)) if seen else []
    return Repeated(
        sum(digest in seen for digest in mine), int(np.isin(sizes, chosen).sum())
    )


def _digests(images: EncodedImages, wanted: np.ndarray) -> list[bytes]:
    stored, indices = images.source.stored, images.indices[wanted]
    assert stored is not None
    found = [b""] * len(indices)

    def digest(place: int) -> None:
        try:
            found[place] = _digest(stored.content(int(indices[place])))
        except BadImage:
            # Told when it is to be decoded; equal to none.
            found[place] = b"%d" % place

    all_places(digest, len(indices))
    return found


def _in_chunks(images: np.ndarray | EncodedImages, row: int) -> Iterator[np.ndarray]:
    """The given row of each image, read some at a time."""
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        yield from np.asarray(images[start : start + _IMAGES_AT_ONCE, row])


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
