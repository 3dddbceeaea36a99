"""What counts as a label, and which labels are one class."""

from typing import Any

import tensorflow as tf

# Powers of two up to which a dtype tells every whole number from its neighbours.
_EXACT = {tf.bfloat16: 8, tf.float16: 11, tf.float32: 24, tf.float64: 53}


def as_labels(
    y_true: Any, rows: tf.Tensor, classes: tf.Tensor | int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels (N,) int64, one for each row, and the scalar truth that all are labels.

    A graph checks when it runs, except one that XLA compiled, which can't raise: there
    what is no label becomes 0, and what is computed must become NaN by `nan_unless`.

    Args:
        y_true: (N,) or (N, 1) integers, of any dtype that holds them exactly.
        rows: (N, ...) what the labels belong to.
        classes: labels are below this number and not negative; any integers if None.

    Raises:
        ValueError: for another shape or dtype, or a value that is no label.
        tf.errors.InvalidArgumentError: for the same where only a running graph can see
            it.
    """
    given = tf.convert_to_tensor(y_true)
    rank = given.shape.rank
    if rank not in (1, 2) or (rank == 2 and given.shape[1] not in (1, None)):
        raise ValueError(
            "y_true must be integer labels, not one-hot, of shape (N,) or (N, 1). "
            f"Received: {given.shape}"
        )
    if not (given.dtype.is_integer or given.dtype.is_bool or given.dtype in _EXACT):
        raise ValueError(f"y_true must be integers. Received: {given.dtype.name}")
    if not given.shape[:1].is_compatible_with(rows.shape[:1]):
        raise ValueError(
            "y_true must have one label for each row of the batch. "
            f"Received: {given.shape} and {rows.shape}"
        )
    flat = tf.reshape(given, [-1])
    labels, fine = tf.cast(flat, tf.int64), tf.fill(tf.shape(flat), True)
    if given.dtype in _EXACT:
        limit = tf.cast(2 ** _EXACT[given.dtype], given.dtype)
        fine = (flat == tf.floor(flat)) & (tf.abs(flat) < limit)
    if classes is not None:
        fine &= (labels >= 0) & (labels < tf.cast(classes, tf.int64))
    allowed = "integers" if classes is None else "integers from 0 to classes - 1"
    if tf.executing_eagerly() and not tf.reduce_all(fine):
        raise ValueError(
            f"y_true must be {allowed}. Received: {flat[~fine][0].numpy()}"
        )
    count = tf.shape(rows)[0]
    checks = [
        tf.debugging.Assert(
            tf.size(flat) == count,
            ["y_true must have one label for each row. Received:", tf.size(flat)],
        ),
        tf.debugging.Assert(
            tf.reduce_all(fine), [f"y_true must be {allowed}. Received:", flat]
        ),
    ]
    with tf.control_dependencies(checks):
        # A reshape refuses another number of labels under XLA too.
        labels = tf.reshape(tf.where(fine, labels, 0), [count])
    return tf.ensure_shape(labels, rows.shape[:1]), tf.reduce_all(fine)


def nan_unless(condition: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`value` if the scalar condition holds, else NaN with zero gradient."""
    return tf.where(condition, value, tf.constant(float("nan"), value.dtype))


def classes_and_counts(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A number (N,) for each label's class, and how many samples (N,) have it.

    A class is numbered by its first place among the sorted labels: XLA, which Keras
    turns on by default on a GPU, has no tf.unique_with_counts.
    """
    ordered = tf.sort(labels)
    classes = tf.searchsorted(ordered, labels)
    return classes, tf.searchsorted(ordered, labels, side="right") - classes
