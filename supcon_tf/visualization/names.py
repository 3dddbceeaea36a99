"""Names that people gave, of classes or runs, as figures can show them."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence

from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.legend import Legend

# matplotlib brings it along.
BASE = "DejaVu Sans"
MOST_LISTED = 10
NO_CHARACTER = 0xFFFE


def legible(names: Sequence[str], kind: str, width: int) -> list[str]:
    """Names as a figure shows them, no two alike; with a line on what can't be drawn.

    Args:
        names: all different; their places are numbers that people know them by.
        kind: what has the names, such as "class".
        width: most characters; of longer names the middle is left out. Those of twice
            the width, as in Chinese, count twice.
    """
    _, lacking = fonts_for("".join(names))
    shown, numbered = [], []
    for place, name in enumerate(names):
        if lacking & set(name) or not name.strip():
            numbered.append(f"{kind} {place} for {name!r}")
            name = f"{kind} {place}"
        shown.append(_shortened(name, width))
    if numbered:
        more = ", ..." * (len(numbered) > MOST_LISTED)
        print(
            f"warning: figures show {', '.join(numbered[:MOST_LISTED])}{more}: no font "
            "on this machine has all of their characters",
            file=sys.stderr,
        )
    count = Counter(shown)
    return [
        name if count[name] == 1 else _shortened(f"{place} {name}", width)
        for place, name in enumerate(shown)
    ]


def name_entries(legend: Legend, names: Sequence[str]) -> None:
    """Gives a legend's entries their names, one of which may begin with anything.

    Older versions of matplotlib leave an entry out that is made with a name that begins
    with an underscore.
    """
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def fonts_for(text: str) -> tuple[list[str], set[str]]:
    """Font families that have what the usual one lacks, and what none has."""
    lacking = _lacking(findfont(BASE), set(text))
    families = []
    for entry in fontManager.ttflist if lacking else ():
        # Others would be found for a plain text with a warning only.
        if (entry.weight, entry.style) == (400, "normal"):
            left = _lacking(entry.fname, lacking)
            if left != lacking:
                families.append(entry.name)
                lacking = left
    return families, lacking


def _lacking(file: str, characters: set[str]) -> set[str]:
    try:
        font = get_font(file)
    # A font that can't be drawn, as some of those of colourful pictures.
    except (OSError, RuntimeError):
        return characters
    # A font of last resort has a box for everything, even for what is no character.
    if font.get_char_index(NO_CHARACTER):
        return characters
    return {c for c in characters if not font.get_char_index(ord(c))}


def _shortened(name: str, width: int) -> str:
    """The name without its middle, as names that differ often do so at their end."""
    if drawn_width(name) <= width:
        return name
    end = name
    while drawn_width(end) > width // 2:
        end = end[1:]
    start = name
    while drawn_width(start) + 1 + drawn_width(end) > width:
        start = start[:-1]
    return f"{start}…{end}"


def drawn_width(text: str) -> int:
    """Characters that a text takes the place of."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
