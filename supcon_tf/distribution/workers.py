"""The processes of a run, one on each machine, and what they tell each other.

One of them is the chief, who writes the run folder; a run on one machine has only a
chief. All take every step together, so each must make the same decisions: what only the
chief can know (the folder) or only one knows (a signal) is shared here.
"""

import contextlib
import faulthandler
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from supcon_tf import __version__
from supcon_tf.config import Config
from supcon_tf.distribution.cluster import read_cluster
from supcon_tf.distribution.handshake import meet
from supcon_tf.distribution.strategy import make_strategy, refuse_uneven_batch
from supcon_tf.errors import RunError, UserError

Result = TypeVar("Result")

# What a collective ends with, on the workers that are left, when one is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


@dataclass(frozen=True)
class Workers:
    """All processes of a run, seen from one of them.

    Attributes:
        strategy: what the model is trained under.
        index: this process's place among them; 0 is the chief.
        count: how many there are.
    """

    strategy: tf.distribute.Strategy
    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def rows(self, batch_size: int) -> tuple[int, int]:
        """(first, last + 1) of a global batch's rows that this worker reads."""
        share = batch_size // self.count
        return self.index * share, (self.index + 1) * share

    def on_chief(self, action: Callable[[], Result]) -> Result | None:
        """Runs `action` on the chief while the others wait; they get None.

        Raises:
            UserError, RunError: what `action` raised, on the chief.
            RunError: on the others, if `action` failed.
        """
        result, failure = None, None
        if self.is_chief:
            try:
                result = action()
            except (UserError, RunError) as error:
                failure = error
        failed = self.chief_says(failure is not None)
        if failure is not None:
            raise failure
        if failed:
            raise RunError("the chief stopped; its own message says why")
        return result

    def chief_says(self, number: int) -> int:
        """The chief's `number`, on every worker."""
        if self.count == 1:
            return number
        mine = tf.constant(int(number) if self.is_chief else 0, tf.int64)
        return int(self._sum(mine))

    def any_says(self, flag: bool) -> bool:
        """Whether the flag of any worker is true."""
        if self.count == 1:
            return flag
        return int(self._sum(tf.constant(int(flag), tf.int64))) > 0

    def refuse_difference(self, what: str, content: bytes) -> None:
        """Checks that `content` is the same on every worker.

        Raises:
            UserError: on every worker, naming `what`, if it isn't.
        """
        checksum = zlib.crc32(content)
        if self.any_says(checksum != self.chief_says(checksum)):
            raise UserError(f"all workers must have the same {what}")

    def from_chief(self, value: np.ndarray) -> np.ndarray:
        """The chief's `value`, on every worker; all must give one of its shape."""
        if self.count == 1:
            return value
        # Zeros instead of a product with 0: what the others hold may be NaN.
        mine = tf.convert_to_tensor(value)
        return self._sum(mine if self.is_chief else tf.zeros_like(mine)).numpy()

    def add_up(self, value: np.ndarray) -> np.ndarray:
        """The sum of all workers' `value`, of one shape, on every worker."""
        if self.count == 1:
            return value
        return self._sum(tf.convert_to_tensor(value)).numpy()

    def share(self, variables: Sequence[Any]) -> None:
        """Gives `variables` the values that the chief's have, on every worker."""
        if self.count > 1:
            for variable in variables:
                variable.assign(self.from_chief(variable.numpy()))

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """What all of a run happens within.

        Only the chief prints, and a worker that is lost ends the others in one line.

        Raises:
            RunError: if a worker is lost.
        """
        with contextlib.ExitStack() as stack:
            if not self.is_chief:
                silence = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(silence))
            if self.count > 1:
                stack.enter_context(_others_are_there())
            yield

    def _sum(self, value: tf.Tensor) -> tf.Tensor:
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)


def join_workers(config: Config) -> Workers:
    """Makes the strategy; with multi_worker, once all workers are there.

    To be called before TensorFlow is used for anything else.

    Raises:
        UserError: if the cluster, the batch or the devices don't fit each other.
        RunError: if a worker does not appear in time.
    """
    if config.strategy != "multi_worker":
        return Workers(make_strategy(config))
    cluster = read_cluster()
    count = len(cluster.addresses)
    refuse_uneven_batch(config.batch_size, count)
    if cluster.index == 0:
        print(f"waiting for {count - 1} other worker{'s' if count > 2 else ''}")
    facts = _common_facts(config, cluster.addresses)
    meet(cluster.addresses, cluster.index, facts, config.worker_timeout)
    # A worker may die in this very moment, and then no Python code would run again.
    faulthandler.dump_traceback_later(config.worker_timeout, exit=True)
    with _others_are_there():
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster.resolver())
    faulthandler.cancel_dump_traceback_later()
    refuse_uneven_batch(config.batch_size, strategy.num_replicas_in_sync)
    return Workers(strategy, cluster.index, count)


def _common_facts(config: Config, addresses: Sequence[str]) -> dict[str, Any]:
    """What must be the same for workers to train as one, by the name it has for users.

    Lists as JSON has them, since they are compared with those of other workers.
    """
    flags = {f"--{name}": value for name, value in config.weight_fields().items()}
    facts = {
        "version of supcon_tf": __version__,
        "version of TensorFlow": tf.__version__,
        "version of Keras": version("keras"),
        "cluster": addresses,
        **flags,
        # Steps between checkpoints too: all workers take part in one.
        "--checkpoint_steps": config.checkpoint_steps,
    }
    return json.loads(json.dumps(facts))


@contextlib.contextmanager
def _others_are_there() -> Iterator[None]:
    try:
        yield
    except _LOST as error:
        raise RunError(
            "another worker is gone (its own message may say why); start all of them "
            f"again to go on from the last checkpoint: {_reason(error)}"
        ) from error


def _reason(error: tf.errors.OpError) -> str:
    """The line of a collective's error that says what happened."""
    lines = [line.strip() for line in error.message.splitlines()]
    telling = [line for line in lines if "aborted by" in line or "/job:" in line]
    return (telling or lines or [type(error).__name__])[0][:300]
