"""Exponential moving average of all that a model holds."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf


class WeightAverage:
    """A running average of variables, the statistics of batch norm among them.

    After update t (from 0) `average <- d average + (1 - d) value` with
    `d = min(decay, (1 + t) / (10 + t))`: while few values were seen, the average
    follows them closely instead of remembering the initial weights.

    Args:
        variables: what is averaged; integers are copied. To be made in the scope of
            the strategy that made them.
        decay: in (0, 1).

    Reference:
        The schedule of `tf.train.ExponentialMovingAverage(num_updates=...)`.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must be between 0 and 1. Received: {decay}")
        self.decay = decay
        self._values = list(variables)
        self._averages = [
            keras.Variable(
                v.numpy(), dtype=v.dtype, trainable=False, name=f"{v.name}_average"
            )
            for v in variables
        ]
        self._updates = keras.Variable(0, dtype="int64", trainable=False, name="steps")

    @property
    def variables(self) -> list[keras.Variable]:
        """All that a checkpoint must hold for the average to go on."""
        return [*self._averages, self._updates]

    def update(self) -> None:
        """Takes the present values in; outside of a replica's context."""
        count = tf.cast(self._updates.value, tf.float64)
        decay = tf.minimum(tf.cast(self.decay, tf.float64), (1 + count) / (10 + count))
        for average, variable in zip(self._averages, self._values, strict=True):
            value = tf.convert_to_tensor(variable.value)
            if value.dtype.is_floating:
                old = tf.convert_to_tensor(average.value)
                value = value + tf.cast(decay, value.dtype) * (old - value)
            average.assign(value)
        self._updates.assign_add(1)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the variables hold their averages, and afterwards their values."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def adopt(self) -> None:
        """Gives the variables their averages for good."""
        for average, variable in zip(self._averages, self._values, strict=True):
            variable.assign(average.numpy())

    def _exchange(self) -> None:
        for average, variable in zip(self._averages, self._values, strict=True):
            held, other = variable.numpy(), average.numpy()
            variable.assign(other)
            average.assign(held)
