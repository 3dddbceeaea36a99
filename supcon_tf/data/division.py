"""Which images of a source are for training, for validation and for test."""

import numpy as np

from supcon_tf.config import DataConfig
from supcon_tf.data.sources.source import Source, SourceSplit
from supcon_tf.data.splits import balanced_sample, split_by_name, stratified_split
from supcon_tf.errors import UserError

# Which images of a source make up one of our splits.
Chosen = tuple[SourceSplit, np.ndarray]


def choose(source: Source, config: DataConfig, held_out_by: str) -> dict[str, Chosen]:
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
        names = (split.files[index] for index in indices.tolist())
        kept, held = split_by_name(labels, names, share, seed, purpose)
    return indices[kept], indices[held]


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
