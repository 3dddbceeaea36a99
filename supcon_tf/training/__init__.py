"""Stages, schedules, checkpoints: how a run is trained and resumed."""
