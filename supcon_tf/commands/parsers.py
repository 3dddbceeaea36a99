"""Flags by the type of their option: what they read, and what they say of a mistake.

absl puts words of its own around a `ValueError` of a parser, and none around an error
of its own kind.
"""

import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from supcon_tf.config.options import plain_number


def define_flag(
    values: flags.FlagValues, name: str, default: Any, text: str, path: bool = False
) -> None:
    """Defines a flag whose values have the type of its default.

    Args:
        values: the flags that it is one of.
        name: without the hyphens.
        default: a bool, int, float or str, or a tuple of floats or strs.
        text: for `--help`.
        path: whether it names a file or a folder, perhaps in the home folder (~).
    """
    parser = Path(name) if path else _parser_for(default)(name)
    boolean = isinstance(default, bool)
    serializer = None if boolean else _AsTyped()
    flag: flags.Flag = flags.Flag(
        parser, serializer, name, default, text, boolean=boolean
    )
    flags.DEFINE_flag(flag, values)


class _OwnWords(flags.ArgumentParser):
    """A parser that says in our words what its flag must be."""

    wanted = ""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def parse(self, argument: Any) -> Any:
        try:
            return super().parse(argument)
        except ValueError:
            raise self.error(f"be {self.wanted}", argument) from None

    def error(self, wanted: str, received: str) -> flags.IllegalFlagValueError:
        """What a value is refused with."""
        return flags.IllegalFlagValueError(
            f"--{self.name} must {wanted}. Received: {received!r}"
        )


class WholeNumber(_OwnWords, flags.IntegerParser):
    wanted = "a whole number"


class Number(_OwnWords, flags.FloatParser):
    wanted = "a number"


class TrueOrFalse(_OwnWords, flags.BooleanParser):
    wanted = "true or false"


class Text(_OwnWords):
    """Any text."""


class Path(_OwnWords):
    """The name of a file or folder; shells leave the ~ of --name=~/folder as it is."""

    def parse(self, argument: str) -> str:
        path = os.path.expanduser(argument)
        if path.startswith("~"):
            known = "begin with a home folder that is known, or with ./~"
            raise self.error(known, argument)
        try:
            path.encode()
        except UnicodeEncodeError:
            # It could not be written into flags.txt.
            raise self.error("be a path in UTF-8", argument) from None
        return path

    def flag_type(self) -> str:
        return "path"


class Texts(_OwnWords):
    """One or more texts, separated by commas."""

    wanted = "values separated by commas"

    def parse(self, argument: str | Sequence[Any]) -> tuple[Any, ...]:
        if not isinstance(argument, str):
            return tuple(argument)
        try:
            items = flags.ListParser().parse(argument)
        except ValueError:
            raise self.error(f"be {self.wanted}", argument) from None
        if not items:
            raise self.error("not be empty", argument)
        return self.convert(items, argument)

    def convert(self, items: Sequence[str], argument: str) -> tuple[Any, ...]:
        return tuple(items)


class Numbers(Texts):
    """One or more numbers, separated by commas."""

    def convert(self, items: Sequence[str], argument: str) -> tuple[Any, ...]:
        try:
            return tuple(map(float, items))
        except ValueError:
            raise flags.IllegalFlagValueError(
                f"--{self.name} must be numbers separated by commas. "
                f"Received: {argument}"
            ) from None


def _parser_for(default: Any) -> type[_OwnWords]:
    if isinstance(default, tuple):
        return Numbers if isinstance(default[0], float) else Texts
    # A bool is an int as well.
    return {bool: TrueOrFalse, int: WholeNumber, float: Number, str: Text}[
        type(default)
    ]


class _AsTyped(flags.ArgumentSerializer):
    """A value as a command line has it."""

    def serialize(self, value: Any) -> str:
        items = value if isinstance(value, tuple) else (value,)
        return ",".join(map(plain_number, items))
