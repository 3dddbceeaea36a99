"""Accuracy over attack strength."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*"


def robustness_curves(models: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draws one line for each model and attack, from the clean accuracy on.

    Args:
        models: entries of robustness.json by the name they get in the legend.
        path: of the image.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    label = "epsilon"
    for number, (name, model) in enumerate(models.items()):
        rows = model["attacks"] or []
        for place, attack in enumerate(dict.fromkeys(row["name"] for row in rows)):
            curve = [row for row in rows if row["name"] == attack]
            label = "epsilon (1/255)" if curve[0]["epsilon_255"] else "epsilon (L2)"
            strengths = [row["epsilon_255"] or row["epsilon"] for row in curve]
            low, high = zip(*(row["interval_95"] for row in curve), strict=True)
            (line,) = axes.plot(
                [0, *strengths],
                [model["clean_accuracy"], *(row["accuracy"] for row in curve)],
                color=f"C{number}",
                linestyle=STYLES[place % len(STYLES)],
                marker=MARKERS[place % len(MARKERS)],
                label=f"{name}: {attack}",
            )
            axes.fill_between(
                strengths, low, high, color=line.get_color(), alpha=0.15, linewidth=0
            )
    axes.set(xlabel=label, ylabel="accuracy", ylim=(0, 1))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
