"""Cross-entropy as a part of the training objective."""

import keras
import tensorflow as tf

from supcon_tf.losses.base import Batch, BatchLoss, Term


@keras.saving.register_keras_serializable(package="supcon_tf")
class CrossEntropyLoss(BatchLoss):
    """Mean softmax cross-entropy of logits (N, C) and integer labels."""

    def __init__(self, name: str = "cross_entropy") -> None:
        super().__init__(name=name, reduction=None)

    def terms(
        self, labels: tf.Tensor, outputs: tf.Tensor, batch: Batch | None = None
    ) -> tuple[Term, ...]:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        return (Term(tf.reduce_sum(losses), tf.size(losses, tf.int64)),)

    def get_config(self) -> dict[str, str]:
        return {"name": self.name}
