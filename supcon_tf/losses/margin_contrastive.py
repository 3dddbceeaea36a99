"""Margin-based contrastive loss."""

from typing import Any

import keras
import tensorflow as tf

from supcon_tf.losses.base import Batch, BatchLoss, Term, unit_pairs
from supcon_tf.losses.pairs.sums import row_sums
from supcon_tf.losses.pairs.tiles import Tensors, Tile


@keras.saving.register_keras_serializable(package="supcon_tf")
class MarginContrastiveLoss(BatchLoss):
    """Keeps pairs of one class above a cosine, pairs of two classes below another.

    A squared hinge on the cosine similarity `s`, as a support vector machine puts on
    its margin: pairs beyond their margin cost nothing, and each mean runs over the
    pairs that violate theirs, so that few hard pairs keep their weight:

    `L = mean_active max(0, m_p - s_ip)^2 + mean_active max(0, s_in - m_n)^2`

    This is our reading of the paper's "explicit constraints ... with well-defined
    margins": its formula is not known to us.
    Memory grows with N, not N x N; there is no second derivative.
    As a plain Keras loss on several replicas it compares the samples of each replica
    among themselves, and the values are averaged as Keras averages its own losses:
    another loss than that of the global batch, which `ContrastiveClassifier` computes.

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
    import numpy as np
    from supcon_tf.losses import MarginContrastiveLoss

    labels, embeddings = np.array([0, 0, 1, 1]), np.random.rand(4, 8)
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
            outputs, batch, self.positive_margin, self.negative_margin
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "positive_margin": self.positive_margin,
            "negative_margin": self.negative_margin,
            "name": self.name,
        }


def margin_contrastive_terms(
    anchors: tf.Tensor, batch: Batch, positive_margin: float, negative_margin: float
) -> tuple[Term, Term]:
    """Squared violations and their number, for positive and for negative pairs."""
    pairs, _ = unit_pairs(anchors, batch)
    violations = _Violations(positive_margin, negative_margin)
    positive, positives, negative, negatives = row_sums(violations, pairs)
    return _term(positive, positives), _term(negative, negatives)


class _Violations:
    """Squares of what a pair lacks or exceeds, and 1 for each pair that does so."""

    outputs = 4

    def __init__(self, positive_margin: float, negative_margin: float) -> None:
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin

    def values(self, tile: Tile) -> tuple[tf.Tensor, Tensors]:
        lacking = tf.minimum(tile.similarities - self.positive_margin, 0)
        exceeding = tf.maximum(tile.similarities - self.negative_margin, 0)
        violations = tile.exclude(tf.where(tile.same, lacking, exceeding), 0)
        return violations, (
            tf.square(tf.minimum(violations, 0)),
            tf.cast(violations < 0, violations.dtype),
            tf.square(tf.maximum(violations, 0)),
            tf.cast(violations > 0, violations.dtype),
        )

    def slope(self, kept: tf.Tensor, upstream: Tensors) -> tf.Tensor:
        lacking, exceeding = tf.minimum(kept, 0), tf.maximum(kept, 0)
        return 2 * (lacking * upstream[0] + exceeding * upstream[2])


def _term(squares: tf.Tensor, violations: tf.Tensor) -> Term:
    # The count of one anchor is exact in float32, that of all may not be.
    count = tf.reduce_sum(tf.cast(violations, tf.int64))
    return Term(tf.reduce_sum(squares), count)
