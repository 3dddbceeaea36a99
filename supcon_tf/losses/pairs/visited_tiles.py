"""Sums over many pairs: a loop over tiles, which the gradient goes through again."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from supcon_tf.losses.pairs.tiles import (
    Grid,
    PairFunction,
    Pairs,
    Tensors,
    Tile,
    at,
    choose,
    sides,
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
    grid = Grid(pairs, SIDE, listed=False)
    start = tf.zeros_like(pairs.anchors[:, 0])
    sums = _reduce(
        grid,
        lambda tile: function.values(tile)[1],
        (start,) * function.outputs,
        tf.reduce_sum,
        _add,
    )

    def gradient(*upstream: tf.Tensor) -> Tensors:
        by_row = tuple(grid.rows.split(u) for u in upstream)

        def step(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> Tensors:
            kept, _ = function.values(grid.tile(i, j))
            slope = function.slope(kept, sides(by_row, i, j, grid.symmetric))
            found = tf.matmul(slope, at(grid.samples, j))
            state = (_add(state[0], i, found), *state[1:])
            to_columns = choose(
                (i != j) if grid.symmetric else True,
                lambda: _add(
                    state[-1], j, transposed_product(slope, at(grid.anchors, i))
                ),
                state[-1],
            )
            return (*state[:-1], to_columns)

        zeros = tf.zeros_like(grid.anchors), tf.zeros_like(grid.samples)
        if grid.symmetric:
            return (grid.rows.join(*_visit(grid, step, zeros[:1])),)
        for_anchors, for_samples = _visit(grid, step, zeros)
        return grid.rows.join(for_anchors), grid.columns.join(for_samples)

    return sums, gradient


def row_maxima(
    similarities: Callable[[Tile], tf.Tensor], pairs: Pairs, lowest: float
) -> tf.Tensor:
    """See `supcon_tf.losses.pairs.sums.row_maxima`."""
    start = tf.zeros_like(pairs.anchors[:, 0]) + lowest
    return _reduce(
        Grid(pairs, SIDE, listed=False),
        lambda tile: (similarities(tile),),
        (start,),
        tf.reduce_max,
        lambda blocks, i, block: tf.tensor_scatter_nd_max(blocks, [[i]], block[None]),
    )[0]


def _add(blocks: tf.Tensor, i: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_add(blocks, [[i]], block[None])


def _reduce(
    grid: Grid,
    values: Callable[[Tile], Tensors],
    start: Tensors,
    reduce: Callable[..., tf.Tensor],
    combine: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
) -> Tensors:
    def step(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> Tensors:
        found = values(grid.tile(i, j))
        by_row = [reduce(v, axis=1) for v in found]
        state = tuple(combine(s, i, v) for s, v in zip(state, by_row, strict=True))
        if not grid.symmetric:
            return state
        # A tile on the diagonal is its own mirror image, and is in already.
        return tf.cond(
            i == j,
            lambda: state,
            lambda: tuple(
                combine(s, j, reduce(v, axis=0))
                for s, v in zip(state, found, strict=True)
            ),
        )

    blocks = _visit(grid, step, tuple(grid.rows.split(s) for s in start))
    return tuple(grid.rows.join(b) for b in blocks)


def _visit(grid: Grid, step: Step, state: Tensors) -> Tensors:
    """The state after `step(i, j, state)` for every tile."""

    def body(i: tf.Tensor, j: tf.Tensor, state: Tensors) -> tuple[Any, ...]:
        state = step(i, j, state)
        ends = j == grid.columns.count - 1
        following = tf.where(ends, i + 1, i)
        start = following if grid.symmetric else 0
        return following, tf.where(ends, start, j + 1), state

    # One tile at a time: what runs ahead would take memory.
    return tf.while_loop(
        lambda i, j, state: i < grid.rows.count,
        body,
        (tf.constant(0), tf.constant(0), state),
        parallel_iterations=1,
    )[2]
