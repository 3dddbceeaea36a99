"""Where the chief alone reads and writes, what the other workers do.

Reading or assigning a metric's variable is a sum over all workers. So even those that
write nothing take part in reading, and nobody assigns what it alone has read.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from supcon_tf.training.checkpoint import Checkpoints, Position
from supcon_tf.training.progress import Progress
from supcon_tf.workers import Workers


class NoCheckpoints(Checkpoints):
    """Saves nothing and finds nothing."""

    def save(
        self, position: Position, variables: Sequence[Any], **extra: float
    ) -> None:
        for variable in variables:
            variable.numpy()

    def restore(self, variables: Sequence[Any]) -> tuple[Position, dict[str, float]]:
        return Position(), {}


class NoProgress(Progress):
    """Writes and prints nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Without the parent's, which nothing here needs."""

    def go_on(self, epoch: int) -> None:
        pass

    def begin_epoch(self, done: int) -> None:
        pass

    def step(self, done: int, metrics: Any) -> None:
        pass

    def stop_clock(self) -> None:
        pass

    def end_epoch(self, epoch: int, metrics: Any, learning_rate: float) -> None:
        pass

    def print_epoch(self) -> None:
        pass


@dataclass
class _Held:
    """Takes a value as a variable does, and keeps it."""

    value: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def assign(self, value: np.ndarray) -> None:
        self.value = value.astype(self.value.dtype)


def restore_everywhere(
    checkpoints: Checkpoints, variables: Sequence[Any], workers: Workers
) -> Position:
    """Gives all workers the position and the values of the chief's checkpoint."""
    if workers.count == 1:
        return checkpoints.restore(variables)[0]
    held = [_Held(np.asarray(variable.numpy())) for variable in variables]
    position, _ = checkpoints.restore(held)
    for variable, value in zip(variables, held, strict=True):
        variable.assign(workers.from_chief(value.value))
    return Position(*map(workers.chief_says, dataclasses.astuple(position)))
