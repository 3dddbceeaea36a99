"""Supervised contrastive and margin training for classifiers that are harder to fool.

Importing this package is cheap: TensorFlow is only loaded by the subpackages that
compute (`losses`, `attacks`, `models`, `data`, `training`, `evaluation`).
"""

__version__ = "0.1.0"
