"""A training step, compiled for the strategy at hand."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from supcon_tf.distribution.replicas import sum_over_replicas
from supcon_tf.distribution.workers import Workers
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.training.averaging import WeightAverage


def training_step(
    model: ContrastiveClassifier,
    workers: Workers,
    average: WeightAverage | None = None,
) -> Callable[[tuple[tf.Tensor, tf.Tensor], bool], tuple[dict[str, float], bool]]:
    """A function that trains on this worker's rows of one global batch.

    It returns the metrics so far, over all workers, and whether any worker was asked
    (its second argument) to stop: all must stop after the same step. After each step
    `average` takes the new weights in.
    """
    strategy = workers.strategy
    local = strategy.num_replicas_in_sync // workers.count
    first = workers.index * local

    def on_replica(batch: Any, stop: tf.Tensor) -> tf.Tensor:
        model.train_step(batch)
        return sum_over_replicas(stop)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(batch: Any, stop: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        stops = strategy.run(on_replica, args=(batch, stop))
        if average is not None:
            average.update()
        metrics = {metric.name: metric.result() for metric in model.metrics}
        return metrics, strategy.experimental_local_results(stops)[0]

    def for_replicas(tensors: list[tf.Tensor]) -> Any:
        if strategy.num_replicas_in_sync == 1:
            return tensors[0]
        return strategy.experimental_distribute_values_from_function(
            lambda context: tensors[context.replica_id_in_sync_group - first]
        )

    def run(
        batch: tuple[tf.Tensor, tf.Tensor], stop: bool
    ) -> tuple[dict[str, float], bool]:
        parts = tuple(for_replicas(tf.split(tensor, local)) for tensor in batch)
        flags = for_replicas([tf.constant(float(stop))] * local)
        metrics, stops = step(parts, flags)
        return {name: float(value) for name, value in metrics.items()}, bool(stops)

    return run
