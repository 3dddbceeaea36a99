"""What other processes run for test_benchmarks.py."""

import os
from collections.abc import Callable


def environment(name: str) -> Callable[[], list]:
    """Turns that count themselves and tell an environment variable."""
    turns: list[int] = []

    def turn() -> list:
        print("a library's message")
        turns.append(len(turns) + 1)
        return [turns[-1], os.environ.get(name)]

    return turn


def missing() -> None:
    raise ImportError("no such peer")


def failing() -> Callable[[], None]:
    def turn() -> None:
        raise ValueError

    return turn
