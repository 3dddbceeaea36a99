"""Names of classes and runs in figures, whatever people call them."""

import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from supcon_tf.visualization import names as naming
from supcon_tf.visualization.curves import Curves, Point, _curves_figure
from supcon_tf.visualization.embedding_map import _figure
from supcon_tf.visualization.names import fonts_for, legible
from supcon_tf.visualization.style import save

# Characters that matplotlib's own font does not have.
UNKNOWN = "\u732b\u72ac"


@pytest.fixture
def other_fonts(monkeypatch):
    """Stands in for the fonts of a machine, one of which may have the characters."""

    def give(*families):
        entries = [
            SimpleNamespace(name=name, fname=name, weight=400, style="normal")
            for name in families
        ]
        monkeypatch.setattr(naming.fontManager, "ttflist", entries)
        real = naming.get_font
        has = {"Plain": "", "CJK": UNKNOWN, "Last Resort": UNKNOWN + chr(0xFFFE)}
        monkeypatch.setattr(
            naming,
            "get_font",
            lambda file: (
                SimpleNamespace(get_char_index=lambda c: int(chr(c) in has[file]))
                if file in has
                else real(file)
            ),
        )

    return give


def test_names_that_fit_stay_as_they_are(capsys):
    given = ["cat", "_dog", "$5", "Ünïcödé", "a b", "\u0627\u0644"]
    assert legible(given, "class", 14) == given
    assert capsys.readouterr() == ("", "")


def test_long_names_lose_their_middle_and_stay_apart():
    given = [
        *(f"a long name of class number {n}" for n in (1, 2)),
        *("x" * 20 + tail + "y" * 20 for tail in "ab"),
    ]
    shown = legible(given, "class", 14)
    assert shown[:2] == ["a long…umber 1", "a long…umber 2"]
    assert len(set(shown)) == 4
    assert max(map(len, shown)) <= 14


def test_wide_characters_count_twice(other_fonts):
    other_fonts("CJK")
    (shown,) = legible([UNKNOWN * 10], "class", 14)
    wide = sum(unicodedata.east_asian_width(c) == "W" for c in shown)
    assert len(shown) + wide <= 14


def test_a_font_of_the_machine_is_used_for_what_the_usual_one_lacks(other_fonts):
    other_fonts("Plain", "CJK")
    assert fonts_for(f"cat {UNKNOWN}") == (["CJK"], set())
    assert fonts_for("cat") == ([], set())


@pytest.mark.parametrize("families", [["Plain"], [], ["Last Resort"]])
def test_names_that_no_font_has_are_numbered_and_told(other_fonts, capsys, families):
    """Also where a font has a box for every character there is."""
    other_fonts(*families)
    shown = legible(["cat", UNKNOWN, "tab\there", "class 1"], "class", 14)
    assert shown == ["cat", "1 class 1", "class 2", "3 class 1"]
    out, error = capsys.readouterr()
    assert out == ""
    assert error == (
        f"warning: figures show class 1 for '{UNKNOWN}', class 2 for 'tab\\there': no "
        "font on this machine has all of their characters\n"
    )


@pytest.mark.filterwarnings("error")
def test_dollars_and_underscores_are_drawn_as_they_are(tmp_path):
    """To matplotlib they begin a formula, or an entry that a legend leaves out."""
    given = ["$\\frac$", "_hidden", "a$b$c"]
    point = Point("fgsm", "linf", 1.0, 0.5, (0.4, 0.6))
    models = dict.fromkeys(given, Curves(0.9, (point,)))
    curves = _curves_figure(models, "title of $")
    (legend,) = curves.legends
    assert [text.get_text() for text in legend.get_texts()] == given
    points, labels = np.zeros((3, 2)), np.arange(3)
    mapped = _figure(points, points, labels, labels[:1], given, "$_$")
    texts = mapped.axes[0].get_legend().get_texts()
    assert [text.get_text() for text in texts][-3:] == given
    titled = Figure()
    titled.subplots().set(title="$_$", xlabel="$$", ylabel="\\$")
    for figure in (curves, mapped, titled):
        save(figure, tmp_path / "figure.png")


def test_names_of_a_sweep_are_drawn_whole():
    names = [
        f"seed=0,pretrain_supcon_weight={weight},finetune_margin_weight=1 +2"
        for weight in ("0", "0.3")
    ]
    point = Point("fgsm", "linf", 1.0, 0.5, (0.4, 0.6))
    figure = _curves_figure(dict.fromkeys(names, Curves(0.9, (point,))))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_each_norm_has_an_axis_of_its_own():
    def model(norm, *epsilons):
        points = (Point("pgd", norm, epsilon, 0.5, (0.4, 0.6)) for epsilon in epsilons)
        return Curves(0.9, tuple(points))

    figure = _curves_figure({"a": model("linf", 4.0, 8.0), "b": model("l2", 0.5)})
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == (
        "epsilon (1/255)",
        "epsilon (L2)",
    )
    assert [list(line.get_xdata()) for line in left.lines] == [[0, 4, 8]]
    assert [list(line.get_xdata()) for line in right.lines] == [[0, 0.5]]
    assert left.lines[0].get_color() != right.lines[0].get_color()
    assert len(_curves_figure({"a": model("l2", 0.5)}).axes) == 1
