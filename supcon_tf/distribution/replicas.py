"""What the replicas of a step tell each other."""

from typing import NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """All samples that anchors are compared with.

    `embeddings` (N, D), `labels` (N,), and `offset`, the row of the first anchor: a
    replica takes its own samples as anchors among the samples of all replicas.
    """

    embeddings: tf.Tensor
    labels: tf.Tensor
    offset: tf.Tensor | int = 0


def num_replicas() -> int:
    """Replicas of the current strategy; 1 without one."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_index() -> tf.Tensor | int:
    """This replica's place among all; 0 without a strategy."""
    if num_replicas() == 1:
        return 0
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def gather(tensor: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in replica order; differentiable.

    Each replica writes its rows into its place among zeros, and the sum over replicas
    holds them all. Unlike `all_gather` this works on every strategy. The gradient of
    the sum is the sum of the gradients, so a row receives what each replica's loss says
    of it. All replicas must hold equally many rows.
    """
    replicas = num_replicas()
    if replicas == 1:
        return tensor
    context = tf.distribute.get_replica_context()
    rows = tf.shape(tensor)[0]
    place = tf.concat([[replicas], tf.shape(tensor)], axis=0)
    everyone = tf.scatter_nd([[context.replica_id_in_sync_group]], tensor[None], place)
    everyone = sum_over_replicas(everyone)
    shape = tf.concat([[replicas * rows], tf.shape(tensor)[1:]], axis=0)
    known = tensor.shape[0]
    count = None if known is None else replicas * known
    return tf.ensure_shape(
        tf.reshape(everyone, shape), [count, *tensor.shape[1:].as_list()]
    )


def global_batch(embeddings: tf.Tensor, labels: tf.Tensor) -> Batch:
    """The samples of all replicas, for this replica's anchors to be compared with."""
    if num_replicas() == 1:
        return Batch(embeddings, labels)
    offset = replica_index() * tf.shape(labels)[0]
    return Batch(gather(embeddings), gather(labels), offset)


def sum_over_replicas(tensor: tf.Tensor) -> tf.Tensor:
    """The sum of a tensor over all replicas; differentiable."""
    if num_replicas() == 1:
        return tensor
    context = tf.distribute.get_replica_context()
    # A function's argument lies on no device, and MultiWorkerMirroredStrategy then
    # knows no place for the sum.
    tensor = tf.identity(tensor)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def refuse_uneven_replicas(labels: tf.Tensor) -> tf.Tensor:
    """`labels` (N,), after a check that all replicas hold equally many.

    Raises:
        tf.errors.InvalidArgumentError: on every replica, when the step is run.
    """
    if num_replicas() == 1:
        return labels
    count = tf.cast(tf.size(labels), tf.float32)
    total, squares = tf.unstack(sum_over_replicas(tf.stack([count, count**2])))
    # By Cauchy and Schwarz equal if and only if all counts are: the same verdict
    # everywhere, so that no replica is left waiting for another.
    check = tf.debugging.Assert(
        num_replicas() * squares == total**2,
        [
            "all replicas must hold equally many images: choose a batch_size that "
            "their number divides, and drop the remainder (drop_remainder=True). "
            "Received on one:",
            count,
        ],
    )
    with tf.control_dependencies([check]):
        return tf.identity(labels)
