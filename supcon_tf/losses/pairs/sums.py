"""Sums over the pairs of a batch, and their gradient, without an N x N matrix."""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.losses.pairs import kept_tiles, visited_tiles
from supcon_tf.losses.pairs.tiles import PairFunction, Pairs, Tensors, Tile

# Pairs up to which the tiles are kept for the gradient, at most 16 MiB of float32.
# Beyond, they are computed again, which takes less time than memory that large.
KEPT = 2**22


def row_sums(function: PairFunction, pairs: Pairs) -> Tensors:
    """For each `f_k` its sum (A,) over the samples other than the anchor itself.

    With `s = anchors @ samples^T`, `u_k` (A, 1) the derivative by the sums, and
    `G = sum_k u_k * df_k / ds`, the gradient is `G @ samples` for the anchors and
    `G^T @ anchors` for the samples. Deriving it again raises LookupError.
    """

    @tf.custom_gradient
    def summed(*vectors: tf.Tensor) -> tuple[Tensors, Callable[..., Tensors]]:
        given = pairs._replace(anchors=vectors[0], samples=vectors[-1])
        way = kept_tiles if _are_few(given) else visited_tiles
        sums, gradient = way.row_sums(function, given)

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


def row_maxima(
    similarities: Callable[[Tile], tf.Tensor], pairs: Pairs, lowest: float
) -> tf.Tensor:
    """The largest value (A,) of a function (R, C) of a tile, `lowest` or more."""
    anchors = tf.stop_gradient(pairs.anchors)
    samples = anchors if pairs.symmetric else tf.stop_gradient(pairs.samples)
    pairs = pairs._replace(anchors=anchors, samples=samples)
    way = kept_tiles if _are_few(pairs) else visited_tiles
    return way.row_maxima(similarities, pairs, lowest)


def _are_few(pairs: Pairs) -> bool:
    anchors, samples = pairs.anchors.shape[0], pairs.samples.shape[0]
    return anchors is not None and samples is not None and anchors * samples <= KEPT
