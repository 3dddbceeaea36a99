"""Names in Markdown, read back by a parser of it."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supcon_tf.results.markdown import markdown_table, plain

markdown_it = pytest.importorskip("markdown_it", reason="the reader of the tests")
MARKS = "\\`*_[]<>|~$&;#ab1 é猫()!"


def read(markdown):
    """The text that a reader of rendered Markdown sees."""
    shown = markdown_it.MarkdownIt().enable("strikethrough").renderInline(markdown)
    return html.unescape(re.sub(r"<[^>]+>", "", shown))


@given(st.text(st.sampled_from(MARKS)))
def test_a_name_is_shown_as_it_is(name):
    name = f"x{name}x"
    assert read(plain(name)) == name


def test_what_can_not_be_shown_is_shown_as_an_escape():
    assert read(plain("a\nb\tc\udcff")) == r"a\nb\tc\udcff"


def test_names_of_flags_and_of_runs_stay_readable_without_a_renderer():
    for name in ("cifar100_ce", "--pretrain_supcon_weight=1", "runs/a-b.c (2)"):
        assert plain(name) == name


def test_a_table_has_the_cells_it_was_given():
    cells = ["a|b", "*bold*", "line\nbreak", "`code`", "__init__"]
    text = markdown_table(["one", "two"], [[cell, "x"] for cell in cells])
    rendered = markdown_it.MarkdownIt().enable("table").render(text)
    found = re.findall(r"<td>(.*?)</td>", rendered)
    assert found == [w for c in cells for w in (c.replace("\n", "\\n"), "x")]
