"""The shortest step from an image to a hyperplane that does not leave [0, 1]."""

import tensorflow as tf

# In the L2 problem weights up to here count as 0: their breakpoints would overflow.
_NO_WEIGHT = 1e-8


def step_to_hyperplane(
    images: tf.Tensor, normals: tf.Tensor, heights: tf.Tensor, norm: str
) -> tf.Tensor:
    """The smallest `d` with `<w, x + d> = b` and `0 <= x + d <= 1`.

    Each pixel can only move until it meets 0 or 1, at a limit of its own. So the answer
    is one number for each image, a level that all pixels move to or stop short of:

        linf: d_i = -sign(w_i) min(level, room_i),        sum |w_i| min(...) = height
        l2:   d_i = -w_i min(level, room_i / |w_i|),      sum w_i^2 min(...) = height

    with the signs turned where `height = <w, x> - b` is negative. Where no point of
    [0, 1] lies on the plane, all pixels move to the limit, which is closest to it.

    Args:
        images: (N, D) in [0, 1], in a floating-point type that the result has too.
        normals: (N, D) the planes' normals w. Where w is 0, nothing moves.
        heights: (N,) `<w, x> - b`. It is asked for instead of b because a caller knows
            it better than a difference of two large sums would give it.
        norm: what is small: "linf" or "l2".

    Returns:
        (N, D) steps d.

    Reference:
        Croce and Hein 2020, arXiv 1907.02044, equation 8 and section 3.1.
    """
    weights = tf.where(heights[:, None] < 0, -normals, normals)
    sizes = tf.abs(weights)
    room = tf.where(weights > 0, images, 1 - images)
    if norm == "linf":
        directions, rates, limits = tf.sign(weights), sizes, room
        moves = weights != 0
    else:
        directions, rates, limits = weights, tf.square(weights), room / sizes
        moves = sizes > _NO_WEIGHT
    limits = tf.where(moves, limits, tf.zeros_like(limits))
    levels = _level(rates, limits, tf.abs(heights)[:, None])
    return -directions * tf.minimum(levels, limits)


def _level(rates: tf.Tensor, limits: tf.Tensor, amounts: tf.Tensor) -> tf.Tensor:
    """The least level (N, 1) where `sum rates * min(level, limits)` is `amounts`.

    The sum is concave and piecewise linear in the level, so Newton's method from 0
    never overshoots and ends, on the right piece, as soon as a step passes no limit.
    """
    everything = tf.reduce_max(limits, axis=1, keepdims=True)
    nothing = tf.zeros_like(limits)

    def total(values: tf.Tensor, among: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.where(among, values, nothing), axis=1, keepdims=True)

    def newton(levels: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rising = limits > levels
        slope = total(rates, rising)
        rest = amounts - total(rates * limits, ~rising)
        reached = tf.where(slope > 0, rest / slope, everything)
        reached = tf.maximum(levels, tf.minimum(reached, everything))
        return reached, tf.reduce_any(reached > levels)

    start = tf.zeros_like(amounts)
    return tf.while_loop(lambda _, moved: moved, newton, (start, tf.constant(True)))[0]
