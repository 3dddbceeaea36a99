"""Figures of an evaluation: accuracies, their intervals, their tables."""
