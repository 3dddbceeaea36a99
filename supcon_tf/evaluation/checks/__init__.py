"""Whether a robust accuracy can be believed."""
