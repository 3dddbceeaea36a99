"""Sums over few pairs: their tiles are computed once, and kept for the gradient."""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.losses.pairs.tiles import (
    Grid,
    PairFunction,
    Pairs,
    Tensors,
    Tile,
    sides,
    transposed_product,
)

# Small enough for few tiles on the diagonal to be computed in full, of which half would
# do, and large enough for a tile to outweigh the start of its operations.
SIDE = 512

Cell = tuple[int, int]


def row_sums(
    function: PairFunction, pairs: Pairs
) -> tuple[Tensors, Callable[..., Tensors]]:
    """See `supcon_tf.losses.pairs.sums.row_sums`: sums and their gradient."""
    grid = Grid(pairs, SIDE, listed=True)
    computed = {cell: function.values(grid.tile(*cell)) for cell in grid.cells()}
    sums = tuple(
        _reduce(grid, {cell: v[k] for cell, (_, v) in computed.items()}, tf.reduce_sum)
        for k in range(function.outputs)
    )

    def gradient(*upstream: tf.Tensor) -> Tensors:
        by_row = tuple(grid.rows.split(u) for u in upstream)
        for_anchors: list = [[] for _ in range(grid.rows.count)]
        for_samples = for_anchors
        if not grid.symmetric:
            for_samples = [[] for _ in range(grid.columns.count)]
        for (i, j), (kept, _) in computed.items():
            slope = function.slope(kept, sides(by_row, i, j, grid.symmetric))
            for_anchors[i].append(tf.matmul(slope, grid.samples[j]))
            if not (grid.symmetric and i == j):
                for_samples[j].append(transposed_product(slope, grid.anchors[i]))
        by_side = [for_anchors] if grid.symmetric else [for_anchors, for_samples]
        return tuple(
            tf.concat([tf.add_n(parts) for parts in side], axis=0) for side in by_side
        )

    return sums, gradient


def row_maxima(
    similarities: Callable[[Tile], tf.Tensor], pairs: Pairs, lowest: float
) -> tf.Tensor:
    """See `supcon_tf.losses.pairs.sums.row_maxima`."""
    grid = Grid(pairs, SIDE, listed=True)
    values = {cell: similarities(grid.tile(*cell)) for cell in grid.cells()}
    return _reduce(grid, values, tf.reduce_max)


def _reduce(
    grid: Grid, values: dict[Cell, tf.Tensor], reduce: Callable[..., tf.Tensor]
) -> tf.Tensor:
    parts: list = [[] for _ in range(grid.rows.count)]
    for (i, j), tile in values.items():
        parts[i].append(reduce(tile, axis=1))
        if grid.symmetric and i != j:
            parts[j].append(reduce(tile, axis=0))
    return tf.concat([reduce(tf.stack(p), axis=0) for p in parts], axis=0)
