"""Dataclass fields that know their help text and what they allow.

A field made with `option` is written once and serves three readers: the dataclass
(default), the command line (help) and the validation (allowed values).
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from supcon_tf.errors import UserError


@dataclass(frozen=True)
class Allowed:
    """What a field accepts, what is said of it in `--help`, and what it changes.

    `changes` is "weights" (what training gives), "evaluation" (how that is measured) or
    "nothing" that another run would see. With `path` it names a file or a folder: `~`
    on the command line is the home folder.
    """

    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    changes: str = "weights"
    path: bool = False

    def describe(self) -> str:
        """The allowed values in words, for an error or a help text."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        bounds = [
            (self.minimum, "at least"),
            (self.above, "above"),
            (self.maximum, "at most"),
            (self.below, "below"),
        ]
        return " and ".join(
            f"{word} {plain_number(bound)}"
            for bound, word in bounds
            if bound is not None
        )

    def accepts(self, value: Any) -> bool:
        """Whether one value (an element, for a field that holds several) is allowed."""
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return (
            math.isfinite(value)
            and (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.maximum is None or value <= self.maximum)
            and (self.below is None or value < self.below)
        )


class Setting(NamedTuple):
    """An option as a command line knows it."""

    flag: str
    value: Any
    allowed: Allowed


class Section:
    """A part of a config, which validates itself.

    Raises:
        UserError: on construction, if a value is not allowed or two contradict.
    """

    def __post_init__(self) -> None:
        validate_options(self)


def plain_number(value: Any) -> str:
    """A number with all its digits, but without a `.0` that says nothing."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def option(default: Any, help: str, **allowed: Any) -> Any:
    """A dataclass field with its help text and its allowed values."""
    return dataclasses.field(
        default=default, metadata={"allowed": Allowed(help, **allowed)}
    )


def from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON holds them, which has lists where they have tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }


def options_of(section: Any) -> Iterator[tuple[dataclasses.Field, Allowed]]:
    """The fields of a dataclass (or an instance) that were made with `option`."""
    for field in dataclasses.fields(section):
        if "allowed" in field.metadata:
            yield field, field.metadata["allowed"]


def validate_options(
    section: Any, prefix: str = "", values: Mapping[str, Any] | None = None
) -> None:
    """Checks the type and the range of each option of `section`.

    Args:
        section: an instance, or the dataclass.
        prefix: of the flags that its options have.
        values: of some of its options; those that it has if None.

    Raises:
        UserError: naming the flag (with `prefix`), the value and what is allowed.
    """
    given = vars(section) if values is None else values
    for field, allowed in options_of(section):
        if field.name not in given:
            continue
        value = given[field.name]
        flag = f"--{prefix}{field.name}"
        several = isinstance(field.default, tuple)
        default: Any = field.default
        kind: Any = type(default[0] if several else default)
        if kind is float:
            kind = (int, float)
        if several:
            _check_tuple(flag, value)
        for item in value if several else (value,):
            right_type = isinstance(item, kind) and (
                kind is bool or not isinstance(item, bool)
            )
            if not (right_type and allowed.accepts(item)):
                wanted = allowed.describe() or f"of type {type(field.default).__name__}"
                if kind is int and not right_type:
                    wanted = "a whole number"
                raise UserError(f"{flag} must be {wanted}. Received: {item!r}")


def _check_tuple(flag: str, value: Any) -> None:
    if not isinstance(value, tuple):
        raise UserError(f"{flag} must be a tuple (a list in JSON). Received: {value!r}")
    if not value:
        raise UserError(f"{flag} must not be empty. Received: ()")
    if any(item in value[:position] for position, item in enumerate(value)):
        raise UserError(f"{flag} must hold each value once. Received: {value!r}")
