"""Deployment from a checkout: `python -m export` is `python -m supcon_tf.export`."""
