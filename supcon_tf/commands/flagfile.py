"""Flagfiles: a line for each flag, read into command lines."""

import os
from collections.abc import Sequence
from pathlib import Path

from supcon_tf.config.flag_lines import misread
from supcon_tf.errors import UserError

FLAGFILE = ("--flagfile", "-flagfile")


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
    named = os.path.expanduser(name)
    beside = os.path.join(folder, named)
    found = {os.path.realpath(p) for p in (beside, named) if os.path.exists(p)}
    if len(found) > 1:
        raise UserError(
            "--flagfile must be one file, and is another beside the flagfile that "
            f"names it ({folder}) than in {os.getcwd()}. Received: {name!r}"
        )
    path = found.pop() if found else os.path.realpath(named)
    if path in within:
        raise UserError(f"--flagfile must not lead to itself. Received: {name!r}")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        kind = "readable" if isinstance(error, OSError) else "text"
        raise UserError(
            f"--flagfile must be a {kind} file. Received: {name!r}"
        ) from None
    lines = [line.strip() for line in text.split("\n")]
    flag_lines = [line for line in lines if line and not line.startswith(("#", "//"))]
    for line in flag_lines:
        if misread(line):
            raise UserError(
                "a flagfile's line must be --name=value without quotes, and comments "
                f"have lines of their own. Received: {line!r} in {name!r}"
            )
    folder = os.path.dirname(beside if os.path.exists(beside) else named)
    return with_flagfiles(flag_lines, (*within, path), folder)
