"""The pairs of a batch, cut into tiles that are looked at one after another."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

# Vectors on a tile's side: the few float32 tiles in use at once then fit a core's cache.
SIDE = 512

Size = int | tf.Tensor
Tensors = tuple[tf.Tensor, ...]
Step = Callable[[tf.Tensor, tf.Tensor, Tensors], Tensors]


class Pairs(NamedTuple):
    """Anchors (A, D) and the samples (N, D) that they are compared with.

    If both are one and the same tensor, a pair is computed once and serves as two.
    `anchor_classes` (A,) and `classes` (N,) are numbers that tell classes apart, and
    `offset` is the row of the first anchor among the samples.
    """

    anchors: tf.Tensor
    samples: tf.Tensor
    anchor_classes: tf.Tensor
    classes: tf.Tensor
    offset: tf.Tensor | int = 0

    @property
    def symmetric(self) -> bool:
        """Whether the anchors are all of the samples."""
        return self.anchors is self.samples


class Tile(NamedTuple):
    """Some anchors (R,) against some samples (C,).

    `similarities` (R, C) are their products, `same` tells which have one class, an
    anchor and itself included, and `exclude(values, other)` puts `other` where `values`
    (R, C) belong to an anchor and itself, or to rows that only fill the tile up.
    """

    similarities: tf.Tensor
    anchor_classes: tf.Tensor
    classes: tf.Tensor
    exclude: Callable[[tf.Tensor, float], tf.Tensor]

    @property
    def same(self) -> tf.Tensor:
        """(R, C) mask of the pairs of one class."""
        return self.anchor_classes[:, None] == self.classes[None, :]


def whole(pairs: Pairs) -> Tile:
    """All pairs as one tile."""

    def exclude(values: tf.Tensor, other: float) -> tf.Tensor:
        if pairs.symmetric:
            diagonal = tf.fill(tf.shape(values)[:1], tf.cast(other, values.dtype))
            return tf.linalg.set_diag(values, diagonal)
        rows = tf.range(tf.shape(values)[0]) + pairs.offset
        columns = tf.range(tf.shape(values)[1])
        return tf.where(rows[:, None] == columns[None, :], other, values)

    similarities = tf.matmul(pairs.anchors, pairs.samples, transpose_b=True)
    return Tile(similarities, pairs.anchor_classes, pairs.classes, exclude)


class Grid:
    """Square tiles over all pairs, of a symmetric batch those from the diagonal up."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.rows = Blocks(pairs.anchors)
        self.columns = self.rows if pairs.symmetric else Blocks(pairs.samples)
        self._anchors = self.rows.split(pairs.anchors)
        self._samples = self._anchors
        if not pairs.symmetric:
            self._samples = self.columns.split(pairs.samples)
        self._anchor_classes = self.rows.split(pairs.anchor_classes)
        self._classes = self.columns.split(pairs.classes)

    def anchors(self, i: tf.Tensor) -> tf.Tensor:
        """The anchors (R, D) of the tiles in row `i`."""
        return self._anchors[i]

    def samples(self, j: tf.Tensor) -> tf.Tensor:
        """The samples (C, D) of the tiles in column `j`."""
        return self._samples[j]

    def tile(self, i: tf.Tensor, j: tf.Tensor) -> Tile:
        """The tile in row `i` and column `j` of the grid."""
        first_row = i * self.rows.side + self.pairs.offset
        first_column = j * self.columns.side
        met = tf.abs(first_row - first_column) < tf.maximum(
            self.rows.side, self.columns.side
        )

        def exclude(values: tf.Tensor, other: float) -> tf.Tensor:
            rows = tf.range(self.rows.side) + first_row
            columns = tf.range(self.columns.side) + first_column
            excluded = (rows[:, None] == columns) | (columns >= self.columns.size)
            return tf.cond(
                met | (j == self.columns.count - 1),
                lambda: tf.where(excluded, tf.cast(other, values.dtype), values),
                lambda: values,
            )

        similarities = tf.matmul(self.anchors(i), self.samples(j), transpose_b=True)
        return Tile(similarities, self._anchor_classes[i], self._classes[j], exclude)

    def visit(self, step: Step, state: Tensors) -> Tensors:
        """The state after `step(i, j, state)` for every tile."""

        def body(i: tf.Tensor, j: tf.Tensor, state: Any) -> tuple[Any, ...]:
            state = step(i, j, state)
            ends = j == self.columns.count - 1
            following = tf.where(ends, i + 1, i)
            start = following if self.pairs.symmetric else 0
            return following, tf.where(ends, start, j + 1), state

        # One tile at a time: what runs ahead would take memory.
        return tf.while_loop(
            lambda i, j, state: i < self.rows.count,
            body,
            (tf.constant(0), tf.constant(0), state),
            parallel_iterations=1,
        )[2]

    def sums(self, values: Callable[[Tile], Tensors], outputs: int) -> Tensors:
        """The sums (A,) of values (R, C) over the samples, for each of the outputs."""
        start = tf.zeros_like(self.pairs.anchors[:, 0])
        return self._reduce(values, (start,) * outputs, tf.reduce_sum, add)

    def maxima(self, values: Callable[[Tile], Tensors], lowest: float) -> tf.Tensor:
        """The largest (A,) of values (R, C) over the samples, `lowest` or more."""
        start = tf.fill(
            tf.shape(self.pairs.anchors)[:1],
            tf.cast(lowest, self.pairs.anchors.dtype),
        )
        return self._reduce(values, (start,), tf.reduce_max, _maximum)[0]

    def _reduce(
        self,
        values: Callable[[Tile], Tensors],
        start: Tensors,
        reduce: Callable[..., tf.Tensor],
        combine: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    ) -> Tensors:
        def step(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> Tensors:
            found = values(self.tile(i, j))
            by_row = [reduce(v, axis=1) for v in found]
            state = tuple(
                combine(s, i, v) for s, v in zip(state, by_row, strict=True)
            )
            if not self.pairs.symmetric:
                return state
            # On the diagonal a tile is its own mirror image: its sums are in already.
            mirrored = [reduce(v, axis=0) for v in found]
            return tuple(
                tf.where(i == j, s, combine(s, j, v))
                for s, v in zip(state, mirrored, strict=True)
            )

        blocks = self.visit(step, tuple(self.rows.split(s) for s in start))
        return tuple(self.rows.join(b) for b in blocks)

    def is_off_diagonal(self, i: tf.Tensor, j: tf.Tensor) -> tf.Tensor:
        """Whether the tile also stands for its mirror image below the diagonal."""
        return tf.cast(i != j, self.pairs.anchors.dtype)


class Blocks:
    """The rows of a tensor in blocks of equal size, the last filled up with zeros."""

    def __init__(self, rows: tf.Tensor) -> None:
        # Python numbers where they are known: XLA needs the shape of a tile.
        static = rows.shape[0]
        self.size: Size = tf.shape(rows)[0] if static is None else static
        most = tf.maximum if static is None else max
        self.count: Size = most(-(-self.size // SIDE), 1)
        self.side: Size = -(-self.size // self.count)

    def split(self, rows: tf.Tensor) -> tf.Tensor:
        """(size, ...) as (count, side, ...)."""
        missing = self.count * self.side - self.size
        padded = tf.pad(rows, [[0, missing], *[[0, 0]] * (rows.shape.rank - 1)])
        inner = rows.shape[1:].as_list()
        return tf.reshape(padded, [self.count, self.side, *inner])

    def join(self, blocks: tf.Tensor) -> tf.Tensor:
        """(count, side, ...) as (size, ...)."""
        inner = blocks.shape[2:].as_list()
        return tf.reshape(blocks, [self.count * self.side, *inner])[: self.size]


def add(blocks: tf.Tensor, index: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """The blocks (count, side, ...) with one more summand for one of them."""
    return tf.tensor_scatter_nd_add(blocks, [[index]], block[None])


def _maximum(blocks: tf.Tensor, index: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_max(blocks, [[index]], block[None])
