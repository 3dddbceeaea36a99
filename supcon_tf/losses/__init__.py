"""Losses that shape the feature space; each stands alone as a Keras loss."""

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
