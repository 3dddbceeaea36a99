"""What an attack maximises: pure functions of logits (N, classes) and labels (N,).

Each returns (N,) values in float32 or better, however narrow the logits.
"""

from collections.abc import Callable

import tensorflow as tf

from supcon_tf.errors import UserError

LOSSES = ("ce", "cw", "dlr")


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


def make_objective(
    loss: str, *, targeted: bool
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function to maximise; for a targeted attack, labels are the targets.

    Raises:
        UserError: for an unknown loss, and for a targeted "dlr".
    """
    if loss not in LOSSES:
        raise UserError(f"loss must be one of {', '.join(LOSSES)}. Received: {loss!r}")
    if targeted and loss == "dlr":
        raise UserError(
            "a targeted attack needs loss='ce' or 'cw': the targeted DLR loss also "
            "reads the true label. Received: loss='dlr', targeted=True"
        )
    function = {
        "ce": cross_entropy,
        "cw": margin,
        "dlr": difference_of_logits_ratio,
    }[loss]
    if not targeted:
        return function
    return lambda logits, targets: -function(logits, targets)


def fools(logits: tf.Tensor, labels: tf.Tensor, *, targeted: bool) -> tf.Tensor:
    """Whether (N,) predictions miss the label or, if targeted, hit the target."""
    predictions = tf.argmax(logits, axis=1, output_type=labels.dtype)
    return predictions == labels if targeted else predictions != labels


def _at_least_float32(logits: tf.Tensor) -> tf.Tensor:
    return logits if logits.dtype == tf.float64 else tf.cast(logits, tf.float32)


def _label_logit(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.gather(logits, labels, axis=1, batch_dims=1)
