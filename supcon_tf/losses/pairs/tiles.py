"""Pairs of a batch, a tile of them, and what is summed over them."""

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


def transposed_product(slope: tf.Tensor, anchors: tf.Tensor, skipped: int = 0) -> Any:
    """`slope^T @ anchors`, what a tile (R, C) adds to the gradient for its samples.

    Args:
        slope: (R, C).
        anchors: (R, D).
        skipped: as many first columns of the slope are left out.
    """
    # A product that reads an operand transposed takes twice as long, and TensorFlow's
    # graph optimizer makes one of these two unless three axes are transposed.
    transposed = tf.transpose(slope[None], (0, 2, 1))[0]
    return tf.matmul(transposed[skipped:], anchors)


def both_upstreams(rows: Tensors, columns: Tensors) -> Tensors:
    """`rows_k + columns_k` (R, C) of upstreams (R,) and (C,).

    A value of a symmetric batch is in the sums of two anchors.
    """
    return tuple(_all_sums(r, c) for r, c in zip(rows, columns, strict=True))


def _all_sums(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    # (r, 1) . (1, c) = r + c: a product of matrices is twice as fast as broadcasting.
    left = tf.stack([rows, tf.ones_like(rows)], axis=1)
    return tf.matmul(left, tf.stack([tf.ones_like(columns), columns]))
