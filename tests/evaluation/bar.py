"""A progress bar that notes what it is told."""

from typing import ClassVar


class Bar:
    """In place of tqdm's; the newest is `Bar.made[-1]`."""

    made: ClassVar[list["Bar"]] = []

    def __init__(self, total, **_):
        self.total, self.done = total, 0
        self.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, amount=1):
        self.done += amount
