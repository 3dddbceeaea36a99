"""Accuracy over attack strength."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from supcon_tf.results.record import ModelResult
from supcon_tf.visualization.names import drawn_width, legible, name_entries
from supcon_tf.visualization.style import STAGE_COLOURS, save

STYLES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*"
# Characters of a name, so that two columns of them fit, or one.
WIDTHS = {2: 40, 1: 90}
LINE_HEIGHT = 0.24


@dataclass(frozen=True)
class Point:
    """An accuracy under attack, and the band around it."""

    attack: str
    norm: str
    strength: float
    accuracy: float
    band: tuple[float, float]


@dataclass(frozen=True)
class Curves:
    """The accuracies of a model; one without points has no curve."""

    clean_accuracy: float | None
    points: tuple[Point, ...]

    @classmethod
    def of(cls, model: ModelResult) -> "Curves":
        """Those of a model, within their 95 % intervals."""
        points = (
            Point(row.name, row.norm, row.strength, row.accuracy, row.interval_95)
            for row in model.attacks or ()
        )
        return cls(model.clean_accuracy, tuple(points))


def robustness_curves(
    models: Mapping[str, Curves], path: Path, title: str = ""
) -> None:
    """Draws one line for each model and attack, from the clean accuracy on.

    Args:
        models: by the name they get in the legend. A model has its colour, an attack
            its line and marker.
        path: of the image.
        title: above the curves.
    """
    save(_curves_figure(models, title), path)


def _curves_figure(models: Mapping[str, Curves], title: str = "") -> Figure:
    points = [point for model in models.values() for point in model.points]
    attacks = list(dict.fromkeys(point.attack for point in points))
    # Radii of two norms have no axis in common.
    norms = list(dict.fromkeys(point.norm for point in points)) or [""]
    # Runs of a sweep differ in the middle of their names too.
    columns = 2 if all(drawn_width(name) <= WIDTHS[2] for name in models) else 1
    height = 4.5 + LINE_HEIGHT * len(models) / columns
    figure = Figure(figsize=(1.5 + 5.5 * len(norms), height), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    colours = _colours(len(models))
    panels = figure.subplots(1, len(norms), sharey=True, squeeze=False)[0]
    for axes, norm in zip(panels, norms, strict=True):
        for colour, model in zip(colours, models.values(), strict=True):
            _draw_model(axes, model, attacks, norm, colour)
        unit = "1/255" if norm == "linf" else "L2"
        axes.set(xlabel=f"epsilon ({unit})" if norm else "", ylim=(0, 1))
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(alpha=0.3)
        _name_attacks(
            axes, attacks, [point.attack for point in points if point.norm == norm]
        )
    panels[0].set_ylabel("accuracy")
    if attacks:
        _name_models(figure, list(models), colours, columns)
    return figure


def _draw_model(
    axes: Axes,
    model: Curves,
    attacks: Sequence[str],
    norm: str,
    colour: Any,
) -> None:
    for place, attack in enumerate(attacks):
        curve = [
            point
            for point in model.points
            if (point.attack, point.norm) == (attack, norm)
        ]
        if not curve or model.clean_accuracy is None:
            continue
        curve.sort(key=lambda point: point.strength)
        strengths = [point.strength for point in curve]
        low, high = zip(*(point.band for point in curve), strict=True)
        axes.plot(
            [0, *strengths],
            [model.clean_accuracy, *(point.accuracy for point in curve)],
            color=colour,
            **_look(place),
        )
        axes.fill_between(strengths, low, high, color=colour, alpha=0.15, linewidth=0)


def _name_attacks(axes: Axes, attacks: Sequence[str], drawn: Sequence[str]) -> None:
    """The lines of the attacks, beside the curves."""
    looks = {
        attack: Line2D([], [], color="0.3", **_look(place))
        for place, attack in enumerate(attacks)
        if attack in drawn
    }
    if looks:
        axes.legend(looks.values(), looks.keys(), fontsize="small")


def _name_models(
    figure: Figure, names: Sequence[str], colours: Sequence[Any], columns: int
) -> None:
    """The colours of the models, below the curves."""
    # One entry for each pair would bury the curves as soon as several runs are drawn.
    lines = [Line2D([], [], color=colour, linewidth=3) for colour in colours]
    name_entries(
        figure.legend(
            lines,
            ["run"] * len(lines),
            loc="outside lower center",
            ncols=columns,
            fontsize="small",
        ),
        legible(names, "model", WIDTHS[columns]),
    )


def _look(place: int) -> dict[str, Any]:
    return {
        "linestyle": STYLES[place % len(STYLES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def _colours(count: int) -> Sequence[Any]:
    if count <= len(STAGE_COLOURS):
        return STAGE_COLOURS[:count]
    return [matplotlib.colormaps["turbo"](n / (count - 1)) for n in range(count)]
