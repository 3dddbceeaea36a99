"""How hard a model is to fool, and whether that figure can be believed."""

from supcon_tf.evaluation.model import evaluate

__all__ = ["evaluate"]
