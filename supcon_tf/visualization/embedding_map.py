"""The embedding in two dimensions, with and without an attack."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from supcon_tf.visualization.style import CLASS_COLOURS, save

MOST_IMAGES = 400
MOST_CLASSES = len(CLASS_COLOURS)
LINKS = 20


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
    of more than 400 images 400.

    Args:
        clean: (M, D) embeddings of images.
        adversarial: (M, D) embeddings of the same images under attack.
        labels: (M,) true classes.
        class_names: by label.
        path: of the PNG.
        seed: of the t-SNE and of the choices.
        title: such as the attack and its epsilon.
    """
    rng = np.random.default_rng([seed, 3])
    rows = _chosen(labels, rng)
    points = _two_dimensional(np.concatenate([clean[rows], adversarial[rows]]), seed)
    before, after = np.split(points, 2)
    linked = np.sort(rng.permutation(len(rows))[:LINKS])
    save(_figure(before, after, labels[rows], linked, class_names, title), path)


def _chosen(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    classes = np.unique(labels)
    kept = rng.permutation(classes)[:MOST_CLASSES]
    rows = np.flatnonzero(np.isin(labels, kept))
    return np.sort(rng.permutation(rows)[:MOST_IMAGES])


def _two_dimensional(vectors: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) float32 coordinates."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
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
    axes.set(xticks=[], yticks=[], xlabel="t-SNE of the embeddings", title=title)
    _legend(axes, [class_names[label] for label in classes])
    return figure


def _legend(axes: Axes, names: Sequence[str]) -> None:
    def handle(marker: str, colour: str, label: str) -> Line2D:
        return Line2D([], [], marker=marker, linestyle="", color=colour, label=label)

    handles = [
        handle("o", "0.3", "image"),
        handle("x", "0.3", "under attack"),
        Line2D([], [], color="0.65", linewidth=0.7, label="the same image"),
        *(handle("s", c, n) for c, n in zip(CLASS_COLOURS, names, strict=False)),
    ]
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        fontsize="small",
        frameon=False,
        title="colour: true class",
    )
