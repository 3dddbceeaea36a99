"""The pairs of a batch, cut into tiles."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import tensorflow as tf

Size: TypeAlias = "int | tf.Tensor"
Tensors = tuple[tf.Tensor, ...]


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
    offset: Size = 0

    @property
    def symmetric(self) -> bool:
        """Whether the anchors are all of the samples."""
        return self.anchors is self.samples


class Tile(NamedTuple):
    """Some anchors (R,) against some samples (C,).

    `similarities` (R, C) are their products, `same` tells which have one class, an
    anchor and itself included, and `exclude(values, other)` puts `other` where `values`
    (R, C) belong to an anchor and itself, or to no sample.
    """

    similarities: tf.Tensor
    anchor_classes: tf.Tensor
    classes: tf.Tensor
    exclude: Callable[[tf.Tensor, float], tf.Tensor]

    @property
    def same(self) -> tf.Tensor:
        """(R, C) mask of the pairs of one class."""
        return self.anchor_classes[:, None] == self.classes[None, :]


class PairFunction(Protocol):
    """Functions `f_k` of a pair's similarity and of whether it has one class."""

    # How many functions.
    outputs: int

    def values(self, tile: Tile) -> tuple[Any, Tensors]:
        """What `slope` needs, and each `f_k` (R, C), which is 0 for excluded pairs."""

    def slope(self, kept: Any, upstream: Tensors) -> tf.Tensor:
        """`sum_k upstream_k * df_k / ds` (R, C); the upstreams broadcast to that."""


class Blocks:
    """How the rows of a tensor are cut into blocks of equal size, at most `side`.

    With `listed`, blocks are a Python list, and its last may be smaller. Otherwise they
    are stacked, and the last is filled up with zeros.
    """

    def __init__(self, rows: tf.Tensor, side: int, listed: bool) -> None:
        self.size = _sizes(rows)[0]
        at_least = max if isinstance(self.size, int) else tf.maximum
        self.count: Size = at_least(-(-self.size // side), 1)
        self.side: Size = at_least(-(-self.size // self.count), 1)
        self.listed = listed

    def split(self, rows: tf.Tensor) -> Any:
        """(size, ...) as a list of (side, ...) or stacked (count, side, ...)."""
        if self.listed:
            starts = [i * self.side for i in range(self.count)]
            return [rows[start : start + self.side] for start in starts]
        missing = self.count * self.side - self.size
        padded = tf.pad(rows, [[0, missing], *[[0, 0]] * (rows.shape.rank - 1)])
        return tf.reshape(padded, [self.count, self.side, *_sizes(rows)[1:]])

    def join(self, blocks: Any) -> tf.Tensor:
        """The inverse of `split`."""
        if self.listed:
            return tf.concat(blocks, axis=0)
        rows = tf.reshape(blocks, [self.count * self.side, *_sizes(blocks)[2:]])
        return rows[: self.size]


class Grid:
    """Square tiles over all pairs, of a symmetric batch those from the diagonal up.

    With `listed`, tiles are numbered by Python numbers, otherwise by tensors.
    """

    def __init__(self, pairs: Pairs, side: int, listed: bool) -> None:
        self.symmetric, self.offset = pairs.symmetric, pairs.offset
        self.rows = Blocks(pairs.anchors, side, listed)
        self.columns = self.rows
        if not self.symmetric:
            self.columns = Blocks(pairs.samples, side, listed)
        self.anchors = self.rows.split(pairs.anchors)
        self.samples = self.anchors
        if not self.symmetric:
            self.samples = self.columns.split(pairs.samples)
        # A matrix product is faster for an operand that needs no transposition.
        self._samples_transposed = transposed(self.samples)
        self._anchor_classes = self.rows.split(pairs.anchor_classes)
        self._classes = self.columns.split(pairs.classes)

    def cells(self) -> list[tuple[int, int]]:
        """Row and column of each tile of a `listed` grid."""
        return [
            (i, j)
            for i in range(self.rows.count)
            for j in range(i if self.symmetric else 0, self.columns.count)
        ]

    def tile(self, i: Size, j: Size) -> Tile:
        """The tile in row `i` and column `j` of the grid."""

        def exclude(values: tf.Tensor, other: float) -> tf.Tensor:
            other = tf.cast(other, values.dtype)
            values = self._without_self(i, j, values, other)
            return self._without_filling(j, values, other)

        return Tile(
            tf.matmul(at(self.anchors, i), at(self._samples_transposed, j)),
            at(self._anchor_classes, i),
            at(self._classes, j),
            exclude,
        )

    def _without_self(
        self, i: Size, j: Size, values: tf.Tensor, other: tf.Tensor
    ) -> tf.Tensor:
        if self.symmetric:
            diagonal = tf.fill(tf.shape(values)[:1], other)
            return choose(i == j, lambda: tf.linalg.set_diag(values, diagonal), values)
        row = i * self.rows.side + self.offset
        column = j * self.columns.side
        rows = row + tf.range(tf.shape(values)[0])
        columns = column + tf.range(tf.shape(values)[1])
        return choose(
            (row < column + self.columns.side) & (column < row + self.rows.side),
            lambda: tf.where(rows[:, None] == columns[None, :], other, values),
            values,
        )

    def _without_filling(
        self, j: Size, values: tf.Tensor, other: tf.Tensor
    ) -> tf.Tensor:
        if self.columns.listed:
            return values
        columns = j * self.columns.side + tf.range(self.columns.side)
        return choose(
            j == self.columns.count - 1,
            lambda: tf.where(columns < self.columns.size, values, other),
            values,
        )


def _sizes(tensor: tf.Tensor) -> list[Size]:
    # Python numbers where they are known: XLA needs the shape of a tile.
    unknown = tf.shape(tensor)
    known = tensor.shape.as_list()
    return [unknown[i] if size is None else size for i, size in enumerate(known)]


def at(blocks: Any, index: Size) -> tf.Tensor:
    """One block, of a list or stacked."""
    return blocks[index] if isinstance(blocks, list) else tf.gather(blocks, index)


def transposed(blocks: Any) -> Any:
    """Blocks (side, D) as (D, side)."""
    if isinstance(blocks, list):
        return [tf.transpose(block) for block in blocks]
    return tf.transpose(blocks, [0, 2, 1])


def transposed_product(slope: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """`slope^T @ anchors`, what a tile (R, C) adds to the gradient for its samples."""
    # A product that reads an operand transposed takes twice as long, and TensorFlow's
    # graph optimizer makes one of these two unless three axes are transposed.
    return tf.matmul(tf.transpose(slope[None], (0, 2, 1))[0], anchors)


def choose(
    condition: bool | tf.Tensor, changed: Callable[[], tf.Tensor], same: tf.Tensor
) -> tf.Tensor:
    """`changed()` if the condition holds, else `same`."""
    if isinstance(condition, bool):
        return changed() if condition else same
    return tf.cond(condition, changed, lambda: same)


def sides(by_row: tuple[Any, ...], i: Size, j: Size, symmetric: bool) -> Tensors:
    """What a tile's values add to, given what each anchor's sums (A,) do.

    A value of a symmetric batch is in the sums of two anchors.
    """
    if not symmetric:
        return tuple(at(u, i)[:, None] for u in by_row)
    return tuple(_all_sums(at(u, i), at(u, j)) for u in by_row)


def _all_sums(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    # (r, 1) . (1, c) = r + c: a product of matrices is twice as fast as broadcasting.
    left = tf.stack([rows, tf.ones_like(rows)], axis=1)
    return tf.matmul(left, tf.stack([tf.ones_like(columns), columns]))
