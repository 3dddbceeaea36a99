"""How hard a model is to fool, and whether that figure can be believed."""

from supcon_tf.evaluation.evaluate import evaluate

__all__ = ["evaluate"]
