"""Keeping libraries from telling users what they can't act upon."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_errors(logger_name: str) -> Iterator[None]:
    """Within it, a logger says nothing below an error."""
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
