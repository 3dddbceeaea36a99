"""What an attack is called with, checked once."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from supcon_tf.errors import UserError


@dataclass(frozen=True)
class Inputs:
    """Images (N, H, W, C) float32 in [0, 1], integer labels (N,), identities (N,)."""

    images: np.ndarray
    labels: np.ndarray
    identities: np.ndarray

    @classmethod
    def checked(cls, images: Any, labels: Any, indices: Any = None) -> "Inputs":
        """Inputs made of what a caller gave, arrays or tensors.

        Raises:
            UserError: if a shape, a type or a range is not as said above.
        """
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim != 4 or images.dtype.kind != "f":
            raise UserError(
                "images must be floating-point numbers of shape (N, H, W, C) in "
                f"[0, 1]. Received: {images.dtype} of shape {images.shape}"
            )
        images = images.astype(np.float32, copy=False)
        if images.size:
            low, high = float(images.min()), float(images.max())
            # A NaN anywhere makes both bounds NaN, and no comparison with it holds.
            if not (low >= 0 and high <= 1):
                raise UserError(
                    "images must lie in [0, 1] and be finite. "
                    f"Received: values from {low:g} to {high:g}"
                )
        return cls(
            images,
            _checked_integers("labels", labels, len(images)),
            np.arange(len(images))
            if indices is None
            else _checked_integers("indices", np.asarray(indices), len(images)),
        )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> "Inputs":
        """Those of the given row numbers."""
        return Inputs(self.images[rows], self.labels[rows], self.identities[rows])

    def check_labels_below(self, classes: int) -> None:
        """Refuses a label that is no column of the logits."""
        if len(self) and self.labels.max() >= classes:
            raise UserError(
                f"labels must be below {classes}, the number of logits. "
                f"Received: {self.labels.max()}"
            )


def check_number(name: str, value: Any, *, minimum: float = 0) -> float:
    """`value` as a float, if it is finite and not below `minimum`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not (math.isfinite(value) and value >= minimum)
    ):
        raise UserError(
            f"{name} must be a number of at least {minimum:g}. Received: {value!r}"
        )
    return float(value)


def check_switch(name: str, value: Any) -> bool:
    """`value`, if it is True or False, and not a word for it."""
    if not isinstance(value, bool | np.bool_):
        raise UserError(f"{name} must be True or False. Received: {value!r}")
    return bool(value)


def check_count(name: str, value: Any, *, minimum: int = 1) -> int:
    """`value` as an int, if it is a whole number and not below `minimum`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or value < minimum
    ):
        raise UserError(
            f"{name} must be a whole number of at least {minimum}. Received: {value!r}"
        )
    return int(value)


def _checked_integers(name: str, values: np.ndarray, size: int) -> np.ndarray:
    if values.shape != (size,) or (size and values.dtype.kind not in "iu"):
        raise UserError(
            f"{name} must be integers of shape ({size},), one for each image. "
            f"Received: {values.dtype} of shape {values.shape}"
        )
    if size and values.min() < 0:
        raise UserError(f"{name} must not be negative. Received: {values.min()}")
    return values
