"""The contrastive losses on one N x N matrix: slow and large, but easy to follow."""

import tensorflow as tf


def supervised_contrastive(labels, embeddings, temperature, variant="out"):
    """Khosla et al. 2020, equation 2 (out) or 3 (in), over anchors with a positive."""
    unit = tf.math.l2_normalize(tf.convert_to_tensor(embeddings), axis=-1)
    similarities = tf.matmul(unit, unit, transpose_b=True) / temperature
    nothing = similarities.dtype.min / 2
    is_self = tf.eye(len(labels), dtype=tf.bool)
    positive = (labels[:, None] == labels[None, :]) & ~is_self
    log_all = tf.reduce_logsumexp(tf.where(is_self, nothing, similarities), axis=1)
    count = tf.reduce_sum(tf.cast(positive, unit.dtype), axis=1)
    if variant == "out":
        means = tf.reduce_sum(tf.where(positive, similarities, 0), axis=1)
        losses = log_all - means / tf.maximum(count, 1)
    else:
        log_positive = tf.reduce_logsumexp(
            tf.where(positive, similarities, nothing), axis=1
        )
        losses = log_all - log_positive + tf.math.log(tf.maximum(count, 1))
    anchors = tf.reduce_sum(tf.cast(count > 0, unit.dtype))
    return tf.reduce_sum(tf.where(count > 0, losses, 0)) / tf.maximum(anchors, 1)


def margin_contrastive(labels, embeddings, positive_margin=0.8, negative_margin=0.2):
    """Squared violations of the two margins, each averaged over its violations."""
    unit = tf.math.l2_normalize(tf.convert_to_tensor(embeddings), axis=-1)
    similarities = tf.matmul(unit, unit, transpose_b=True)
    same = labels[:, None] == labels[None, :]
    positive = same & ~tf.eye(len(labels), dtype=tf.bool)
    lacking = tf.where(positive, tf.nn.relu(positive_margin - similarities), 0)
    exceeding = tf.where(same, 0, tf.nn.relu(similarities - negative_margin))
    return sum(
        tf.reduce_sum(tf.square(v))
        / tf.maximum(tf.cast(tf.math.count_nonzero(v), v.dtype), 1)
        for v in (lacking, exceeding)
    )
