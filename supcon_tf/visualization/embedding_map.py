"""The embedding in two dimensions, with and without an attack."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from supcon_tf.visualization.names import name_entries
from supcon_tf.visualization.style import CLASS_COLOURS, save

MOST_IMAGES = 400
MOST_CLASSES = len(CLASS_COLOURS)
LINKS = 20
# Unit vectors whose coordinates differ by less do so by rounding.
SAME = 1e-6


def embedding_map(
    clean: np.ndarray,
    adversarial: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    path: str | Path,
    seed: int = 0,
    title: str = "",
) -> None:
    """Draws a t-SNE of images and of what an attack makes of them.

    Both are embedded together. Of more than ten classes ten are drawn by the seed, and
    of more than 400 images 400. What can't be drawn is said below the map.

    Args:
        clean: (M, D) embeddings of images.
        adversarial: (M, D) embeddings of the same images under attack.
        labels: (M,) true classes.
        class_names: by label, of up to 14 characters (`names.legible`).
        path: of the PNG.
        seed: of the t-SNE and of the choices.
        title: such as the attack and its epsilon.
    """
    rng = np.random.default_rng([seed, 3])
    rows = _chosen(labels, rng)
    finite = np.isfinite(clean[rows]).all(axis=1)
    finite &= np.isfinite(adversarial[rows]).all(axis=1)
    note = "t-SNE of the embeddings"
    if not finite.all():
        lost = f"{(~finite).sum()} of {len(rows)}"
        note += f"\n{lost} images are left out: their embeddings are not finite"
        rows = rows[finite]
    points = _two_dimensional(np.concatenate([clean[rows], adversarial[rows]]), seed)
    if len(points) and not points.any():
        note += "\nall embeddings are the same"
    before, after = np.split(points, 2)
    linked = np.sort(rng.permutation(len(rows))[:LINKS])
    figure = _figure(before, after, labels[rows], linked, class_names, title, note)
    save(figure, path)


def _chosen(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    classes = np.unique(labels)
    kept = rng.permutation(classes)[:MOST_CLASSES]
    rows = np.flatnonzero(np.isin(labels, kept))
    return np.sort(rng.permutation(rows)[:MOST_IMAGES])


def _two_dimensional(vectors: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) float32 coordinates; zeros if all vectors point the same way."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    # t-SNE would make a cloud of rounding errors, and end the process without them.
    if not len(units) or np.ptp(units, axis=0).max() < SAME:
        return np.zeros((len(units), 2), np.float32)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # Of unit vectors the Euclidean distance ranks as the cosine does, and is faster.
    tsne = TSNE(
        perplexity=min(30, (len(units) - 1) / 3),
        init="pca" if min(units.shape) > 1 else "random",
        learning_rate="auto",
        max_iter=500,
        random_state=seed,
    )
    # Its threads busy-wait for each other: one needs a tenth of the processor time.
    with threadpool_limits(1):
        return tsne.fit_transform(units)


def _figure(
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    linked: np.ndarray,
    class_names: Sequence[str],
    title: str,
    note: str = "",
) -> Figure:
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    axes = figure.subplots()
    for row in linked:
        ends = np.stack([before[row], after[row]])
        axes.plot(ends[:, 0], ends[:, 1], color="0.65", linewidth=0.7, zorder=1)
    classes = np.unique(labels)
    for label, colour in zip(classes, CLASS_COLOURS, strict=False):
        mine = labels == label
        axes.scatter(
            before[mine, 0], before[mine, 1], s=16, color=colour, linewidths=0, zorder=2
        )
        axes.scatter(
            after[mine, 0],
            after[mine, 1],
            s=22,
            color=colour,
            marker="x",
            linewidths=1,
            zorder=3,
        )
    axes.set(xticks=[], yticks=[], xlabel=note, title=title)
    _legend(axes, [class_names[label] for label in classes])
    return figure


def _legend(axes: Axes, names: Sequence[str]) -> None:
    def handle(marker: str, colour: str) -> Line2D:
        return Line2D([], [], marker=marker, linestyle="", color=colour)

    same = Line2D([], [], color="0.65", linewidth=0.7)
    handles = [handle("o", "0.3"), handle("x", "0.3"), same]
    handles += [handle("s", c) for c, _ in zip(CLASS_COLOURS, names, strict=False)]
    legend = axes.legend(
        handles,
        ["name"] * len(handles),
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        fontsize="small",
        frameon=False,
        title="colour: true class",
    )
    name_entries(legend, ["image", "under attack", "the same image", *names])
