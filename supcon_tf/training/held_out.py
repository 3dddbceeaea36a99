"""What images that a stage isn't trained on say of its model after each epoch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from supcon_tf.config import Config
from supcon_tf.data import Split
from supcon_tf.data.batches import evaluation_batches
from supcon_tf.data.pipeline import batches_of
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.training.selection import BestEpoch, robust_accuracy


class HeldOutImages:
    """Judges a model, as it is whenever it is asked.

    Args:
        model: of the stage.
        images: that it isn't trained on; None if there are none, or for this worker.
        config: of the run.
        best: takes note of the robust accuracy; None without an adversary.
    """

    def __init__(
        self,
        model: ContrastiveClassifier,
        images: Split | None,
        config: Config,
        best: BestEpoch | None,
    ) -> None:
        self._validate = validation(model, images, config.batch_size)
        self._best, self._withstood = best, None
        if best is not None and images is not None:
            epsilon = config.adversary.adversary_epsilon / 255
            seed = config.data.split_seed
            self._withstood = robust_accuracy(model, images, epsilon, seed)

    def judge(self, epoch: int, after_batch: Callable[[], None]) -> dict[str, float]:
        """Metrics of the epoch (from 1); `after_batch` is called after every batch."""
        found = self._validate(after_batch)
        if self._best is not None and self._withstood is not None:
            accuracy = self._withstood(after_batch)
            found["robust_accuracy"] = accuracy
            self._best.record(epoch, accuracy)
        return found


def validation(
    model: ContrastiveClassifier, split: Split | None, batch_size: int
) -> Callable[[Callable[[], None]], dict[str, float]]:
    """A function that returns accuracy and cross-entropy on held-out images.

    It calls what it is given after every batch.
    """
    if split is None:
        return lambda _: {}

    @tf.function(reduce_retracing=True, autograph=False)
    def outcomes(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.argmax(logits, axis=1) == labels, losses

    def run(after_batch: Callable[[], None]) -> dict[str, float]:
        parts = []
        for batch in batches_of(evaluation_batches(split, batch_size), split):
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
