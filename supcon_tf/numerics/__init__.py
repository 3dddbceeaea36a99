"""What losses and models have in common: labels, and sums over blocks of rows."""
