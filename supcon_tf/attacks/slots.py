"""The images that are under attack at the moment: one batch, kept full."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.inputs import Inputs


@dataclass
class Slots:
    """Parallel arrays, one entry for each image under attack.

    Args:
        positions: (N,) rows of the call's images.
        identities: (N,) integers that the images' random numbers are drawn with.
        labels: (N,) int32.
        rounds: (N,) candidates that were judged already.
        fooled: (N,) whether `best` fools the model.
        best_loss: (N,) objective at `best`.
        origin: (N, H, W, C) the images as given.
        candidate: (N, H, W, C) the last candidate.
        gradient: (N, H, W, C) of the objective at the last candidate.
        best: (N, H, W, C) the candidate to return, were the attack to end now.
    """

    positions: np.ndarray
    identities: np.ndarray
    labels: np.ndarray
    rounds: np.ndarray
    fooled: np.ndarray
    best_loss: np.ndarray
    origin: tf.Tensor
    candidate: tf.Tensor
    gradient: tf.Tensor
    best: tf.Tensor

    @classmethod
    def entering(cls, inputs: Inputs, start: int, stop: int) -> "Slots":
        """Rows `start` to `stop` of a call, before their first round."""
        count = stop - start
        origin = tf.constant(inputs.images[start:stop])
        return cls(
            positions=np.arange(start, stop),
            identities=inputs.identities[start:stop],
            labels=inputs.labels[start:stop],
            rounds=np.zeros(count, np.int64),
            fooled=np.zeros(count, bool),
            best_loss=np.full(count, -np.inf),
            origin=origin,
            candidate=origin,
            gradient=tf.zeros_like(origin),
            best=origin,
        )

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, keep: np.ndarray) -> "Slots":
        """The entries whose flag is set."""
        if keep.all():
            return self
        rows = np.flatnonzero(keep)
        return Slots(
            **{
                name: tf.gather(value, rows) if tf.is_tensor(value) else value[rows]
                for name, value in self._arrays().items()
            }
        )

    def join(self, other: "Slots") -> "Slots":
        """These entries, then the other ones."""
        if not len(self):
            return other
        theirs = other._arrays()
        return Slots(
            **{
                name: tf.concat([value, theirs[name]], axis=0)
                if tf.is_tensor(value)
                else np.concatenate([value, theirs[name]])
                for name, value in self._arrays().items()
            }
        )

    def _arrays(self) -> dict[str, Any]:
        return {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }
