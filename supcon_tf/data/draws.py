"""Random numbers of a batch that one worker of many can draw for its rows alone."""

import tensorflow as tf


class Draws:
    """A stream of per-image random numbers, a pure function of its seed.

    Each call draws for the whole global batch and returns the part of these rows, so
    that an image meets the same numbers wherever it is processed.

    Args:
        seed: (2,) integers.
        batch_size: images in the global batch.
        rows: (first, last + 1) of the global batch.
    """

    def __init__(
        self, seed: tf.Tensor, batch_size: int | tf.Tensor, rows: tuple[int, int] | None
    ) -> None:
        self._seed = tf.convert_to_tensor(seed)
        self._batch_size = batch_size
        self._rows = slice(*rows) if rows else slice(None)
        self._calls = 0

    def uniform(self, low: float, high: float) -> tf.Tensor:
        """(rows,) float32 in [low, high)."""
        return tf.random.stateless_uniform(
            [self._batch_size], self._next_seed(), low, high
        )[self._rows]

    def normal(self, mean: float, deviation: float) -> tf.Tensor:
        """(rows,) float32."""
        return tf.random.stateless_normal(
            [self._batch_size], self._next_seed(), mean, deviation
        )[self._rows]

    def integers(self, low: int, high: int) -> tf.Tensor:
        """(rows,) int32 in [low, high)."""
        return tf.random.stateless_uniform(
            [self._batch_size], self._next_seed(), low, high, tf.int32
        )[self._rows]

    def chance(self, probability: float) -> tf.Tensor:
        """(rows,) bool, true with this probability."""
        return self.uniform(0.0, 1.0) < probability

    def _next_seed(self) -> tf.Tensor:
        self._calls += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._calls)
