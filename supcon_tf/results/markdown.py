"""Text and tables."""

import re

# An underscore within a word, as in the names of flags, marks nothing.
_MARKS = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line, whatever it holds."""
    printable = (c if c.isprintable() else repr(c)[1:-1] for c in text)
    return _MARKS.sub(r"\\\g<0>", "".join(printable))


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of plain text whose columns also line up as such."""
    escaped = [[plain(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*escaped, strict=True)]

    def line(cells: list[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(escaped[0]), rule, *map(line, escaped[1:])])
