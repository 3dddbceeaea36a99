"""The command `python -m supcon_tf.train`, which needs no checkout."""
