"""Images, what an attack makes of them, and the difference."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supcon_tf.visualization.style import save

RIGHT, WRONG = "#117733", "#AA3377"


def adversarial_grid(
    images: np.ndarray,
    adversarial: np.ndarray,
    labels: np.ndarray,
    clean_predictions: np.ndarray,
    adversarial_predictions: np.ndarray,
    class_names: Sequence[str],
    path: str | Path,
    epsilon_text: str,
    columns: int = 8,
) -> None:
    """Draws a column for each image: as it is, under attack, and the magnified change.

    Args:
        images: (N, H, W, 3) in [0, 1]; the first `columns` are drawn.
        adversarial: (N, H, W, 3) in [0, 1].
        labels: (N,) true classes.
        clean_predictions: (N,) of `images`.
        adversarial_predictions: (N,) of `adversarial`.
        class_names: by label, no two alike, of up to 14 characters (`names.legible`).
        path: of the PNG.
        epsilon_text: the attack and its strength, such as "FGSM, epsilon 8/255".
        columns: most images to draw.
    """
    shown = slice(0, columns)
    figure = _figure(
        images[shown],
        adversarial[shown],
        [class_names[i] for i in labels[shown]],
        [class_names[i] for i in clean_predictions[shown]],
        [class_names[i] for i in adversarial_predictions[shown]],
        epsilon_text,
    )
    save(figure, path)


def _figure(
    images: np.ndarray,
    adversarial: np.ndarray,
    truths: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    epsilon_text: str,
) -> Figure:
    columns = max(1, len(images))
    change = adversarial.astype(np.float64) - images
    factor = _magnification(change)
    figure = Figure(figsize=(1.3 * columns + 1.1, 5.2), layout="constrained")
    panels = figure.subplots(3, columns, squeeze=False)
    for column in range(len(images)):
        top, middle, bottom = panels[:, column]
        _show(top, images[column])
        _show(middle, adversarial[column])
        _show(bottom, 0.5 + factor * change[column])
        _write_verdict(top, before[column], truths[column])
        _write_verdict(middle, after[column], truths[column])
        bottom.set_xlabel(f"true: {truths[column]}", fontsize="small")
    rows = ("image", "under attack", f"change × {factor:g}")
    for axes, label in zip(panels[:, 0], rows, strict=True):
        axes.set_ylabel(label)
    figure.suptitle(f"{epsilon_text}: prediction above each image (✓ right, ✗ wrong)")
    return figure


def _magnification(change: np.ndarray) -> float:
    """A round factor that makes the largest change fill the range around mid grey."""
    largest = float(np.abs(change).max(initial=0.0))
    if largest == 0:
        return 1.0
    return float(max(1, np.floor(0.5 / largest + 1e-6)))


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(np.clip(image, 0, 1), interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def _write_verdict(axes: Axes, prediction: str, truth: str) -> None:
    mark, colour = ("✓", RIGHT) if prediction == truth else ("✗", WRONG)
    axes.set_title(f"{mark} {prediction}", color=colour, fontsize="small")
