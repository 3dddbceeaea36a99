"""Logarithms of sums of exponentials over the samples that anchors meet."""

import math
from collections.abc import Sequence

import tensorflow as tf

from supcon_tf.losses.pairs.sums import row_sums
from supcon_tf.losses.pairs.tiles import Pairs, Tensors, Tile
from supcon_tf.numerics.row_blocks import by_row_blocks

ALL, POSITIVES = "all", "positives"


def log_sum_exp(pairs: Pairs, bound: float, subsets: Sequence[str]) -> Tensors:
    """`log sum_a exp(s_ia)` (A,) over the other samples `a`, for each subset of them.

    Args:
        pairs: anchors and samples; their products are the similarities `s`.
        bound: what the similarities do not exceed, in either direction.
        subsets: `ALL` others, or the `POSITIVES` among them. The value for an anchor
            that has none is 0, with zero gradient.
    """
    # Up to here neither the exponentials nor their sum overflow or vanish, so that no
    # maximum needs to be subtracted.
    if bound <= 0.8 * math.log(pairs.anchors.dtype.max):
        return tuple(map(_log, row_sums(_Exponentials(subsets), pairs)))
    return tuple(_with_maximum(pairs, subset) for subset in subsets)


def _with_maximum(pairs: Pairs, subset: str) -> tf.Tensor:
    """`m_i + log sum_a exp(s_ia - m_i)`, where `m_i` is the largest of the `s_ia`."""
    maxima = tf.stop_gradient(_maxima(pairs, subset))
    # One more coordinate subtracts the maximum: z_i.z_a - m_i * 1.
    anchors = tf.concat([pairs.anchors, -maxima[:, None]], axis=1)
    ones = tf.ones_like(pairs.samples[:, :1])
    shifted = pairs._replace(
        anchors=anchors, samples=tf.concat([pairs.samples, ones], axis=1)
    )
    return maxima + _log(*row_sums(_Exponentials([subset]), shifted))


def _maxima(pairs: Pairs, subset: str) -> tf.Tensor:
    """The largest similarity (A,) of each anchor; 0 if the subset is empty."""
    # Finite, so that an anchor without others gets no NaN gradient.
    lowest = tf.constant(pairs.anchors.dtype.min / 2, pairs.anchors.dtype)
    columns = tf.range(tf.shape(pairs.samples)[0])

    def largest(rows: tf.Tensor) -> tf.Tensor:
        anchors = tf.gather(pairs.anchors, rows)
        others = (rows + pairs.offset)[:, None] != columns
        if subset == POSITIVES:
            classes = tf.gather(pairs.anchor_classes, rows)
            others &= classes[:, None] == pairs.classes
        similarities = tf.matmul(anchors, pairs.samples, transpose_b=True)
        return tf.reduce_max(tf.where(others, similarities, lowest), axis=1)

    maxima = by_row_blocks(largest, pairs.anchors, pairs.anchors.dtype)
    return tf.where(maxima > lowest, maxima, 0)


class _Exponentials:
    """`exp(s)` over one or more subsets of the samples."""

    def __init__(self, subsets: Sequence[str]) -> None:
        self.subsets = subsets
        self.outputs = len(subsets)

    def values(self, tile: Tile) -> tuple[Tensors, Tensors]:
        everyone = tile.exclude(tf.exp(tile.similarities), 0)
        values = tuple(
            everyone if subset == ALL else tf.where(tile.same, everyone, 0)
            for subset in self.subsets
        )
        return values, values

    def slope(self, kept: Tensors, upstream: Tensors) -> tf.Tensor:
        return tf.add_n([k * u for k, u in zip(kept, upstream, strict=True)])


def _log(sums: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.where(sums > 0, sums, 1))
