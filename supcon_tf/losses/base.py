"""What all losses of the package share: terms that add up over replicas."""

from typing import NamedTuple

import keras
import tensorflow as tf

from supcon_tf.distribution.replicas import Batch, num_replicas
from supcon_tf.losses.pairs.tiles import Pairs
from supcon_tf.numerics.labels import as_labels, classes_and_counts, nan_unless

# Rows that are shorter are not scaled to length 1, but by 1 / SHORTEST.
SHORTEST = 1e-6


class Term(NamedTuple):
    """One mean of a loss, kept as sum and count.

    The mean over a batch that is spread over replicas is the sum of the totals divided
    by the sum of the counts; a mean of means would weight the replicas wrongly.
    """

    total: tf.Tensor
    count: tf.Tensor


class BatchLoss(keras.losses.Loss):
    """A loss whose value is a property of the batch: it returns a scalar.

    Subclasses implement `terms`. The value is the sum of the terms' means; a term
    without items is 0 with zero gradient, never NaN.

    As a plain Keras loss on several replicas it sees the samples of its replica, and
    its value is divided by their number, as Keras divides its own: the replicas' values
    add up to the mean over them. `supcon_tf.models.ContrastiveClassifier` adds up the
    terms instead, and compares all samples of the global batch.

    Raises:
        ValueError: if called with `sample_weight`, or for labels that are none.
        tf.errors.InvalidArgumentError: for such labels where only a running graph can
            see them. Compiled by XLA, which can't raise, the value is NaN.
    """

    # Whether `terms` reads unit vectors and compares pairs (True) or reads logits.
    pairwise = False

    def terms(
        self, labels: tf.Tensor, outputs: tf.Tensor, batch: Batch | None = None
    ) -> tuple[Term, ...]:
        """Sums and counts over the anchors `outputs`, compared with `batch`.

        Args:
            labels: (N,) int64 labels of the anchors.
            outputs: (N, D) embeddings or logits, at least float32.
            batch: what anchors are compared with; the anchors themselves if None.
                Ignored by losses that are not pairwise.
        """
        raise NotImplementedError

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        outputs = at_least_float32(y_pred)
        if outputs.shape.rank != 2:
            raise ValueError(
                f"y_pred must have the shape (N, D). Received: {outputs.shape}"
            )
        classes = None if self.pairwise else tf.shape(outputs)[1]
        labels, are_labels = as_labels(y_true, outputs, classes)
        value = tf.add_n([mean(term) for term in self.terms(labels, outputs)])
        return nan_unless(are_labels, value)

    def __call__(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        # Keras' own would cast the labels to the loss' dtype, which bfloat16 corrupts
        # above 256 classes, and reduce a scalar by a count that is not ours.
        if sample_weight is not None:
            raise ValueError(
                f"{type(self).__name__} is a property of the whole batch and takes no "
                "sample_weight. Received: a sample_weight"
            )
        with tf.name_scope(self.name):
            return self.call(y_true, y_pred) / num_replicas()


def mean(term: Term, count: tf.Tensor | None = None) -> tf.Tensor:
    """A term's total over its count (or the given one); 0 where that is 0."""
    count = tf.cast(term.count if count is None else count, term.total.dtype)
    return term.total / tf.maximum(count, 1)


def at_least_float32(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor in float32, or in float64 if it is that."""
    tensor = tf.convert_to_tensor(tensor)
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


@tf.custom_gradient
def unit_length(vectors: tf.Tensor):  # type: ignore[no-untyped-def]
    """Rows (N, D) scaled to length 1, with a finite gradient.

    A zero row stays zero, and one shorter than 1e-6 stays shorter than 1.
    """
    # The square of a very long row overflows. The length does not matter, so a row may
    # be shortened first, and nothing is lost by leaving that out of the gradient.
    largest = tf.reduce_max(tf.abs(vectors), axis=-1, keepdims=True)
    shortening = tf.maximum(largest, 1)
    shortened = vectors / shortening
    square = tf.reduce_sum(tf.square(shortened), axis=-1, keepdims=True)
    inverse = tf.math.rsqrt(tf.maximum(square, SHORTEST**2))
    unit = shortened * inverse

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # d(x / |x|) = (g - u (u.g)) / |x|; below the shortest the divisor is constant.
        along = tf.reduce_sum(unit * upstream, axis=-1, keepdims=True)
        along = tf.where(square >= SHORTEST**2, along, 0)
        return (upstream - unit * along) * (inverse / shortening)

    return unit, gradient


def unit_pairs(anchors: tf.Tensor, batch: Batch) -> tuple[Pairs, tf.Tensor]:
    """The pairs of unit vectors, and how many samples (A,) have an anchor's label."""
    unit = unit_length(anchors)
    symmetric = batch.embeddings is anchors
    samples = unit if symmetric else unit_length(batch.embeddings)
    classes, counts = classes_and_counts(batch.labels)
    if symmetric:
        return Pairs(unit, unit, classes, classes), counts
    rows = tf.range(tf.shape(anchors)[0]) + batch.offset
    anchor_classes = tf.gather(classes, rows)
    pairs = Pairs(unit, samples, anchor_classes, classes, batch.offset)
    return pairs, tf.gather(counts, rows)
