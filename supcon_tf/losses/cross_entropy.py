"""Cross-entropy of softmax."""

import keras
import tensorflow as tf

from supcon_tf.losses.base import Batch, BatchLoss, Term


@keras.saving.register_keras_serializable(package="supcon_tf")
class CrossEntropyLoss(BatchLoss):
    """Mean softmax cross-entropy of logits and integer labels.

    Args:
        name: name of the loss.

    Call arguments: `y_true` (N,) or (N, 1) integers, `y_pred` (N, C) logits.

    Example:

    ```python
    import numpy as np

    loss = CrossEntropyLoss()
    loss(np.array([0, 2]), np.random.rand(2, 3))
    ```
    """

    def __init__(self, name: str = "cross_entropy") -> None:
        super().__init__(name=name, reduction=None)

    def terms(
        self, labels: tf.Tensor, outputs: tf.Tensor, batch: Batch | None = None
    ) -> tuple[Term, ...]:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        return (Term(tf.reduce_sum(losses), tf.size(losses, tf.int64)),)

    def get_config(self) -> dict[str, str]:
        return {"name": self.name}
