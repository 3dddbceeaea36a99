"""Runs over a grid of flags, one after the other, resumable, then compared."""
