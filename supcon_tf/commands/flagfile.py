"""Flagfiles: a line for each flag, read into command lines."""

import os
from collections.abc import Sequence
from pathlib import Path

from supcon_tf.config.flag_lines import misread
from supcon_tf.errors import UserError

FLAGFILE = ("--flagfile", "-flagfile")
_PACKAGE = Path(__file__).parents[1]


def recipes_folder() -> Path:
    """The folder of the recipes that come with the program."""
    installed = _PACKAGE / "recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "flags"


def with_flagfiles(
    words: Sequence[str], within: tuple[str, ...] = (), folder: str = ""
) -> list[str]:
    """The words, with the flags of a flagfile in the place where it is named.

    absl does this too, but ends with a traceback on a picture, takes indented comments
    for words and goes on without a flagfile that reads itself.

    Args:
        words: of a command line, or the lines of a flagfile.
        within: the flagfiles that are being read.
        folder: of the flagfile that holds the words, where names are looked for first.
    """
    expanded: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*expanded, word, *rest]
        flag, given, value = word.partition("=")
        if flag not in FLAGFILE:
            expanded.append(word)
        elif (name := value if given else next(rest, None)) is None:
            raise UserError("Missing value for flag --flagfile")
        else:
            expanded += _read_flagfile(name, within, folder)
    return expanded


def _read_flagfile(name: str, within: tuple[str, ...], folder: str) -> list[str]:
    if not name:
        return []
    path = _find(name, folder)
    if os.path.realpath(path) in within:
        raise UserError(f"--flagfile must not lead to itself. Received: {name!r}")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        kind = "readable" if isinstance(error, OSError) else "text"
        recipe = os.path.basename(name)
        hint = f"; {recipe} is a recipe" if _is_recipe(recipe) else ""
        raise UserError(
            f"--flagfile must be a {kind} file. Received: {name!r}{hint}"
        ) from None
    lines = [line.strip() for line in text.split("\n")]
    flag_lines = [line for line in lines if line and not line.startswith(("#", "//"))]
    for line in flag_lines:
        if misread(line):
            raise UserError(
                "a flagfile's line must be --name=value without quotes, and comments "
                f"have lines of their own. Received: {line!r} in {name!r}"
            )
    within = (*within, os.path.realpath(path))
    return with_flagfiles(flag_lines, within, os.path.dirname(path))


def _find(name: str, folder: str) -> str:
    """The path of a flagfile that is named in a flagfile of `folder`, or on a line."""
    named = os.path.expanduser(name)
    beside = os.path.join(folder, named)
    found = [path for path in (beside, named) if os.path.exists(path)]
    if len(set(map(os.path.realpath, found))) > 1:
        raise UserError(
            "--flagfile must be one file, and is another beside the flagfile that "
            f"names it ({folder}) than in {os.getcwd()}. Received: {name!r}"
        )
    if not found and _is_recipe(named):
        return str(recipes_folder() / named)
    return found[0] if found else named


def _is_recipe(name: str) -> bool:
    recipe = recipes_folder() / name
    return recipe.name == name and recipe.is_file()
