"""The images that are under attack at the moment: one batch, kept full."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.inputs import Inputs

Array: TypeAlias = np.ndarray | tf.Tensor


@dataclass
class ActiveImages:
    """Parallel arrays, one entry for each image under attack.

    Args:
        positions: (N,) rows of the call's images.
        identities: (N,) integers that the images' random numbers are drawn with.
        labels: (N,) int32.
        targets: (N,) int32, the classes that an objective of two classes compares with
            the labels; the labels themselves until the attack sets others.
        tries: (N,) candidates that were judged already, the image itself apart.
        fooled: (N,) whether `best` fools the model.
        best_loss: (N,) objective at `best`.
        loss: (N,) objective at the last candidate.
        candidate_fools: (N,) whether the last candidate fools, in the ball or not.
        logits: (N, classes) at the last candidate.
        origin: (N, H, W, C) the images as given.
        candidate: (N, H, W, C) the last candidate.
        gradient: (N, H, W, C) of the objective at the last candidate.
        best: (N, H, W, C) the candidate to return, were the attack to end now.
        memory: the attack's own arrays (N, ...) by name, see `Attack.memory`.
    """

    positions: np.ndarray
    identities: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    tries: np.ndarray
    fooled: np.ndarray
    best_loss: np.ndarray
    loss: np.ndarray
    candidate_fools: np.ndarray
    logits: np.ndarray
    origin: tf.Tensor
    candidate: tf.Tensor
    gradient: tf.Tensor
    best: tf.Tensor
    memory: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def entering(
        cls, inputs: Inputs, start: int, stop: int, classes: int
    ) -> "ActiveImages":
        """Rows `start` to `stop` of a call, before anything was judged."""
        rows = slice(start, stop)
        origin = tf.constant(inputs.images[rows])
        labels = inputs.labels[rows].astype(np.int32)
        count = len(origin)
        return cls(
            positions=np.arange(start, start + count),
            identities=inputs.identities[rows],
            labels=labels,
            targets=labels,
            tries=np.zeros(count, np.int64),
            fooled=np.zeros(count, bool),
            best_loss=np.full(count, -np.inf),
            loss=np.full(count, -np.inf),
            candidate_fools=np.zeros(count, bool),
            logits=np.zeros((count, classes), np.float32),
            origin=origin,
            candidate=origin,
            gradient=tf.zeros_like(origin),
            best=origin,
        )

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, keep: np.ndarray) -> "ActiveImages":
        """The entries whose flag (N,) is set."""
        if keep.all():
            return self
        rows = np.flatnonzero(keep)
        return self._map(lambda array: _rows_of(array, rows))

    def join(self, other: "ActiveImages") -> "ActiveImages":
        """These entries, then the other ones."""
        if not len(self):
            return other
        return self._map(_concatenated, other)

    def _map(self, function: Any, *others: "ActiveImages") -> "ActiveImages":
        arrays = [dict(one._arrays()) for one in (self, *others)]
        memories = [one.memory for one in (self, *others)]
        return ActiveImages(
            **{name: function(*(a[name] for a in arrays)) for name in arrays[0]},
            memory={
                name: function(*(m[name] for m in memories)) for name in self.memory
            },
        )

    def _arrays(self) -> dict[str, Array]:
        names = [entry.name for entry in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names if name != "memory"}


def _rows_of(array: Array, rows: np.ndarray) -> Array:
    return tf.gather(array, rows) if tf.is_tensor(array) else array[rows]


def _concatenated(first: Array, second: Array) -> Array:
    if tf.is_tensor(first):
        return tf.concat([first, second], axis=0)
    return np.concatenate([first, second])
