"""Figures for reports, and TensorBoard's projector."""
