"""The one error that a command turns into a line and exit code 2."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that says what, and what is allowed."""


class RunError(RuntimeError):
    """A run that can't go on through no mistake in its flags: one line, exit code 1."""
