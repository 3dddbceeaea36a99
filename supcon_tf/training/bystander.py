"""What a worker that is not the chief does where the chief writes: nothing.

Reading a metric's variable is a sum over all workers, so even the one that writes
nothing takes part in reading.
"""

from collections.abc import Sequence
from typing import Any

from supcon_tf.training.checkpoint import Checkpoints, Position
from supcon_tf.training.progress import Progress


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
        """Without the parent's, which opens a file."""

    def begin_epoch(self, done: int) -> None:
        pass

    def step(self, done: int, metrics: Any) -> None:
        pass

    def stop_clock(self) -> None:
        pass

    def end_epoch(self, epoch: int, metrics: Any, learning_rate: float) -> None:
        pass
