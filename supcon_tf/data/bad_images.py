"""Images that could not be decoded: refused by name, or left out by name."""

from collections.abc import Collection, Sequence

import numpy as np

from supcon_tf.config import DataConfig
from supcon_tf.errors import UserError

_SHOWN = 10


def refuse_bad_images(
    bad: Sequence[str],
    labels: Sequence[np.ndarray],
    left: Sequence[np.ndarray],
    class_names: Sequence[str],
    config: DataConfig,
) -> None:
    """Does nothing if they may be left out and every class goes on to have images.

    Args:
        bad: name and reason of each image that could not be decoded.
        labels: of all images of each split.
        left: of those that could be decoded.
        class_names: of the labels.
        config: whether bad images may be left out.

    Raises:
        UserError: otherwise.
    """
    where = origin(config)
    if not config.skip_bad_images:
        raise UserError(
            f"{where} has images that can't be decoded (--skip_bad_images leaves them "
            f"out). Received: {listed(bad)}"
        )
    for before, after in zip(labels, left, strict=True):
        lost = np.setdiff1d(before, after)
        if len(lost):
            raise UserError(
                f"{where} must have images of each class that can be decoded. "
                f"Received: none of {class_names[lost[0]]} in a split, without "
                f"{listed(bad)}"
            )


def origin(config: DataConfig) -> str:
    """The flag that says where images come from."""
    return "--data_dir" if config.data_dir else f"--dataset={config.dataset}"


def listed(bad: Sequence[str]) -> str:
    """The first names, and how many there are."""
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    count = f"{len(bad)} image{'s' if len(bad) > 1 else ''}"
    return f"{count}: {', '.join(bad[:_SHOWN])}{more}"


def moved_together(images: np.ndarray, bad: Collection[int]) -> np.ndarray:
    """The images without the bad ones, in place: there may be no room for a copy."""
    rows = np.setdiff1d(np.arange(len(images)), list(bad))
    for to, row in enumerate(rows):
        if to != row:
            images[to] = images[row]
    return images[: len(rows)]
