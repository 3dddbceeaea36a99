"""The network: ResNet-18, heads, and how they are trained together."""

from supcon_tf.models.contrastive_classifier import ContrastiveClassifier
from supcon_tf.models.loading import load_model
from supcon_tf.models.resnet import resnet18

__all__ = ["ContrastiveClassifier", "load_model", "resnet18"]
