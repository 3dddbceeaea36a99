"""`load`: from a config to decoded images, divided into train, validation and test."""

from pathlib import Path

import numpy as np

from supcon_tf.config import DataConfig
from supcon_tf.data.fingerprint import (
    Fingerprint,
    SplitFingerprint,
    digest_of_pixels,
)
from supcon_tf.data.image_data import ImageData, Split
from supcon_tf.data.pixels import allocate
from supcon_tf.data.source import Source, SourceSplit
from supcon_tf.data.splits import balanced_sample, split_by_name, stratified_split
from supcon_tf.errors import UserError

# Which images of a source make up one of our splits.
_Chosen = tuple[SourceSplit, np.ndarray]


def load(config: DataConfig, held_out_by: str = "name") -> ImageData:
    """Reads a data set, once, into uint8 images.

    Images are chosen by their labels before any is decoded: a test share is held out
    if the source has no test images, then `limit_train` and `limit_test` are counted,
    class-balanced, and the validation share is taken from what remains for training.
    All of that depends on `split_seed` alone; a file that is held out stays so when
    others are added or removed.

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
    decoded = _decode(list(chosen.values()), source.image_shape, config.cache_gib)
    splits = dict(zip(chosen, decoded, strict=True))
    fingerprints = {
        name: _fingerprint(*chosen[name], split, source.class_names)
        for name, split in splits.items()
    }
    return ImageData(
        name=source.name,
        class_names=source.class_names,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        fingerprint=Fingerprint(
            config.dataset, source.class_names, fingerprints, held_out_by
        ),
        notes=source.notes,
    )


def _open(config: DataConfig) -> Source:
    # Imported here, since each needs a library that the others don't.
    if config.dataset == "digits":
        from supcon_tf.data.digits import open_digits

        return open_digits(config.image_size)
    if config.dataset == "folder":
        from supcon_tf.data.folder import open_folder

        return open_folder(config.data_dir, config.image_size)
    from supcon_tf.data.tfds_source import open_tfds

    return open_tfds(config.dataset, config.data_dir, config.image_size)


def _check_labels(source: Source, config: DataConfig) -> None:
    for name, split in (("train", source.train), ("test", source.test)):
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


def _decode(
    chosen: list[_Chosen], image_shape: tuple[int, int, int], cache_gib: float
) -> list[Split]:
    count = sum(len(indices) for _, indices in chosen)
    size = count * int(np.prod(image_shape))
    images = allocate((count, *image_shape), in_memory=size <= cache_gib * 2**30)
    parts = []
    start = 0
    for _, indices in chosen:
        parts.append(slice(start, start + len(indices)))
        start += len(indices)
    # Parts of one source are adjacent or the only ones, and are read in one pass.
    for split in {id(split): split for split, _ in chosen}.values():
        mine = [k for k, (owner, _) in enumerate(chosen) if owner is split]
        wanted = np.concatenate([chosen[k][1] for k in mine])
        split.read(wanted, images[parts[mine[0]].start : parts[mine[-1]].stop])
    return [
        Split(images[part], split.labels[indices])
        for part, (split, indices) in zip(parts, chosen, strict=True)
    ]
