"""Sums over the pairs of a batch, and their gradient, without an N x N matrix."""

from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf

from supcon_tf.losses.tiles import Grid, Pairs, Tensors, Tile, add, whole

# Pairs up to which they are one tile that is kept for the gradient, 16 MiB in float32.
# Beyond, a tile is computed again: half of them twice is no more work than all once.
KEPT = 2**22

Gradient = Callable[..., Tensors]


class PairFunction(Protocol):
    """Functions `f_k` of a pair's similarity and of whether it has one class."""

    outputs: int

    def values(self, tile: Tile) -> tuple[Any, Tensors]:
        """What `slope` needs, and each `f_k` (R, C), which is 0 for excluded pairs."""

    def slope(self, kept: Any, upstream: Tensors) -> tf.Tensor:
        """`sum_k upstream_k * df_k / ds` (R, C); the upstreams broadcast to that."""


def row_sums(function: PairFunction, pairs: Pairs) -> Tensors:
    """For each `f_k` its sum (A,) over the samples other than the anchor itself.

    With `s = anchors @ samples^T`, `u_k` (A, 1) the derivative by the sums, and
    `G = sum_k u_k * df_k / ds`, the gradient is `G @ samples` for the anchors and
    `G^T @ anchors` for the samples. Deriving it again raises LookupError.
    """

    @tf.custom_gradient
    def summed(*vectors: tf.Tensor) -> tuple[Tensors, Gradient]:
        given = pairs._replace(anchors=vectors[0], samples=vectors[-1])
        anchors, samples = given.anchors.shape[0], given.samples.shape[0]
        known = anchors is not None and samples is not None
        one_tile = known and anchors * samples <= KEPT
        sums, gradient = (_in_one_tile if one_tile else _in_tiles)(function, given)

        def once(*upstream: tf.Tensor) -> Tensors:
            message = "the contrastive losses have no second derivative"
            return tuple(
                tf.raw_ops.PreventGradient(input=g, message=message)
                for g in gradient(*upstream)
            )

        return sums, once

    if pairs.symmetric:
        return summed(pairs.anchors)
    return summed(pairs.anchors, pairs.samples)


def _in_one_tile(function: PairFunction, pairs: Pairs) -> tuple[Tensors, Gradient]:
    kept, values = function.values(whole(pairs))

    def gradient(*upstream: tf.Tensor) -> Tensors:
        if pairs.symmetric:
            # G + G^T at once: the function does not know a pair's order.
            both = tuple(u[:, None] + u[None, :] for u in upstream)
            return (tf.matmul(function.slope(kept, both), pairs.samples),)
        slope = function.slope(kept, tuple(u[:, None] for u in upstream))
        return (
            tf.matmul(slope, pairs.samples),
            tf.matmul(slope, pairs.anchors, transpose_a=True),
        )

    return tuple(tf.reduce_sum(v, axis=1) for v in values), gradient


def _in_tiles(function: PairFunction, pairs: Pairs) -> tuple[Tensors, Gradient]:
    grid = Grid(pairs)
    sums = grid.sums(lambda tile: function.values(tile)[1], function.outputs)

    def gradient(*upstream: tf.Tensor) -> Tensors:
        by_row = tuple(grid.rows.split(u) for u in upstream)

        def step(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> Tensors:
            kept, _ = function.values(grid.tile(i, j))
            sides = tuple(u[i][:, None] for u in by_row)
            if pairs.symmetric:
                sides = tuple(
                    s + u[j][None, :] for s, u in zip(sides, by_row, strict=True)
                )
            slope = function.slope(kept, sides)
            by_anchors = tf.matmul(slope, grid.samples(j))
            by_samples = tf.matmul(slope, grid.anchors(i), transpose_a=True)
            if pairs.symmetric:
                total = add(state[0], i, by_anchors)
                return (add(total, j, by_samples * grid.is_off_diagonal(i, j)),)
            return add(state[0], i, by_anchors), add(state[1], j, by_samples)

        sides = [grid.rows] if pairs.symmetric else [grid.rows, grid.columns]
        zeros = tuple(
            side.split(tf.zeros_like(vectors))
            for side, vectors in zip(sides, pairs[:2], strict=False)
        )
        totals = grid.visit(step, zeros)
        return tuple(s.join(t) for s, t in zip(sides, totals, strict=True))

    return sums, gradient

