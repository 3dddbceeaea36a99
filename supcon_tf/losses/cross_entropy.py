"""Cross-entropy of softmax."""

from typing import Any

import keras
import tensorflow as tf

from supcon_tf.losses.base import Batch, BatchLoss, Term


@keras.saving.register_keras_serializable(package="supcon_tf")
class CrossEntropyLoss(BatchLoss):
    """Mean softmax cross-entropy of logits and integer labels.

    Args:
        label_smoothing: share of each label that is spread evenly over all C classes,
            the label's own among them, as in Keras.
        name: name of the loss.

    Raises:
        ValueError: unless `0 <= label_smoothing < 1`.

    Call arguments: `y_true` (N,) or (N, 1) integers, `y_pred` (N, C) logits.

    Example:

    ```python
    import numpy as np
    from supcon_tf.losses import CrossEntropyLoss

    loss = CrossEntropyLoss()
    loss(np.array([0, 2]), np.random.rand(2, 3))
    ```

    Reference:
        Smoothing: Szegedy et al. 2016, arXiv 1512.00567, section 7.
    """

    def __init__(
        self, label_smoothing: float = 0.0, name: str = "cross_entropy"
    ) -> None:
        super().__init__(name=name, reduction=None)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be in [0, 1). Received: {label_smoothing}"
            )
        self.label_smoothing = label_smoothing

    def terms(
        self, labels: tf.Tensor, outputs: tf.Tensor, batch: Batch | None = None
    ) -> tuple[Term, ...]:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        if self.label_smoothing:
            # The mean over classes j of -log p_j.
            evenly = tf.reduce_logsumexp(outputs, axis=1) - tf.reduce_mean(outputs, 1)
            losses += self.label_smoothing * (evenly - losses)
        return (Term(tf.reduce_sum(losses), tf.size(losses, tf.int64)),)

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, "name": self.name}
