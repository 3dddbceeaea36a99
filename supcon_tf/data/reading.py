"""Chosen images, read into memory or listed as they are stored."""

from dataclasses import dataclass, replace

import numpy as np

from supcon_tf.config import DataConfig
from supcon_tf.data.bad_images import moved_together, origin
from supcon_tf.data.division import Chosen
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.image_data import Split


@dataclass(frozen=True)
class Loaded:
    """Splits by their names.

    Args:
        splits: as they are used.
        known: those that the fingerprint is of, with the indices of their images.
        bad: images that could not be decoded.
        notes: what a user might not expect.
    """

    splits: dict[str, Split]
    known: dict[str, tuple[np.ndarray, Split]]
    bad: list[str]
    notes: tuple[str, ...] = ()


def read(
    chosen: dict[str, Chosen], image_shape: tuple[int, int, int], config: DataConfig
) -> Loaded:
    """Reads the chosen images, or lists them if they exceed `cache_gib` decoded."""
    images = sum(len(indices) for _, indices in chosen.values())
    gib = images * int(np.prod(image_shape)) / 2**30
    if gib <= config.cache_gib:
        return _decoded(chosen, image_shape)
    note = (
        f"the {images:,} images stay encoded and are decoded when they are used: "
        f"together they take {gib:.3g} GiB, more than --cache_gib={config.cache_gib:g}"
    )
    return replace(_encoded(chosen, image_shape, config), notes=(note,))


def _decoded(chosen: dict[str, Chosen], image_shape: tuple[int, int, int]) -> Loaded:
    """All images that can be decoded, in memory."""
    count = sum(len(indices) for _, indices in chosen.values())
    images = np.empty((count, *image_shape), np.uint8)
    known: dict[str, tuple[np.ndarray, Split]] = {}
    bad_names: list[str] = []
    # Parts of one source lie side by side, so that it is read in one pass.
    for owner in {id(split): split for split, _ in chosen.values()}.values():
        mine = {name: part for name, (split, part) in chosen.items() if split is owner}
        wanted = np.concatenate(list(mine.values()))
        bad = owner.read(wanted, images[: len(wanted)])
        bad_names += bad.values()
        start = 0
        for name, indices in mine.items():
            stop = start + len(indices)
            rows = [row - start for row in bad if start <= row < stop]
            kept = np.delete(indices, rows)
            pixels = moved_together(images[start:stop], rows)
            known[name] = kept, Split(pixels, owner.labels[kept])
            start = stop
        images = images[start:]
    splits = {name: split for name, (_, split) in known.items()}
    return Loaded(splits, known, bad_names)


def _encoded(
    chosen: dict[str, Chosen], image_shape: tuple[int, int, int], config: DataConfig
) -> Loaded:
    """All images as they are stored.

    With `skip_bad_images` those that are held out are decoded once, so that an
    evaluation is of the others alone. The fingerprint is of all, or a run could not go
    on with the flag that it needs once it has met a bad image.
    """
    known: dict[str, tuple[np.ndarray, Split]] = {}
    splits: dict[str, Split] = {}
    bad_names: list[str] = []
    for name, (owner, indices) in chosen.items():
        images = EncodedImages(
            owner,
            indices,
            image_shape,
            crop_to_aspect_ratio=config.crop_to_aspect_ratio,
            skip_bad_images=config.skip_bad_images,
            origin=origin(config),
        )
        split = Split(images, owner.labels[indices])
        known[name] = indices, split
        if name != "train" and config.skip_bad_images:
            bad = images.find_bad(name)
            bad_names += bad.values()
            split = split.subset(np.delete(np.arange(len(split)), list(bad)))
        splits[name] = split
    return Loaded(splits, known, bad_names)
