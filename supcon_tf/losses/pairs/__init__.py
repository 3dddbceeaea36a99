"""Sums over the pairs of a batch, which the contrastive losses share."""
