"""Multiclass hinge loss, the support vector machine on logits."""

from typing import Any

import keras
import tensorflow as tf

from supcon_tf.losses.base import Batch, BatchLoss, Term


@keras.saving.register_keras_serializable(package="supcon_tf")
class MulticlassHingeLoss(BatchLoss):
    """Asks the true logit to exceed all others by a margin.

    `max: L_i = max(0, margin + max_{j != y_i} f_ij - f_iy_i)` (Crammer-Singer)

    `sum: L_i = sum_{j != y_i} max(0, margin + f_ij - f_iy_i)` (Weston-Watkins)

    averaged over the batch. With weight decay on the classifier's kernel this is the
    objective of a soft-margin multiclass support vector machine.

    Args:
        margin: in logit units, above 0.
        variant: `"max"` or `"sum"`.
        name: name of the loss.

    Call arguments: `y_true` (N,) or (N, 1) integers, `y_pred` (N, C) logits, C >= 2.

    Raises:
        ValueError: for a margin that is not above 0, an unknown variant, or logits of
            fewer than two classes.

    Example:

    ```python
    import numpy as np
    from supcon_tf.losses import MulticlassHingeLoss

    labels, logits = np.array([0, 0, 1, 1]), np.random.rand(4, 3)
    loss = MulticlassHingeLoss(margin=1.0)
    loss(labels, logits)
    ```

    Reference:
        Crammer and Singer 2001, On the Algorithmic Implementation of Multiclass
        Kernel-based Vector Machines; Weston and Watkins 1999.
    """

    def __init__(
        self,
        margin: float = 1.0,
        variant: str = "max",
        name: str = "multiclass_hinge_loss",
    ) -> None:
        super().__init__(name=name, reduction=None)
        if not margin > 0:
            raise ValueError(f"`margin` must be above 0. Received: margin={margin}")
        if variant not in ("max", "sum"):
            raise ValueError(
                f"`variant` must be 'max' or 'sum'. Received: variant={variant!r}"
            )
        self.margin = margin
        self.variant = variant

    def terms(
        self, labels: tf.Tensor, outputs: tf.Tensor, batch: Batch | None = None
    ) -> tuple[Term, ...]:
        losses = multiclass_hinge(labels, outputs, self.margin, self.variant)
        return (Term(tf.reduce_sum(losses), tf.size(losses, tf.int64)),)

    def get_config(self) -> dict[str, Any]:
        return {"margin": self.margin, "variant": self.variant, "name": self.name}


def multiclass_hinge(
    labels: tf.Tensor, logits: tf.Tensor, margin: float, variant: str
) -> tf.Tensor:
    """The loss (N,) of each row of `logits` (N, C)."""
    if logits.shape[-1] is not None and logits.shape[-1] < 2:
        raise ValueError(
            f"logits must have two or more classes. Received: {logits.shape}"
        )
    true = tf.gather(logits, labels, batch_dims=1)
    is_true = tf.one_hot(labels, tf.shape(logits)[1], on_value=True, off_value=False)
    excess = margin + logits - true[:, None]
    # The hinge is never below 0, so 0 takes the true class out of max and sum alike.
    violations = tf.where(~is_true, tf.nn.relu(excess), 0)
    reduce = tf.reduce_max if variant == "max" else tf.reduce_sum
    return reduce(violations, axis=1)
