"""A health metric of the embeddings in a batch."""

import tensorflow as tf

from supcon_tf.numerics.labels import classes_and_counts
from supcon_tf.numerics.row_blocks import by_row_blocks


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

    def same_label(rows: tf.Tensor) -> tf.Tensor:
        similarities = tf.matmul(tf.gather(unit, rows), unit, transpose_b=True)
        is_self = rows[:, None] == tf.range(tf.shape(unit)[0])[None, :]
        # Below any cosine, so that no sample is its own neighbour.
        others = tf.where(is_self, tf.cast(-2, unit.dtype), similarities)
        nearest = tf.argmax(others, axis=1)
        return tf.gather(labels, nearest) == tf.gather(labels, rows)

    same = by_row_blocks(same_label, unit, tf.bool)
    return same, classes_and_counts(labels)[1] > 1
