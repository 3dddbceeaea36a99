"""The examples of docs/extending.md, applied to a copy of the package and run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text()
# Code files that an example may touch, and lines that it may have.
FILES = {
    "An attack": 3,
    "A loss": 3,
    "A data source": 2,
    "A check": 2,
    "A report section": 2,
    "A figure": 2,
    "A stage": 2,
}
LINES = 25
GAP = "..."


def blocks_of(section):
    """The section's new files and changes by file, and the code that tries them."""
    new, changed, tries = {}, {}, []
    for kind, code in re.findall(r"```(python|diff)\n(.*?)```", section, re.DOTALL):
        first, rest = code.split("\n", 1)
        if kind == "diff":
            changed[first.removeprefix("+++ ")] = rest.splitlines()
        elif first.startswith("# supcon_tf/"):
            new[first.removeprefix("# ")] = rest
        else:
            tries.append(code)
    return new, changed, "".join(tries)


SECTIONS = {
    title: blocks_of(text)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.S | re.M)
}


def applied(source, change):
    """A file's text after a change: lines that stand there, and lines with a `+`."""
    lines = source.splitlines()
    for hunk in "\n".join(change).split(f"\n{GAP}\n"):
        hunk = hunk.splitlines()
        assert {line[:1] for line in hunk} <= {"+", " ", ""}, hunk
        old = [line[1:] for line in hunk if not line.startswith("+")]
        places = [
            place
            for place in range(len(lines))
            if old and lines[place : place + len(old)] == old
        ]
        assert len(places) == 1, f"these lines stand there {len(places)} times: {old}"
        lines[places[0] : places[0] + len(old)] = [line[1:] for line in hunk]
    return "\n".join(lines) + "\n"


def test_a_change_is_put_where_its_lines_stand():
    change = [" b", "+new", GAP, " d", "+last"]
    assert applied("a\nb\nc\nd\n", change) == "a\nb\nnew\nc\nd\nlast\n"
    for source in ("a\nc\nd\n", "b\nb\nd\n"):
        with pytest.raises(AssertionError, match="these lines stand there"):
            applied(source, change)


def test_there_is_an_example_for_everything_that_can_be_added():
    assert list(SECTIONS) == list(FILES)
    assert all(tries for _, _, tries in SECTIONS.values())


@pytest.mark.parametrize("title", FILES)
def test_an_example_is_short_and_touches_few_files(title):
    new, changed, _ = SECTIONS[title]
    assert 0 < len(new) + len(changed) <= FILES[title]
    code = [line for text in new.values() for line in text.splitlines()]
    code += [line for change in changed.values() for line in change if line != GAP]
    assert len([line for line in code if line.strip()]) < LINES


NOT_HERE = [
    name
    for _, changed, _ in SECTIONS.values()
    for name in changed
    if not (ROOT / name).exists()
]


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with every example in it."""
    copy = tmp_path_factory.mktemp("extended")
    shutil.copytree(
        ROOT / "supcon_tf",
        copy / "supcon_tf",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for title, (new, changed, _) in SECTIONS.items():
        for name, text in new.items():
            assert not (copy / name).exists(), title
            (copy / name).write_text(text.lstrip("\n"))
        for name, change in changed.items():
            file = copy / name
            file.write_text(applied(file.read_text(), change))
    return copy


@pytest.mark.slow
@pytest.mark.skipif(bool(NOT_HERE), reason=f"not in this tree yet: {NOT_HERE}")
def test_the_examples_work(extended):
    program = "\n".join(tries for _, _, tries in SECTIONS.values())
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=extended,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
