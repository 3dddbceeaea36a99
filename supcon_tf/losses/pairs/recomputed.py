"""Sums over many pairs: a loop over tiles, which the gradient goes through again."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from supcon_tf.losses.pairs.tiles import (
    PairFunction,
    Pairs,
    Size,
    Tensors,
    Tile,
    both_upstreams,
    transposed_product,
)

# A float32 tile is 4 MiB, and some five are in use at once. At half of it the start of
# each operation costs a quarter more time, at twice it tiles leave a CPU's cache.
SIDE = 1024

Step = Callable[[tf.Tensor, tf.Tensor, Tensors], Tensors]


def row_sums(
    function: PairFunction, pairs: Pairs
) -> tuple[Tensors, Callable[..., Tensors]]:
    """See `supcon_tf.losses.pairs.sums.row_sums`: sums and their gradient."""
    grid = _Grid(pairs)

    def add_sums(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> Tensors:
        _, values = function.values(grid.tile(i, j))
        by_row = [tf.reduce_sum(v, axis=1) for v in values]
        state = tuple(_add(s, i, v) for s, v in zip(state, by_row, strict=True))
        if not grid.symmetric:
            return state
        # A tile on the diagonal is its own mirror image, and is in already.
        return tf.cond(
            i == j,
            lambda: state,
            lambda: tuple(
                _add(s, j, tf.reduce_sum(v, axis=0))
                for s, v in zip(state, values, strict=True)
            ),
        )

    nothing = grid.rows.split(tf.zeros_like(pairs.anchors[:, 0]))
    found = grid.visit(add_sums, (nothing,) * function.outputs)
    sums = tuple(grid.rows.join(blocks) for blocks in found)

    def gradient(*upstream: tf.Tensor) -> Tensors:
        blocks = tuple(grid.rows.split(u) for u in upstream)

        def add_slopes(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> Tensors:
            kept, _ = function.values(grid.tile(i, j))
            by_row = tuple(tf.gather(u, i) for u in blocks)
            if grid.symmetric:
                sides = both_upstreams(by_row, tuple(tf.gather(u, j) for u in blocks))
            else:
                sides = tuple(u[:, None] for u in by_row)
            slope = function.slope(kept, sides)
            found = tf.matmul(slope, tf.gather(grid.samples, j))
            state = (_add(state[0], i, found), *state[1:])

            def with_columns() -> tf.Tensor:
                found = transposed_product(slope, tf.gather(grid.anchors, i))
                return _add(state[-1], j, found)

            if not grid.symmetric:
                return state[0], with_columns()
            return (tf.cond(i == j, lambda: state[0], with_columns),)

        zeros = tf.zeros_like(grid.anchors), tf.zeros_like(grid.samples)
        if grid.symmetric:
            return (grid.rows.join(*grid.visit(add_slopes, zeros[:1])),)
        for_anchors, for_samples = grid.visit(add_slopes, zeros)
        return grid.rows.join(for_anchors), grid.columns.join(for_samples)

    return sums, gradient


class _Blocks:
    """How rows are cut into blocks of equal size, at most `SIDE`.

    The blocks are stacked, and the last is filled up with zeros.
    """

    def __init__(self, rows: tf.Tensor) -> None:
        self.size = _sizes(rows)[0]
        at_least = max if isinstance(self.size, int) else tf.maximum
        self.count: Size = at_least(-(-self.size // SIDE), 1)
        self.side: Size = at_least(-(-self.size // self.count), 1)

    def split(self, rows: tf.Tensor) -> tf.Tensor:
        """(size, ...) as (count, side, ...)."""
        missing = self.count * self.side - self.size
        padded = tf.pad(rows, [[0, missing], *[[0, 0]] * (rows.shape.rank - 1)])
        return tf.reshape(padded, [self.count, self.side, *_sizes(rows)[1:]])

    def numbers(self, index: tf.Tensor) -> tf.Tensor:
        """The numbers (side,) of a block's rows."""
        return index * self.side + tf.range(self.side)

    @property
    def full(self) -> bool:
        """Whether it is known that nothing was filled up."""
        return isinstance(self.size, int) and self.count * self.side == self.size

    def join(self, blocks: tf.Tensor) -> tf.Tensor:
        """The inverse of `split`."""
        rows = tf.reshape(blocks, [self.count * self.side, *_sizes(blocks)[2:]])
        return rows[: self.size]


class _Grid:
    """Square tiles over all pairs, of a symmetric batch those from the diagonal up."""

    def __init__(self, pairs: Pairs) -> None:
        self.symmetric, self.offset = pairs.symmetric, pairs.offset
        self.rows = self.columns = _Blocks(pairs.anchors)
        self.anchors = self.samples = self.rows.split(pairs.anchors)
        if not self.symmetric:
            self.columns = _Blocks(pairs.samples)
            self.samples = self.columns.split(pairs.samples)
        # A matrix product is faster for an operand that needs no transposition.
        self._transposed = tf.transpose(self.samples, [0, 2, 1])
        self._anchor_classes = self.rows.split(pairs.anchor_classes)
        self._classes = self.columns.split(pairs.classes)

    def tile(self, i: tf.Tensor, j: tf.Tensor) -> Tile:
        """The tile in row `i` and column `j` of the grid."""
        return Tile(
            tf.matmul(tf.gather(self.anchors, i), tf.gather(self._transposed, j)),
            tf.gather(self._anchor_classes, i),
            tf.gather(self._classes, j),
            lambda values, other: self._exclude(i, j, values, other),
        )

    def visit(self, step: Step, state: Tensors) -> Tensors:
        """The state after `step(i, j, state)` for every tile."""

        def body(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> tuple[Any, ...]:
            state = step(i, j, state)
            ends = j == self.columns.count - 1
            following = tf.where(ends, i + 1, i)
            start = following if self.symmetric else 0
            return following, tf.where(ends, start, j + 1), state

        # One tile at a time: what runs ahead would take memory.
        return tf.while_loop(
            lambda i, j, state: i < self.rows.count,
            body,
            (tf.constant(0), tf.constant(0), state),
            parallel_iterations=1,
        )[2]

    def _exclude(
        self, i: tf.Tensor, j: tf.Tensor, values: tf.Tensor, other: float
    ) -> tf.Tensor:
        rows, columns = self.rows.numbers(i) + self.offset, self.columns.numbers(j)

        def excluded() -> tf.Tensor:
            wrong = (rows[:, None] == columns) | (columns >= self.columns.size)
            return tf.where(wrong, tf.cast(other, values.dtype), values)

        affected = (rows[0] <= columns[-1]) & (columns[0] <= rows[-1])
        if not self.columns.full:
            affected |= j == self.columns.count - 1
        return tf.cond(affected, excluded, lambda: values)


def _sizes(tensor: tf.Tensor) -> list[Size]:
    # Python numbers where they are known: XLA needs the shape of a tile.
    unknown = tf.shape(tensor)
    known = tensor.shape.as_list()
    return [unknown[i] if size is None else size for i, size in enumerate(known)]


def _add(blocks: tf.Tensor, i: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_add(blocks, [[i]], block[None])
