"""A health metric of the embeddings in a batch."""

import tensorflow as tf

from supcon_tf.numerics.labels import classes_and_counts

# Samples whose similarities to all others are held at once: memory grows with N, and a
# usual batch is one or two blocks.
ROWS = 256


def nearest_has_same_label(
    embeddings: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether each sample's nearest other sample, by cosine, has its label.

    Args:
        embeddings: (N, D), of any length.
        labels: (N,) integers.

    Returns:
        (N,) booleans, and the (N,) mask of the samples that have a positive at all;
        the others say nothing.
    """
    unit = tf.math.l2_normalize(embeddings, axis=-1)
    labels = tf.convert_to_tensor(labels)
    known = unit.shape[0]
    count = tf.shape(unit)[0] if known is None else known
    side = ROWS if known is None else min(ROWS, known)

    def block(start: tf.Tensor) -> tf.Tensor:
        # The last block repeats the last sample until it is full.
        rows = tf.minimum(start + tf.range(side), count - 1)
        similarities = tf.matmul(tf.gather(unit, rows), unit, transpose_b=True)
        is_self = rows[:, None] == tf.range(count)[None, :]
        # Below any cosine, so that no sample is its own neighbour.
        others = tf.where(is_self, tf.cast(-2, unit.dtype), similarities)
        nearest = tf.argmax(others, axis=1)
        return tf.gather(labels, nearest) == tf.gather(labels, rows)

    if known is not None and known <= ROWS:
        same = block(tf.constant(0))
    else:
        blocks = tf.map_fn(
            block,
            tf.range(0, count, side),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([side], tf.bool),
        )
        same = tf.reshape(blocks, [-1])[:count]
    return same, classes_and_counts(labels)[1] > 1
