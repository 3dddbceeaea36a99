"""All that changes while a stage trains, and how it gets into checkpoints and back.

The chief alone reads and writes files. Metrics hold a part of their value on each
replica, and a sum of parts is rounded otherwise in another order: each part is kept,
so that a run that was stopped ends with the same bits.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.config import Config
from supcon_tf.data import ImageData
from supcon_tf.data.batches import Batches
from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import RunError
from supcon_tf.training.checkpoint import ArraySpec, Checkpoints, Position


class TrainingState:
    """Variables of a stage on every worker, saved in the chief's checkpoints.

    All workers must call `save` and `restore` together.

    Args:
        variables: the model's, the optimizer's and the metrics'.
        checkpoints: those of the stage; used by the chief alone.
        workers: all processes of the run.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        checkpoints: Checkpoints,
        workers: Workers,
    ) -> None:
        self.checkpoints = checkpoints
        self._variables = variables
        self._workers = workers

    def save(self, position: Position) -> None:
        """Writes a checkpoint, after a check that all values are finite.

        Raises:
            RunError: if one is not, or the disk does not take it. Earlier checkpoints
                stay as they were.
        """
        arrays = [self._value(variable) for variable in self._variables]
        for variable, array in zip(self._variables, arrays, strict=True):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise RunError(
                    f"weight {variable.path} is no longer finite; "
                    f"the last good checkpoint is in {self.checkpoints.directory}"
                )
        if self._workers.is_chief:
            self.checkpoints.write(position, arrays)

    def restore(self) -> Position:
        """Gives all workers position and values of the chief's checkpoint.

        Returns position 0, and assigns nothing, if there is none.

        Raises:
            RunError: if no checkpoint can be used.
        """
        workers = self._workers
        specs = [
            ArraySpec(
                tuple(v.shape), keras.backend.standardize_dtype(v.dtype), _is_sum(v)
            )
            for v in self._variables
        ]
        found = workers.on_chief(lambda: self.checkpoints.read(specs))
        if not workers.chief_says(found is not None):
            return Position()
        position, arrays = found or (Position(), [])
        for variable, array in itertools.zip_longest(self._variables, arrays):
            self._assign(variable, array)
        return Position(*map(workers.chief_says, dataclasses.astuple(position)))

    def _replicas(self, variable: keras.Variable) -> int:
        """How many parts a value is kept in."""
        return self._workers.strategy.num_replicas_in_sync if _is_sum(variable) else 1

    def _value(self, variable: keras.Variable) -> np.ndarray:
        replicas = self._replicas(variable)
        if replicas == 1:
            return np.asarray(variable.numpy())
        parts = np.zeros((replicas, *variable.shape), variable.dtype)
        place, variables = self._local_parts(variable)
        parts[place] = [part.numpy() for part in variables]
        return self._workers.add_up(parts)

    def _assign(self, variable: keras.Variable, array: np.ndarray | None) -> None:
        """Assigns the chief's array; the other workers have None."""
        shape, replicas = tuple(variable.shape), self._replicas(variable)
        if array is None:
            array = np.zeros(shape, variable.dtype)
        value = self._workers.from_chief(divided(array, shape, replicas))
        if replicas == 1:
            variable.assign(value)
            return
        place, variables = self._local_parts(variable)
        for part, number in zip(variables, value[place], strict=True):
            part.assign(number)

    def _local_parts(
        self, variable: keras.Variable
    ) -> tuple[slice, tuple[tf.Variable, ...]]:
        """This worker's place among the replicas, and what they hold."""
        parts = self._workers.strategy.experimental_local_results(variable.value)
        first = self._workers.index * len(parts)
        return slice(first, first + len(parts)), parts


def run_identity(config: Config, data: ImageData) -> dict[str, Any]:
    """What must stay the same from one start of a run to the next, by its name."""
    flags = {f"--{name}": value for name, value in config.weight_fields().items()}
    return {**flags, "the digest of the images": data.fingerprint.digest}


def stage_identity(
    config: Config, data: ImageData, name: str, batches: Batches
) -> dict[str, Any]:
    """That of the run, and of the pixels that a stage is trained on."""
    identity = run_identity(config, data)
    if batches.crops:
        stored = batches.cuts_stored_images
        what = f"what --{name}_augmentation crops (by --cache_gib)"
        identity[what] = "stored images" if stored else "images of --image_size"
    return identity


def divided(array: np.ndarray, shape: tuple[int, ...], replicas: int) -> np.ndarray:
    """A value of `shape`, or its parts (P, *shape), for another number of replicas.

    Returns the parts (replicas, *shape), which stay what they are if their number is
    the same, or the value itself for 1 replica.
    """
    has_parts = array.ndim > len(shape)
    if replicas > 1 and has_parts and len(array) == replicas:
        return array
    value = array.sum(axis=0) if has_parts else array
    if replicas == 1:
        return np.asarray(value)
    parts = np.zeros((replicas, *shape), array.dtype)
    parts[0] = value
    return parts


def _is_sum(variable: keras.Variable) -> bool:
    """Whether its value is the sum of what the replicas hold, as a metric's is."""
    return variable.synchronization == "on_read" and variable.aggregation == "sum"
