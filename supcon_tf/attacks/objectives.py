"""What an attack maximises: pure functions of logits (N, classes) and labels (N,).

Each returns (N,) values in float32 or better, however narrow the logits.
"""

from dataclasses import dataclass

import tensorflow as tf

from supcon_tf.errors import UserError


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy, `logsumexp(z) - z_y`, in nats."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=_at_least_float32(logits)
    )


def margin(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """`max_{j != y} z_j - z_y`, above 0 exactly where another class wins.

    Reference:
        Carlini and Wagner 2017, arXiv 1608.04644, f_6 with the sign turned.
    """
    logits = _at_least_float32(logits)
    is_label = tf.one_hot(labels, tf.shape(logits)[1], on_value=True, off_value=False)
    others = tf.where(is_label, logits.dtype.min, logits)
    return tf.reduce_max(others, axis=1) - _label_logit(logits, labels)


def difference_of_logits_ratio(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """`-(z_y - max_{j != y} z_j) / (z_(1) - z_(3))`, z_(k) the k-th largest logit.

    Neither a shift nor a scale of the logits changes it. Needs three classes.

    Reference:
        Croce and Hein 2020, arXiv 2003.01690, equation 6.
    """
    logits = _at_least_float32(logits)
    largest = tf.math.top_k(logits, k=3).values
    return margin(logits, labels) / (largest[:, 0] - largest[:, 2] + 1e-12)


_VALUES = {
    "ce": cross_entropy,
    "cw": margin,
    "dlr": difference_of_logits_ratio,
}
LOSSES = tuple(_VALUES)


@dataclass(frozen=True)
class Objective:
    """The function to maximise, and what counts as success.

    Args:
        loss: "ce" (cross-entropy), "cw" (margin) or "dlr" (logits' ratio).
        targeted: whether labels are targets to hit instead of labels to miss.

    Raises:
        UserError: for an unknown loss, and for a targeted "dlr".
    """

    loss: str
    targeted: bool = False

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UserError(
                f"loss must be one of {', '.join(LOSSES)}. Received: {self.loss!r}"
            )
        if self.targeted and self.loss == "dlr":
            raise UserError(
                "a targeted attack needs loss='ce' or 'cw': the targeted DLR loss also "
                "reads the true label. Received: loss='dlr', targeted=True"
            )

    @property
    def fewest_classes(self) -> int:
        return 3 if self.loss == "dlr" else 2

    def values(
        self, logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tf.Tensor:
        """(N,) values; only an objective of two classes reads `targets`."""
        values = _VALUES[self.loss](logits, labels)
        return -values if self.targeted else values

    def fools(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Whether (N,) predictions miss the label or, if targeted, hit the target."""
        predictions = tf.argmax(logits, axis=1, output_type=labels.dtype)
        return predictions == labels if self.targeted else predictions != labels


def _at_least_float32(logits: tf.Tensor) -> tf.Tensor:
    return logits if logits.dtype == tf.float64 else tf.cast(logits, tf.float32)


def _label_logit(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.gather(logits, labels, axis=1, batch_dims=1)
