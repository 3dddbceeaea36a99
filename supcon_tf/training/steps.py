"""A training step and a validation pass, compiled for the strategy at hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.data import Split
from supcon_tf.data.pipeline import evaluation_batches
from supcon_tf.models import ContrastiveClassifier


def training_step(
    model: ContrastiveClassifier, strategy: tf.distribute.Strategy
) -> Callable[[tuple[tf.Tensor, tf.Tensor]], dict[str, float]]:
    """A function that trains on one global batch and returns the metrics so far."""
    replicas = strategy.num_replicas_in_sync

    @tf.function(reduce_retracing=True)
    def step(batch: Any) -> dict[str, tf.Tensor]:
        strategy.run(model.train_step, args=(batch,))
        return {metric.name: metric.result() for metric in model.metrics}

    def split(batch: tuple[tf.Tensor, tf.Tensor]) -> Any:
        if replicas == 1:
            return batch
        parts = [tf.split(tensor, replicas) for tensor in batch]
        return tuple(
            strategy.experimental_distribute_values_from_function(
                lambda context, part=part: part[context.replica_id_in_sync_group]
            )
            for part in parts
        )

    def run(batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, float]:
        return {name: float(value) for name, value in step(split(batch)).items()}

    return run


def validation(
    model: ContrastiveClassifier, split: Split | None, batch_size: int
) -> Callable[[Callable[[], None]], dict[str, float]]:
    """A function that returns accuracy and cross-entropy on held-out images.

    It calls what it is given after every batch.
    """
    if split is None:
        return lambda _: {}

    @tf.function(reduce_retracing=True)
    def outcomes(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.argmax(logits, axis=1) == labels, losses

    def run(after_batch: Callable[[], None]) -> dict[str, float]:
        parts = []
        for batch in evaluation_batches(split, batch_size):
            parts.append(outcomes(*batch))
            after_batch()
        correct, losses = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        return {
            "val_accuracy": float(correct.mean()),
            "val_cross_entropy": float(losses.mean()),
        }

    return run
