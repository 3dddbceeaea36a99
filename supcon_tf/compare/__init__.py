"""Runs side by side: one table, one figure, one report."""
