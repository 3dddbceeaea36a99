"""Random numbers of a batch that one worker of many can draw for its rows alone."""

import tensorflow as tf


class Draws:
    """A stream of per-image random numbers, a pure function of its seed.

    Numbers are drawn for the whole global batch, so that an image meets the same ones
    wherever it is processed. What is computed from them is computed for the whole batch
    too and cut to the rows at the end, by `mine`: the last bit of an exponential
    depends on its place in a vector register.

    Args:
        seed: (2,) integers.
        batch_size: B, images in the global batch.
        rows: (first, last + 1) of the global batch that are processed here.
    """

    def __init__(
        self, seed: tf.Tensor, batch_size: int | tf.Tensor, rows: tuple[int, int] | None
    ) -> None:
        self._seed = tf.convert_to_tensor(seed)
        self._shape = [batch_size]
        self._rows = slice(*rows) if rows else slice(None)
        self._calls = 0

    def mine(self, values: tf.Tensor) -> tf.Tensor:
        """Those of these rows, of values of the whole batch, (B, ...)."""
        return values[self._rows]

    def uniform(self, low: float, high: float) -> tf.Tensor:
        """(B,) float32 in [low, high)."""
        return tf.random.stateless_uniform(self._shape, self._next_seed(), low, high)

    def normal(self, mean: float, deviation: float) -> tf.Tensor:
        """(B,) float32."""
        return tf.random.stateless_normal(
            self._shape, self._next_seed(), mean, deviation
        )

    def integers(self, low: int, high: int) -> tf.Tensor:
        """(B,) int32 in [low, high)."""
        return tf.random.stateless_uniform(
            self._shape, self._next_seed(), low, high, tf.int32
        )

    def chance(self, probability: float) -> tf.Tensor:
        """(B,) bool, true with this probability."""
        return self.uniform(0.0, 1.0) < probability

    def _next_seed(self) -> tf.Tensor:
        self._calls += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._calls)
