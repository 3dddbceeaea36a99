"""What is computed of each row with all others, without an N x N matrix."""

from collections.abc import Callable

import tensorflow as tf

# Rows that are computed at once: memory grows with N, and a usual batch is one or two
# blocks.
ROWS = 256


def by_row_blocks(
    function: Callable[[tf.Tensor], tf.Tensor], like: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """`function` (N,) of each row's number, a block of rows at a time.

    Args:
        function: from (R,) row numbers to (R,) values.
        like: (N, ...) the rows.
        dtype: of the values.
    """
    known = like.shape[0]
    count = tf.shape(like)[0] if known is None else known
    if known is not None and known <= ROWS:
        return function(tf.range(known))
    blocks = tf.map_fn(
        # The last block repeats the last row until it is full.
        lambda start: function(tf.minimum(start + tf.range(ROWS), count - 1)),
        tf.range(0, count, ROWS),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec([ROWS], dtype),
    )
    return tf.reshape(blocks, [-1])[:count]
