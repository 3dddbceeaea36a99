"""`load`: from a config to decoded images, divided into train, validation and test."""

from pathlib import Path

import numpy as np

from supcon_tf.config import DataConfig
from supcon_tf.data.bad_images import listed, moved_together, refuse_bad_images
from supcon_tf.data.fingerprint import (
    Fingerprint,
    SplitFingerprint,
    digest_of_pixels,
)
from supcon_tf.data.image_data import ImageData, Split
from supcon_tf.data.sources.source import Source, SourceSplit
from supcon_tf.data.splits import balanced_sample, split_by_name, stratified_split
from supcon_tf.data.storage import allocate
from supcon_tf.errors import UserError

# Which images of a source make up one of our splits.
_Chosen = tuple[SourceSplit, np.ndarray]


def load(config: DataConfig, held_out_by: str = "name") -> ImageData:
    """Reads a data set, once, into uint8 images.

    Images are chosen by their labels before any is decoded: a test share is held out
    if the source has no test images, then `limit_train` and `limit_test` are counted,
    class-balanced, and the validation share is taken from what remains for training
    if the source has no validation images. All of that depends on `split_seed` alone;
    a file that is held out stays so when others are added or removed. Images that can't
    be decoded are refused, or left out with `skip_bad_images`.

    Args:
        config: the source, the limits, the shares, the seed and the memory.
        held_out_by: "name"; or "order", as runs did that kept no data.json, whose held
            out images are all drawn anew when files are added or removed.

    Returns:
        The data. Its images are memory-mapped if they exceed `cache_gib`.

    Raises:
        UserError: in one line that names the flag, if the data can't be found, read,
            or divided as asked.

    Example:
        >>> from supcon_tf.config import DataConfig
        >>> from supcon_tf.data import load
        >>> data = load(DataConfig(dataset="digits", limit_train=100))
        >>> len(data.train), len(data.validation), data.image_shape
        (90, 10, (32, 32, 3))
    """
    source = _open(config)
    if len(source.class_names) < 2:
        raise UserError(
            f"--dataset={config.dataset} must have at least 2 classes. "
            f"Received: {', '.join(source.class_names)}"
        )
    _check_labels(source, config)
    chosen = _choose(source, config, held_out_by)
    splits, bad = _decode(chosen, source.image_shape, config.cache_gib)
    notes = [*source.notes, *_about_validation(source, chosen.get("validation"))]
    if bad:
        before = [split.labels[indices] for split, indices in chosen.values()]
        left = [split.labels for _, split in splits.values()]
        refuse_bad_images(bad, before, left, source.class_names, config)
        notes.append(f"left out by --skip_bad_images, {listed(bad)}")
    decoded = {name: split for name, (_, split) in splits.items()}
    fingerprints = {
        name: _fingerprint(chosen[name][0], indices, split, source.class_names)
        for name, (indices, split) in splits.items()
    }
    return ImageData(
        name=source.name,
        class_names=source.class_names,
        train=decoded["train"],
        validation=decoded.get("validation"),
        test=decoded["test"],
        fingerprint=Fingerprint(
            config.dataset, source.class_names, fingerprints, held_out_by
        ),
        notes=tuple(notes),
    )


def _open(config: DataConfig) -> Source:
    # Imported here, since each needs a library that the others don't.
    if config.dataset == "digits":
        from supcon_tf.data.sources.digits import open_digits

        return open_digits(config.image_size)
    if config.dataset == "folder":
        from supcon_tf.data.sources.folder import open_folder

        return open_folder(config.data_dir, config.image_size)
    from supcon_tf.data.sources.tfds import open_tfds

    return open_tfds(config.dataset, config.data_dir, config.image_size)


def _check_labels(source: Source, config: DataConfig) -> None:
    for name in ("train", "validation", "test"):
        split = getattr(source, name)
        if split is None:
            continue
        if len(split.labels) == 0:
            raise UserError(f"--dataset={config.dataset} has no {name} images")
        wrong = split.labels[
            (split.labels < 0) | (split.labels >= len(source.class_names))
        ]
        if len(wrong):
            raise UserError(
                f"--dataset={config.dataset} must have labels from 0 to "
                f"{len(source.class_names) - 1}. Received: {wrong[0]} in {name} "
                "(-1 marks images without a label)"
            )


def _choose(source: Source, config: DataConfig, held_out_by: str) -> dict[str, _Chosen]:
    """The images of train, perhaps validation, and test."""
    seed = config.split_seed
    kept = np.arange(len(source.train.labels))
    if source.test is None:
        test_split = source.train
        kept, held = _held_out(source.train, kept, config, "test", held_out_by)
        if len(held) == 0:
            raise UserError(_empty("test_share", config.test_share, len(kept)))
    else:
        test_split = source.test
        held = np.arange(len(source.test.labels))
    kept = _limited(kept, source.train.labels, "limit_train", config.limit_train, seed)
    held = _limited(held, test_split.labels, "limit_test", config.limit_test, seed)
    test = (test_split, held)
    if config.validation_share == 0:
        return {"train": (source.train, kept), "test": test}
    # Runs of earlier versions were trained on all but a share of the train images.
    if source.validation is not None and held_out_by != "order":
        # A run on some images does not wait for more of them.
        labels, limit = source.validation.labels, config.limit_train
        own = _limited(np.arange(len(labels)), labels, "limit_train", limit, seed)
        return {
            "train": (source.train, kept),
            "validation": (source.validation, own),
            "test": test,
        }
    rest, validation = _held_out(source.train, kept, config, "validation", held_out_by)
    if len(validation) == 0:
        raise UserError(_empty("validation_share", config.validation_share, len(kept)))
    return {
        "train": (source.train, rest),
        "validation": (source.train, validation),
        "test": test,
    }


def _held_out(
    split: SourceSplit,
    indices: np.ndarray,
    config: DataConfig,
    purpose: str,
    held_out_by: str,
) -> tuple[np.ndarray, np.ndarray]:
    """(kept, held) of some images of a split."""
    labels, seed = split.labels[indices], config.split_seed
    share = getattr(config, f"{purpose}_share")
    # Images that are not files have a fixed order, in which none comes or goes.
    if split.files is None or held_out_by == "order":
        kept, held = stratified_split(labels, share, seed)
    else:
        names = [split.files[index] for index in indices]
        kept, held = split_by_name(labels, names, share, seed, purpose)
    return indices[kept], indices[held]


def _fingerprint(
    source: SourceSplit,
    indices: np.ndarray,
    split: Split,
    class_names: tuple[str, ...],
) -> SplitFingerprint:
    examples: dict[str, dict[str, int | None]] = {name: {} for name in class_names}
    for index, label in zip(indices.tolist(), split.labels.tolist(), strict=True):
        named = examples[class_names[label]]
        if source.files is None:
            named[f"{source.name}/{index}"] = None
        else:
            path = source.root / source.files[index]
            named[source.files[index]] = _file_size(path)
    return SplitFingerprint(examples, *digest_of_pixels(split.images))


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(
            f"--data_dir changed while it was read. Received: {path} ({error.strerror})"
        ) from error


def _empty(flag: str, share: float, count: int) -> str:
    return (
        f"--{flag} must hold out at least one image while each class keeps one. "
        f"Received: {share:g} of {count} images"
    )


def _limited(
    indices: np.ndarray, labels: np.ndarray, flag: str, limit: int, seed: int
) -> np.ndarray:
    if limit == 0:
        return indices
    classes = len(np.unique(labels[indices]))
    if limit < classes:
        raise UserError(
            f"--{flag} must be 0 (all) or at least {classes}, one image of each class. "
            f"Received: {limit}"
        )
    return indices[balanced_sample(labels[indices], limit, seed)]


def _about_validation(source: Source, chosen: _Chosen | None) -> list[str]:
    if source.validation is None:
        return []
    count = len(source.validation.labels)
    if chosen is None:
        return [f"ignored: {count} validation images, by --validation_share=0"]
    if chosen[0] is not source.validation:
        return [f"ignored: {count} validation images, as when the run was begun"]
    return [
        f"validation: {len(chosen[1])} of the {count} validation images that the data "
        "comes with, and no share of its training images"
    ]


def _decode(
    chosen: dict[str, _Chosen], image_shape: tuple[int, int, int], cache_gib: float
) -> tuple[dict[str, tuple[np.ndarray, Split]], list[str]]:
    """The images that could be decoded, with their indices; the names of the others."""
    count = sum(len(indices) for _, indices in chosen.values())
    size = count * int(np.prod(image_shape))
    images = allocate((count, *image_shape), in_memory=size <= cache_gib * 2**30)
    splits: dict[str, tuple[np.ndarray, Split]] = {}
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
            splits[name] = kept, Split(pixels, owner.labels[kept])
            start = stop
        images = images[start:]
    return splits, bad_names
