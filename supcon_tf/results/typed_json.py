"""JSON read into the frozen dataclasses that describe it, and written from them."""

import dataclasses
import reprlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from supcon_tf.errors import UserError

# What JSON can hold.
Json = bool | int | float | str | None | Sequence["Json"] | Mapping[str, "Json"]
T = TypeVar("T")
_WORDS = {bool: "true or false", int: "a whole number", str: "a text"}
_LEFT_OUT = "left out if None"


def left_out_if_none() -> Any:
    """A dataclass field that JSON has no key for while it is None."""
    return dataclasses.field(default=None, metadata={_LEFT_OUT: True})


def read_as(kind: type[T], value: Any, where: str = "") -> T:
    """What `json.loads` gave, as an object of a dataclass.

    A field with a default may be missing; keys that the dataclass does not have are
    passed over. Numbers stay as they are, so that they are written as they were.

    Args:
        kind: a dataclass of bool, int, float, str, Mapping, other dataclasses, tuples
            of these, or one of them or None.
        value: of JSON.
        where: it was found, for the message.

    Raises:
        UserError: naming the place, what it must be, and what it is.
    """
    return _read(kind, value, where)


def plain_json(record: Any) -> dict[str, Json]:
    """A dataclass as `json.dumps` takes it, in the order of its fields."""
    return {
        field.name: _plain(value)
        for field in dataclasses.fields(record)
        if (value := getattr(record, field.name)) is not None
        or _LEFT_OUT not in field.metadata
    }


def _plain(value: Any) -> Json:
    if dataclasses.is_dataclass(value):
        return plain_json(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        (kind,) = (part for part in parts if part is not types.NoneType)
        return None if value is None else _read(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if origin is tuple:
        return _read_tuple(parts, value, where)
    if origin is Mapping:
        return _of_type(dict, value, where, "an object")
    if kind is float:
        return _of_type((int, float), value, where, "a number")
    return _of_type(kind, value, where, _WORDS[kind])


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    _of_type(dict, value, where, "an object")
    hints = typing.get_type_hints(kind)
    given = {}
    for field in dataclasses.fields(kind):
        inner = f"{where}.{field.name}" if where else field.name
        if field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name], inner)
        elif field.default is dataclasses.MISSING:
            raise UserError(f"{inner} is missing")
    return kind(**given)


def _read_tuple(parts: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _of_type(list, value, where, "a list")
    kinds = parts
    if parts[-1] is Ellipsis:
        kinds = (parts[0],) * len(value)
    if len(kinds) != len(value):
        _refuse(value, where, f"a list of {len(kinds)}")
    return tuple(
        _read(kind, item, f"{where}[{place}]")
        for place, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _of_type(kind: Any, value: Any, where: str, wanted: str) -> Any:
    # In Python, but not in JSON, a truth value is a number.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        _refuse(value, where, wanted)
    return value


def _refuse(value: Any, where: str, wanted: str) -> typing.NoReturn:
    raise UserError(
        f"{where or 'it'} must be {wanted}. Received: {reprlib.repr(value)}"
    )
