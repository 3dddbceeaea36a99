"""Supervised contrastive loss."""

from typing import Any

import keras
import tensorflow as tf

from supcon_tf.losses.base import Batch, BatchLoss, Term, unit_pairs
from supcon_tf.losses.pairs.log_sum_exp import ALL, POSITIVES, log_sum_exp
from supcon_tf.losses.pairs.tiles import Pairs


@keras.saving.register_keras_serializable(package="supcon_tf")
class SupervisedContrastiveLoss(BatchLoss):
    """Pulls embeddings of one class together and pushes the classes apart.

    With embeddings `z` scaled to unit length, temperature `t`, the other samples `a` of
    an anchor `i`, and its positives `p`, those of them that share its label:

    `out: L_i = -mean_p [z_i.z_p / t - log sum_a exp(z_i.z_a / t)]`

    `in: L_i = -log [mean_p exp(z_i.z_p / t) / sum_a exp(z_i.z_a / t)]`

    The loss is the mean of `L_i` over the anchors that have a positive; with none it is
    0 with zero gradient. At the start of training it is near `log(N - 1)`. Views are
    given as samples of their own, with their labels repeated.
    Memory grows with N, not N x N; there is no second derivative.
    As a plain Keras loss on several replicas it compares the samples of each replica
    among themselves, and the values are averaged as Keras averages its own losses:
    another loss than that of the global batch, which `ContrastiveClassifier` computes.

    Args:
        temperature: above 0.
        base_temperature: if given, the loss is multiplied by
            `temperature / base_temperature`.
        variant: `"out"` or `"in"`, the sum over positives outside or inside the
            logarithm.
        name: name of the loss.

    Call arguments: `y_true` (N,) or (N, 1) integers, `y_pred` (N, D) embeddings of any
    length.

    Raises:
        ValueError: for a temperature that is not above 0, or an unknown variant.

    Example:

    ```python
    import numpy as np
    from supcon_tf.losses import SupervisedContrastiveLoss

    labels, embeddings = np.array([0, 0, 1, 1]), np.random.rand(4, 8)
    loss = SupervisedContrastiveLoss(temperature=0.1)
    loss(labels, embeddings)
    ```

    Reference:
        Khosla et al. 2020, Supervised Contrastive Learning, equations 2 and 3
        (arXiv 2004.11362).
    """

    pairwise = True

    def __init__(
        self,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        variant: str = "out",
        name: str = "supervised_contrastive_loss",
    ) -> None:
        super().__init__(name=name, reduction=None)
        if not temperature > 0:
            raise ValueError(
                f"`temperature` must be above 0. Received: temperature={temperature}"
            )
        if base_temperature is not None and not base_temperature > 0:
            raise ValueError(
                "`base_temperature` must be above 0. "
                f"Received: base_temperature={base_temperature}"
            )
        if variant not in ("out", "in"):
            raise ValueError(
                f"`variant` must be 'out' or 'in'. Received: variant={variant!r}"
            )
        self.temperature = temperature
        self.base_temperature = base_temperature
        self.variant = variant

    def terms(
        self, labels: tf.Tensor, outputs: tf.Tensor, batch: Batch | None = None
    ) -> tuple[Term, ...]:
        batch = batch or Batch(outputs, labels)
        term = supervised_contrastive_term(
            labels, outputs, batch, self.temperature, self.variant
        )
        if self.base_temperature is None:
            return (term,)
        scale = self.temperature / self.base_temperature
        return (Term(term.total * scale, term.count),)

    def get_config(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "base_temperature": self.base_temperature,
            "variant": self.variant,
            "name": self.name,
        }


def supervised_contrastive_term(
    labels: tf.Tensor,
    anchors: tf.Tensor,
    batch: Batch,
    temperature: float,
    variant: str,
) -> Term:
    """Sum of `L_i` over the anchors (A, D) that have a positive, and their number."""
    pairs, counts = unit_pairs(anchors, batch)
    # Products of vectors of the length 1 / sqrt(t) are similarities over t.
    scale = temperature**-0.5
    scaled = pairs.anchors * scale
    others = scaled if pairs.symmetric else pairs.samples * scale
    pairs = pairs._replace(anchors=scaled, samples=others)
    positives = tf.cast(counts - 1, scaled.dtype)
    has_positive = positives > 0
    if variant == "out":
        (losses,) = log_sum_exp(pairs, 1 / temperature, (ALL,))
        pulls = _weighted_positive_sum(pairs, 1 / tf.maximum(positives, 1))
    else:
        log_all, log_positive = log_sum_exp(pairs, 1 / temperature, (ALL, POSITIVES))
        losses = log_all - log_positive + tf.math.log(tf.maximum(positives, 1))
        pulls = 0
    return Term(
        tf.reduce_sum(tf.where(has_positive, losses, 0)) - pulls,
        tf.math.count_nonzero(has_positive, dtype=tf.int64),
    )


def _weighted_positive_sum(pairs: Pairs, weights: tf.Tensor) -> tf.Tensor:
    """`sum_i w_i sum_p z_i.z_p`, by the sums of the classes instead of an (A, N) mask.

    `sum_p z_i.z_p = z_i.(sum_{y_a = y_i} z_a - z_i)`, where the sum has i itself. The
    weights `w` (A,) are one for each class. So in a batch that is its own contrast the
    pairs (i, p) and (p, i) weigh the same, and the gradient for `z_i` is
    `2 w_i sum_p z_p`, which needs no second sum over the classes.
    """

    @tf.custom_gradient
    def symmetric(vectors: tf.Tensor):  # type: ignore[no-untyped-def]
        others = _positives_added(vectors, vectors, pairs)
        weighted = weights[:, None] * others
        total = tf.reduce_sum(vectors * weighted)
        return total, lambda upstream: 2 * upstream * weighted

    if pairs.symmetric:
        return symmetric(pairs.anchors)
    others = _positives_added(pairs.anchors, pairs.samples, pairs)
    return tf.reduce_sum(weights * tf.reduce_sum(pairs.anchors * others, axis=1))


def _positives_added(anchors: tf.Tensor, samples: tf.Tensor, pairs: Pairs) -> tf.Tensor:
    count = tf.size(pairs.classes)
    class_sums = tf.math.unsorted_segment_sum(samples, pairs.classes, count)
    return tf.gather(class_sums, pairs.anchor_classes) - anchors
