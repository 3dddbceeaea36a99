"""Sums over few pairs: values are computed once, and stored for the gradient."""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.losses.pairs.tiles import (
    PairFunction,
    Pairs,
    Tensors,
    Tile,
    both_upstreams,
    transposed_product,
)

# Anchors in a tile. A batch of so many is one matrix; of a larger one, each tile has
# the samples that no tile before it has met as anchors, so that about half of the
# matrix is computed.
ROWS = 512


def row_sums(
    function: PairFunction, pairs: Pairs
) -> tuple[Tensors, Callable[..., Tensors]]:
    """See `supcon_tf.losses.pairs.sums.row_sums`: sums and their gradient."""
    count = pairs.anchors.shape[0]
    # A batch of none is a tile too.
    starts = range(0, max(count, 1), ROWS)
    computed = [function.values(_tile(pairs, start)) for start in starts]
    sums = tuple(
        _joined(
            [tf.reduce_sum(values[k], axis=1) for _, values in computed],
            [tf.reduce_sum(values[k], axis=0)[ROWS:] for _, values in computed]
            if pairs.symmetric
            else [],
        )
        for k in range(function.outputs)
    )

    def gradient(*upstream: tf.Tensor) -> Tensors:
        for_anchors, for_samples = [], []
        for start, (kept, _) in zip(starts, computed, strict=True):
            rows = slice(start, start + ROWS)
            by_row = tuple(u[rows] for u in upstream)
            if pairs.symmetric:
                sides = both_upstreams(by_row, tuple(u[start:] for u in upstream))
            else:
                sides = tuple(u[:, None] for u in by_row)
            slope = function.slope(kept, sides)
            first, skipped = (start, ROWS) if pairs.symmetric else (0, 0)
            for_anchors.append(tf.matmul(slope, pairs.samples[first:]))
            for_samples.append(transposed_product(slope, pairs.anchors[rows], skipped))
        if pairs.symmetric:
            return (_joined(for_anchors, for_samples),)
        return tf.concat(for_anchors, axis=0), tf.add_n(for_samples)

    return sums, gradient


def _tile(pairs: Pairs, start: int) -> Tile:
    rows = slice(start, start + ROWS)
    first = start if pairs.symmetric else 0

    def exclude(values: tf.Tensor, other: float) -> tf.Tensor:
        # The diagonal of each anchor with itself.
        number = 0 if pairs.symmetric else start + pairs.offset
        diagonal = tf.fill(tf.shape(values)[:1], tf.cast(other, values.dtype))
        return tf.linalg.set_diag(values, diagonal, k=number)

    # A matrix product is faster for an operand that needs no transposition.
    return Tile(
        tf.matmul(pairs.anchors[rows], tf.transpose(pairs.samples[first:])),
        pairs.anchor_classes[rows],
        pairs.classes[first:],
        exclude,
    )


def _joined(by_tile: list[tf.Tensor], beyond: list[tf.Tensor]) -> tf.Tensor:
    """Rows of all tiles, and what each tile adds to the last rows of all."""
    whole = tf.concat(by_tile, axis=0)
    total = whole.shape[0]
    padding = [[0, 0]] * (whole.shape.rank - 1)
    padded = [
        tf.pad(rows, [[total - rows.shape[0], 0], *padding])
        for rows in beyond
        if rows.shape[0]
    ]
    return tf.add_n([whole, *padded])
