"""Distributions of margins and of similarities, one curve for each stage."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supcon_tf.visualization.style import STAGE_COLOURS, save

BINS = 60


def margin_histogram(
    margins: Mapping[str, np.ndarray],
    path: str | Path,
    xlabel: str = "distance to the nearest decision boundary",
) -> None:
    """Draws how far images are from being misclassified.

    Args:
        margins: (N,) signed distances by stage, such as pretrain and final.
        path: of the PNG.
        xlabel: what the distances are, with their unit.
    """
    save(_margin_figure(margins, xlabel), path)


def similarity_histogram(
    positive: Mapping[str, np.ndarray],
    negative: Mapping[str, np.ndarray],
    path: str | Path,
    margins: Mapping[str, tuple[float, float]],
) -> None:
    """Draws the cosines of pairs of one class and of pairs of two classes.

    Args:
        positive: cosines of same-class pairs by stage.
        negative: cosines of different-class pairs, for the same stages.
        path: of the PNG.
        margins: of stages that the margin loss trained: the cosine that it pulls
            same-class pairs above, and the one that it pushes the others below.
    """
    save(_similarity_figure(positive, negative, margins), path)


def _margin_figure(margins: Mapping[str, np.ndarray], xlabel: str) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    finite = {stage: values[np.isfinite(values)] for stage, values in margins.items()}
    everything = np.concatenate([np.zeros(1), *finite.values()])
    # A few far outliers would squeeze the rest into a corner.
    low, high = np.quantile(everything, [0.001, 0.999])
    bins = np.linspace(min(low, 0), max(high, 1e-6), BINS)
    for (stage, values), colour in zip(finite.items(), STAGE_COLOURS, strict=False):
        label = stage
        if len(values):
            _outline(axes, values, bins, colour)
            median, wrong = np.median(values), (values < 0).mean()
            axes.axvline(median, color=colour, linestyle=":", linewidth=1.2)
            label += f": median {median:z.3g}, {wrong:.1%} misclassified"
        axes.plot([], color=colour, label=label + _lost(margins[stage]))
    axes.axvline(0, color="black", linewidth=1)
    axes.annotate(
        "boundary ",
        (0, 0.97),
        xycoords=("data", "axes fraction"),
        rotation=90,
        ha="right",
        va="top",
        fontsize="small",
    )
    axes.set(xlabel=xlabel, ylabel="share of images", xlim=(bins[0], bins[-1]))
    _finish(axes)
    return figure


def _similarity_figure(
    positive: Mapping[str, np.ndarray],
    negative: Mapping[str, np.ndarray],
    margins: Mapping[str, tuple[float, float]],
) -> Figure:
    rows = max(1, len(positive))
    figure = Figure(figsize=(7, 0.9 + 2.3 * rows), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    bins = np.linspace(-1, 1, BINS + 1)
    same, other = STAGE_COLOURS[0], STAGE_COLOURS[1]
    for axes, stage in zip(panels, positive, strict=False):
        for values, colour, label in (
            (positive[stage], same, "same class"),
            (negative[stage], other, "different classes"),
        ):
            if not len(values):
                continue
            finite = values[np.isfinite(values)]
            if len(finite):
                _outline(axes, finite, bins, colour)
                label += f": mean {finite.mean():z.2f}"
            axes.plot([], color=colour, label=label + _lost(values))
        for margin, colour, label in zip(
            margins.get(stage, ()),
            (same, other),
            ("pulled above", "pushed below"),
            strict=False,
        ):
            text = f"{label} {margin:g} by the margin loss"
            axes.axvline(margin, color=colour, linestyle="--", label=text)
        axes.set(title=stage, ylabel="share of pairs", xlim=(-1, 1))
        _finish(axes)
    panels[-1].set_xlabel("cosine of two embeddings")
    return figure


def _lost(values: np.ndarray) -> str:
    lost = int((~np.isfinite(values)).sum())
    return f", {lost} of {len(values)} not finite" if lost else ""


def _outline(axes: Axes, values: np.ndarray, bins: np.ndarray, colour: str) -> None:
    inside = np.clip(values, bins[0], bins[-1])
    axes.hist(
        inside,
        bins=bins.tolist(),
        weights=np.full(len(values), 1 / max(1, len(values))),
        histtype="stepfilled",
        facecolor=(colour, 0.2),
        edgecolor=colour,
        linewidth=1.5,
    )


def _finish(axes: Axes) -> None:
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", edgecolor="none", loc="best")
