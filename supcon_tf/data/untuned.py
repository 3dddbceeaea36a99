"""Pipelines whose numbers of threads and batches TensorFlow leaves as they are."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A data set that TensorFlow does not tune while it is read.

    Where TensorFlow (2.21) tunes, the end of a data set may wait until it would have
    tuned again: for as long as it took to read it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
