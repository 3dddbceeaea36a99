"""Accuracy over attack strength."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from supcon_tf.visualization.style import STAGE_COLOURS, save

STYLES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*"


def robustness_curves(
    models: Mapping[str, Mapping[str, Any]], path: Path, title: str = ""
) -> None:
    """Draws one line for each model and attack, from the clean accuracy on.

    Args:
        models: entries of robustness.json by the name they get in the legend. A model
            has its colour, an attack its line and marker, and around it the 95 %
            interval, or a `band` if its rows have one.
        path: of the image.
        title: above the curves.
    """
    save(_curves_figure(models, title), path)


def _curves_figure(models: Mapping[str, Mapping[str, Any]], title: str = "") -> Figure:
    height = 4.5 + 0.12 * len(models)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    names = (row["name"] for m in models.values() for row in m["attacks"] or [])
    attacks = list(dict.fromkeys(names))
    colours = _colours(len(models))
    for colour, model in zip(colours, models.values(), strict=True):
        _draw_model(axes, model, attacks, colour)
    axes.set(ylabel="accuracy", ylim=(0, 1), title=title)
    axes.title.set_fontsize("medium")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    if attacks:
        _draw_legends(figure, list(models), colours, attacks)
    return figure


def _draw_model(
    axes: Axes, model: Mapping[str, Any], attacks: Sequence[str], colour: Any
) -> None:
    for place, attack in enumerate(attacks):
        curve = [row for row in model["attacks"] or [] if row["name"] == attack]
        if not curve:
            continue
        curve.sort(key=lambda row: row["epsilon"])
        in_255 = curve[0]["epsilon_255"] is not None
        axes.set_xlabel("epsilon (1/255)" if in_255 else "epsilon (L2)")
        strengths = [row["epsilon_255" if in_255 else "epsilon"] for row in curve]
        bands = (row.get("band") or row["interval_95"] for row in curve)
        low, high = zip(*bands, strict=True)
        axes.plot(
            [0, *strengths],
            [model["clean_accuracy"], *(row["accuracy"] for row in curve)],
            color=colour,
            **_look(place),
        )
        axes.fill_between(strengths, low, high, color=colour, alpha=0.15, linewidth=0)


def _draw_legends(
    figure: Figure, names: Sequence[str], colours: Sequence[Any], attacks: Sequence[str]
) -> None:
    """Names each model below the curves, and each attack beside them."""
    # One entry for each pair would bury the curves as soon as several runs are drawn.
    lines = [Line2D([], [], color=colour, linewidth=3) for colour in colours]
    # A dollar sign would start a formula, and a leading underscore hide the entry.
    plain = [name.replace("$", r"\$").lstrip("_") for name in names]
    looks = [
        Line2D([], [], color="0.3", **_look(place)) for place in range(len(attacks))
    ]
    figure.axes[0].legend(looks, attacks, fontsize="small")
    figure.legend(lines, plain, loc="outside lower center", ncols=2, fontsize="small")


def _look(place: int) -> dict[str, Any]:
    return {
        "linestyle": STYLES[place % len(STYLES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def _colours(count: int) -> Sequence[Any]:
    if count <= len(STAGE_COLOURS):
        return STAGE_COLOURS[:count]
    return [matplotlib.colormaps["turbo"](n / (count - 1)) for n in range(count)]
