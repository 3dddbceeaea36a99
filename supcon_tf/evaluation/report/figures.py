"""The figures of a report: a list of what is drawn from the findings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from supcon_tf.evaluation.findings import Findings
from supcon_tf.evaluation.report.content import Picture
from supcon_tf.visualization.adversarial_grid import adversarial_grid
from supcon_tf.visualization.curves import Curves, robustness_curves
from supcon_tf.visualization.embedding_map import embedding_map
from supcon_tf.visualization.histograms import margin_histogram, similarity_histogram
from supcon_tf.visualization.names import legible

SHOWN = 8
# Characters that fit above an image of the grid.
NAME_WIDTH = 14


@dataclass(frozen=True)
class ReportFigure:
    """A figure that a report may have.

    Args:
        caption: what it shows.
        file: its name.
        section: of the report that it belongs to (see `Picture`).
        draw: draws it into a file and gives True, or gives False if the findings have
            nothing to draw.
    """

    caption: str
    file: str
    section: str
    draw: Callable[[Findings, Path], bool]


def draw_figures(directory: Path, findings: Findings) -> list[Picture]:
    """Draws what there is to draw into a folder."""
    directory.mkdir(parents=True, exist_ok=True)
    return [
        Picture(figure.caption, directory / figure.file, figure.section)
        for figure in FIGURES
        if figure.draw(findings, directory / figure.file)
    ]


def _curves(findings: Findings, path: Path) -> bool:
    models = [found.result for found in findings.evaluations]
    if not any(model.attacks for model in models):
        return False
    robustness_curves({model.stage: Curves.of(model) for model in models}, path)
    return True


def _margins(findings: Findings, path: Path) -> bool:
    margins = _of_stages(findings, "relative_margins")
    if margins:
        unit = "distance to the nearest boundary / length of the vector"
        margin_histogram(margins, path, unit)
    return bool(margins)


def _similarities(findings: Findings, path: Path) -> bool:
    positive = _of_stages(findings, "positive_cosines")
    if positive:
        loss = findings.config.loss
        both = loss.positive_margin, loss.negative_margin
        pulled = {
            file.stage: both
            for file in findings.files
            if file.trained_by and "margin" in file.trained_by.loss_weights
        }
        negative = _of_stages(findings, "negative_cosines")
        similarity_histogram(positive, negative, path, pulled)
    return bool(positive)


def _grid(findings: Findings, path: Path) -> bool:
    examples = findings.final.examples
    if examples is None:
        return False
    shown = slice(0, SHOWN)
    adversarial_grid(
        examples.images[shown],
        examples.adversarial[shown],
        examples.labels[shown],
        examples.predictions[shown],
        examples.adversarial_predictions[shown],
        legible(findings.data.class_names, "class", NAME_WIDTH),
        path,
        examples.attack,
    )
    return True


def _map(findings: Findings, path: Path) -> bool:
    examples = findings.final.examples
    if examples is None:
        return False
    clean, attacked = examples.embeddings, examples.adversarial_embeddings
    if clean is None or attacked is None:
        return False
    embedding_map(
        clean,
        attacked,
        examples.labels,
        legible(findings.data.class_names, "class", NAME_WIDTH),
        path,
        findings.config.seed,
        examples.attack,
    )
    return True


def _of_stages(findings: Findings, key: str) -> dict[str, np.ndarray]:
    return {
        stage: found.arrays[key]
        for stage, found in findings.by_stage.items()
        if key in found.arrays
    }


FIGURES = (
    ReportFigure(
        "Accuracy over attack strength", "robustness.png", "accuracy", _curves
    ),
    ReportFigure(
        "Margins on the attacked images", "margins.png", "embedding", _margins
    ),
    ReportFigure("Cosines of pairs", "similarities.png", "embedding", _similarities),
    ReportFigure("Adversarial examples", "adversarial.png", "embedding", _grid),
    ReportFigure("Embeddings, clean and attacked", "embedding.png", "embedding", _map),
)
