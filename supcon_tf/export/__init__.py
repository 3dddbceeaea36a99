"""Deployment: a trained run as a SavedModel that serves, verified before it counts."""
