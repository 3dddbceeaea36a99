"""Losses that shape the feature space; each stands alone as a Keras loss."""

from collections.abc import Mapping

from supcon_tf.losses.base import BatchLoss
from supcon_tf.losses.cross_entropy import CrossEntropyLoss
from supcon_tf.losses.margin_contrastive import MarginContrastiveLoss
from supcon_tf.losses.multiclass_hinge import MulticlassHingeLoss
from supcon_tf.losses.supervised_contrastive import SupervisedContrastiveLoss

__all__ = [
    "CrossEntropyLoss",
    "MarginContrastiveLoss",
    "MulticlassHingeLoss",
    "SupervisedContrastiveLoss",
]

# The parts that the loss of a stage may have, by name: the class, and of which option
# of `StageConfig` or `LossConfig` it takes each argument. Their weights are the options
# NAME_weight.
PARTS: Mapping[str, tuple[type[BatchLoss], Mapping[str, str]]] = {
    "cross_entropy": (CrossEntropyLoss, {"label_smoothing": "label_smoothing"}),
    "supcon": (
        SupervisedContrastiveLoss,
        {"temperature": "temperature", "variant": "supcon_variant"},
    ),
    "margin": (
        MarginContrastiveLoss,
        {"positive_margin": "positive_margin", "negative_margin": "negative_margin"},
    ),
    "hinge": (MulticlassHingeLoss, {"margin": "hinge_margin"}),
}
