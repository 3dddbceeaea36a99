"""Margin-based contrastive loss."""

from typing import Any

import keras
import tensorflow as tf

from supcon_tf.losses.base import Batch, BatchLoss, Term, self_pairs, unit_length


@keras.saving.register_keras_serializable(package="supcon_tf")
class MarginContrastiveLoss(BatchLoss):
    """Keeps pairs of one class above a cosine, pairs of two classes below another.

    A squared hinge on the cosine similarity `s`, as a support vector machine puts on
    its margin: pairs beyond their margin cost nothing, and each mean runs over the
    pairs that violate theirs, so that few hard pairs keep their weight:

    `L = mean_active max(0, m_p - s_ip)^2 + mean_active max(0, s_in - m_n)^2`

    This is our reading of the paper's "explicit constraints ... with well-defined
    margins": its formula is not known to us.

    Args:
        positive_margin: `m_p`, the cosine that pairs of one class should exceed.
        negative_margin: `m_n`, the cosine that pairs of two classes should stay below.
        name: name of the loss.

    Call arguments: `y_true` (N,) or (N, 1) integers, `y_pred` (N, D) embeddings of any
    length.

    Raises:
        ValueError: unless `-1 <= negative_margin < positive_margin <= 1`.

    Example:

    ```python
    loss = MarginContrastiveLoss(positive_margin=0.8, negative_margin=0.2)
    loss(labels, embeddings)
    ```

    Reference:
        Wang, Nayyem and Rakin 2024 (arXiv 2412.19747) for the idea; Hadsell et al.
        2006 for the hinge on pairs.
    """

    pairwise = True

    def __init__(
        self,
        positive_margin: float = 0.8,
        negative_margin: float = 0.2,
        name: str = "margin_contrastive_loss",
    ) -> None:
        super().__init__(name=name, reduction=None)
        if not -1 <= negative_margin < positive_margin <= 1:
            raise ValueError(
                "margins must satisfy -1 <= negative_margin < positive_margin <= 1. "
                f"Received: positive_margin={positive_margin}, "
                f"negative_margin={negative_margin}"
            )
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin

    def terms(
        self, labels: tf.Tensor, outputs: tf.Tensor, batch: Batch | None = None
    ) -> tuple[Term, ...]:
        batch = batch or Batch(outputs, labels)
        return margin_contrastive_terms(
            labels, outputs, batch, self.positive_margin, self.negative_margin
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "positive_margin": self.positive_margin,
            "negative_margin": self.negative_margin,
            "name": self.name,
        }


def margin_contrastive_terms(
    labels: tf.Tensor,
    anchors: tf.Tensor,
    batch: Batch,
    positive_margin: float,
    negative_margin: float,
) -> tuple[Term, Term]:
    """Squared violations and their number, for positive and for negative pairs."""
    similarities = tf.matmul(
        unit_length(anchors), unit_length(batch.embeddings), transpose_b=True
    )
    same = labels[:, None] == batch.labels[None, :]
    positive = same & ~self_pairs(anchors, batch)
    return (
        _violations(positive, positive_margin - similarities),
        _violations(~same, similarities - negative_margin),
    )


def _violations(pairs: tf.Tensor, excess: tf.Tensor) -> Term:
    violations = tf.where(pairs, tf.nn.relu(excess), 0)
    return Term(
        tf.reduce_sum(tf.square(violations)),
        tf.math.count_nonzero(violations, dtype=tf.int64),
    )
