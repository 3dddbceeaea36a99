"""Threads that decode, which all of the process share."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

from supcon_tf.data.sources.quiet import no_warnings

_AT_ONCE = 1024

Result = TypeVar("Result")


def side_by_side(
    function: Callable[[Any], Result], items: Sequence[Any]
) -> Iterator[Result]:
    """`map` in threads, some at a time, so that a million images are no million jobs.

    Pillow releases the interpreter lock while it decodes.
    """
    for start in range(0, len(items), _AT_ONCE):
        yield from _threads().map(function, items[start : start + _AT_ONCE])


def all_places(work: Callable[[int], Any], count: int) -> None:
    """Calls `work` with 0, 1, ... count - 1, in threads that all share.

    Raises:
        Exception: what the earliest of the calls that failed has raised.
    """
    # Threads take turns at it: a future for each image would cost as much as a small
    # image itself.
    places = iter(range(count))
    errors: dict[int, Exception] = {}

    def take_turns() -> None:
        for place in places:
            try:
                work(place)
            except Exception as error:
                errors[place] = error
            if errors:
                return

    pool = _threads()
    with no_warnings():
        wait([pool.submit(take_turns) for _ in range(min(count, thread_count()))])
    if errors:
        raise errors[min(errors)]


def thread_count() -> int:
    """How many of them there are."""
    # One for each processor. Each more, which would read while these decode, was
    # measured to take a twentieth more processor time: all wait for Python's lock.
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return count or os.cpu_count() or 1


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), "decode")


# Threads don't outlive a fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)
