"""What losses and models have in common: what counts as a label."""
