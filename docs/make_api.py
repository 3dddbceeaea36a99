"""Writes docs/api.md: every public name with its signature and first paragraph.

    python docs/make_api.py

A name is public if its package re-exports it (`__all__`); the classes of `ALSO` are met
by those who use these.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("api.md")
sys.path.insert(0, str(FILE.parents[1]))
PACKAGES = ("losses", "attacks", "models", "data", "evaluation", "config")
ALSO = {
    "supcon_tf.attacks": (("supcon_tf.attacks.attack", "Attack"),),
    "supcon_tf.training": (("supcon_tf.training.adversary", "Adversary"),),
}
HEAD = """# API

What can be imported and stays: each name with its signature and the first paragraph of
its docstring, which says more (`help(...)`) and has an example. Written by
`python docs/make_api.py`.
"""
WIDTH = 88


def api() -> str:
    """The text of docs/api.md."""
    parts = [HEAD]
    for package in (*(f"supcon_tf.{name}" for name in PACKAGES), "supcon_tf.training"):
        module = importlib.import_module(package)
        parts.append(f"## {package}\n\n{_paragraph(module)}\n")
        parts += [entry(name, thing) for name, thing in public_names(package)]
    return "\n".join(parts)


def public_names(package: str) -> Iterator[tuple[str, Any]]:
    """Name and object of all that a package offers."""
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        yield name, getattr(module, name)
    for place, name in ALSO.get(package, ()):
        yield f"{place}.{name}", getattr(importlib.import_module(place), name)


def entry(name: str, thing: Any) -> str:
    """The part on one name."""
    if not callable(thing):
        return f"### {name}\n\n```python\n{_constant(thing)}\n```\n"
    short = name.rpartition(".")[2]
    code = _call(short, _parameters(thing), _returned(thing))
    text = f"### {name}\n\n```python\n{code}\n```\n\n{_paragraph(thing)}\n"
    methods = list(_methods(thing)) if inspect.isclass(thing) else []
    return text + ("\n" + "\n".join(methods) + "\n" if methods else "")


def _methods(kind: type) -> Iterator[str]:
    """A line for each public method and property of a class itself."""
    for name, member in vars(kind).items():
        described = getattr(member, "__func__", getattr(member, "fget", member))
        own = inspect.isfunction(described) and described.__doc__
        if not own or (name.startswith("_") and name != "__call__"):
            continue
        code = name
        if not isinstance(member, property):
            code = f"{name}({', '.join(_names(_arguments(described)))})"
        yield f"- `{code}`: {_paragraph(described)}"


def _parameters(thing: Any) -> list[str]:
    if dataclasses.is_dataclass(thing):
        return [
            f"{field.name}: {_type(field.type)}{_default(field)}"
            for field in dataclasses.fields(thing)
            if field.init
        ]
    if inspect.isfunction(thing):
        return list(_described(_arguments(thing)))
    for kind in thing.__mro__:
        if kind.__module__.startswith("supcon_tf") and "__init__" in vars(kind):
            return list(_described(_arguments(kind.__init__)))[1:]
    return []


def _returned(thing: Any) -> str:
    if not inspect.isfunction(thing):
        return ""
    returns = _definition(thing).returns
    return f" -> {ast.unparse(returns)}" if returns else ""


def _definition(function: Any) -> ast.FunctionDef:
    # From the source, which has defaults and types as they were written.
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    return definition


def _arguments(function: Any) -> ast.arguments:
    return _definition(function).args


def _described(arguments: ast.arguments) -> Iterator[str]:
    """`name: type = default` of each argument, and the lone `*`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = len(positional) - len(arguments.defaults)
    defaults = [*[None] * missing, *arguments.defaults]
    for argument, default in zip(positional, defaults, strict=True):
        yield _argument(argument, default)
    if arguments.vararg:
        yield "*" + _argument(arguments.vararg)
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(
        arguments.kwonlyargs, arguments.kw_defaults, strict=True
    ):
        yield _argument(argument, default)
    if arguments.kwarg:
        yield "**" + _argument(arguments.kwarg)


def _argument(argument: ast.arg, default: ast.expr | None = None) -> str:
    text = ast.unparse(argument)
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _names(arguments: ast.arguments) -> list[str]:
    texts = [text.split(":")[0].split(" =")[0] for text in _described(arguments)]
    return [text for text in texts if text not in ("self", "cls", "*")]


def _type(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _default(field: dataclasses.Field) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
        # A section within the config is long, and has an entry of its own.
        is_section = dataclasses.is_dataclass(value)
        return f" = {type(value).__name__}(...)" if is_section else f" = {value!r}"
    return "" if field.default_factory is dataclasses.MISSING else " = ..."


def _call(name: str, parameters: list[str], returned: str) -> str:
    line = f"{name}({', '.join(parameters)}){returned}"
    if len(line) <= WIDTH:
        return line
    lines = "".join(f"    {parameter},\n" for parameter in parameters)
    return f"{name}(\n{lines}){returned}"


def _constant(value: str | tuple[str, ...]) -> str:
    # As ruff writes it, which formats the code of Markdown files too.
    if isinstance(value, tuple):
        return _call("", [json.dumps(item) for item in value], "")
    return json.dumps(value)


def _paragraph(thing: Any) -> str:
    text = (inspect.getdoc(thing) or "").split("\n\n")[0]
    return " ".join(text.split())


if __name__ == "__main__":
    FILE.write_text(api(), encoding="utf-8")
