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
    positive_margin: float | None = None,
    negative_margin: float | None = None,
) -> None:
    """Draws the cosines of pairs of one class and of pairs of two classes.

    Args:
        positive: cosines of same-class pairs by stage.
        negative: cosines of different-class pairs, for the same stages.
        path: of the PNG.
        positive_margin: cosine that the margin loss pulls same-class pairs above.
        negative_margin: cosine that it pushes the others below.
    """
    save(_similarity_figure(positive, negative, positive_margin, negative_margin), path)


def _margin_figure(margins: Mapping[str, np.ndarray], xlabel: str) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate([np.zeros(1), *margins.values()])
    # A few far outliers would squeeze the rest into a corner.
    low, high = np.quantile(everything, [0.001, 0.999])
    bins = np.linspace(min(low, 0), max(high, 1e-6), BINS)
    for (stage, values), colour in zip(margins.items(), STAGE_COLOURS, strict=False):
        _outline(axes, values, bins, colour)
        median, wrong = np.median(values), (values < 0).mean()
        axes.axvline(median, color=colour, linestyle=":", linewidth=1.2)
        axes.plot(
            [],
            color=colour,
            label=f"{stage}: median {median:.3g}, {wrong:.1%} misclassified",
        )
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
    positive_margin: float | None,
    negative_margin: float | None,
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
            if len(values):
                _outline(axes, values, bins, colour)
                mean = f"{label}: mean {values.mean():.2f}"
                axes.plot([], color=colour, label=mean)
        for margin, colour, label in (
            (positive_margin, same, "pulled above"),
            (negative_margin, other, "pushed below"),
        ):
            if margin is not None:
                text = f"{label} {margin:g} by the margin loss"
                axes.axvline(margin, color=colour, linestyle="--", label=text)
        axes.set(title=stage, ylabel="share of pairs", xlim=(-1, 1))
        _finish(axes)
    panels[-1].set_xlabel("cosine of two embeddings")
    return figure


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
        axes.legend(fontsize="small", frameon=False, loc="best")
