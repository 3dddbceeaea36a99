"""The errors that a command turns into one line and an exit code."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that says what, and what is allowed."""


class RunError(RuntimeError):
    """A run that can't go on through no mistake in its flags: one line, exit code 1."""
