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
    return tf.reduce_max(others, axis=1) - _logit_of(logits, labels)


def difference_of_logits_ratio(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """`-(z_y - max_{j != y} z_j) / (z_(1) - z_(3))`, z_(k) the k-th largest logit.

    Neither a shift nor a scale of the logits changes it. Needs three classes.

    Reference:
        Croce and Hein 2020, arXiv 2003.01690, equation 6.
    """
    logits = _at_least_float32(logits)
    largest = tf.math.top_k(logits, k=3).values
    return margin(logits, labels) / (largest[:, 0] - largest[:, 2] + 1e-12)


def margin_to_target(
    logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
    """`z_t - z_y`, above 0 where the target t wins over the label."""
    logits = _at_least_float32(logits)
    return _logit_of(logits, targets) - _logit_of(logits, labels)


def difference_of_logits_ratio_to_target(
    logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
    """`-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)`. Needs four classes.

    Reference:
        Croce and Hein 2020, arXiv 2003.01690, equation 7.
    """
    logits = _at_least_float32(logits)
    largest = tf.math.top_k(logits, k=4).values
    spread = largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2 + 1e-12
    return margin_to_target(logits, labels, targets) / spread


_OF_LABEL = {
    "ce": cross_entropy,
    "cw": margin,
    "dlr": difference_of_logits_ratio,
}
_OF_LABEL_AND_TARGET = {
    "cw_targeted": margin_to_target,
    "dlr_targeted": difference_of_logits_ratio_to_target,
}
LOSSES = (*_OF_LABEL, *_OF_LABEL_AND_TARGET)
_FEWEST_CLASSES = {"dlr": 3, "dlr_targeted": 4}


@dataclass(frozen=True)
class Objective:
    """The function to maximise, and what counts as success.

    Args:
        loss: "ce" (cross-entropy), "cw" (margin) or "dlr" (logits' ratio);
            "cw_targeted" or "dlr_targeted", which compare labels and targets.
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
        if self.targeted and self.loss not in ("ce", "cw"):
            raise UserError(
                "a targeted attack needs loss='ce' or 'cw': the targeted DLR loss also "
                f"reads the true label. Received: loss={self.loss!r}, targeted=True"
            )

    def check_classes(self, classes: int) -> None:
        """Refuses a number of classes that is too small for the loss."""
        fewest = _FEWEST_CLASSES.get(self.loss, 2)
        if classes < fewest:
            raise UserError(
                f"loss={self.loss!r} needs at least {fewest} classes. "
                f"Received: {classes}"
            )

    def values(
        self, logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tf.Tensor:
        """(N,) values; only an objective of two classes reads `targets`."""
        if self.loss in _OF_LABEL_AND_TARGET:
            return _OF_LABEL_AND_TARGET[self.loss](logits, labels, targets)
        values = _OF_LABEL[self.loss](logits, labels)
        return -values if self.targeted else values

    def fools(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Whether (N,) predictions miss the label or, if targeted, hit the target."""
        predictions = tf.argmax(logits, axis=1, output_type=labels.dtype)
        return predictions == labels if self.targeted else predictions != labels


def _at_least_float32(logits: tf.Tensor) -> tf.Tensor:
    return logits if logits.dtype == tf.float64 else tf.cast(logits, tf.float32)


def _logit_of(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    return tf.gather(logits, classes, axis=1, batch_dims=1)
