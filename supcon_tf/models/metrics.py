"""A health metric of the embeddings in a batch."""

import tensorflow as tf


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
    similarities = tf.matmul(unit, unit, transpose_b=True)
    # Below any cosine, so that no sample is its own neighbour.
    similarities = tf.linalg.set_diag(
        similarities, tf.fill([tf.shape(unit)[0]], tf.cast(-2, unit.dtype))
    )
    nearest = tf.argmax(similarities, axis=1)
    _, classes, counts = tf.unique_with_counts(labels)
    return tf.gather(labels, nearest) == labels, tf.gather(counts, classes) > 1
