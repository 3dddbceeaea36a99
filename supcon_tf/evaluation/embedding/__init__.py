"""How well classes lie apart in the space that the classifier reads."""
