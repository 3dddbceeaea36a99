"""Sums over the pairs of a batch, and their gradient, without an N x N matrix."""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.losses.pairs import recomputed, stored
from supcon_tf.losses.pairs.tiles import PairFunction, Pairs, Tensors

# Pairs up to which values are stored for the gradient, at most 16 MiB of float32.
# Beyond, they are computed again, which takes less time than memory that large.
STORED = 2**22


def row_sums(function: PairFunction, pairs: Pairs) -> Tensors:
    """For each `f_k` its sum (A,) over the samples other than the anchor itself.

    With `s = anchors @ samples^T`, `u_k` (A, 1) the derivative by the sums, and
    `G = sum_k u_k * df_k / ds`, the gradient is `G @ samples` for the anchors and
    `G^T @ anchors` for the samples. Deriving it again raises LookupError.
    """

    @tf.custom_gradient
    def summed(*vectors: tf.Tensor) -> tuple[Tensors, Callable[..., Tensors]]:
        given = pairs._replace(anchors=vectors[0], samples=vectors[-1])
        way = stored if _are_few(given) else recomputed
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


def _are_few(pairs: Pairs) -> bool:
    anchors, samples = pairs.anchors.shape[0], pairs.samples.shape[0]
    return anchors is not None and samples is not None and anchors * samples <= STORED
