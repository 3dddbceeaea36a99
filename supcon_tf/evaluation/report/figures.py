"""The figures of a report."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from supcon_tf.config import Config, StageConfig
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.evaluation.batches import BATCH_SIZE
from supcon_tf.evaluation.report.report import CURVES
from supcon_tf.evaluation.robustness import make_attack
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.results.record import ModelResult, strength_text
from supcon_tf.visualization.adversarial_grid import adversarial_grid
from supcon_tf.visualization.curves import Curves, robustness_curves
from supcon_tf.visualization.embedding_map import embedding_map
from supcon_tf.visualization.histograms import margin_histogram, similarity_histogram
from supcon_tf.visualization.names import legible

MAPPED = 400
SHOWN = 8
# Characters that fit above an image of the grid.
NAME_WIDTH = 14


def draw_figures(
    directory: Path,
    config: Config,
    results: Mapping[str, ModelResult],
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    model: keras.Model,
    split: Split,
    class_names: tuple[str, ...],
    trained_by: Mapping[str, StageConfig],
) -> dict[str, Path]:
    """Draws what there is to draw.

    Args:
        directory: where the images go.
        config: the run's.
        results: entries of robustness.json by stage.
        arrays: those of each stage's `Evaluation`.
        model: the final model, as it was attacked.
        split: the images that were attacked.
        class_names: by label.
        trained_by: the last stage that trained each model; empty if it is not known.

    Returns:
        The files by the caption they have in the report.
    """
    directory.mkdir(parents=True, exist_ok=True)

    def of_stages(key: str) -> dict[str, np.ndarray]:
        return {stage: found[key] for stage, found in arrays.items() if key in found}

    drawn = {}
    if any(model.attacks for model in results.values()):
        drawn[CURVES] = directory / "robustness.png"
        curves = {stage: Curves.of(model) for stage, model in results.items()}
        robustness_curves(curves, drawn[CURVES])
    if margins := of_stages("relative_margins"):
        path = drawn["Margins on the attacked images"] = directory / "margins.png"
        unit = "distance to the nearest boundary / length of the vector"
        margin_histogram(margins, path, unit)
    if positive := of_stages("positive_cosines"):
        path = drawn["Cosines of pairs"] = directory / "similarities.png"
        both = config.loss.positive_margin, config.loss.negative_margin
        pulled = {
            stage: both
            for stage, trained in trained_by.items()
            if "margin" in trained.loss_weights
        }
        similarity_histogram(positive, of_stages("negative_cosines"), path, pulled)
    if results["final"].attacks:
        drawn |= _draw_attacked(directory, config, model, split, class_names)
    return drawn


def _draw_attacked(
    directory: Path,
    config: Config,
    model: keras.Model,
    split: Split,
    class_names: tuple[str, ...],
) -> dict[str, Path]:
    """The grid of adversarial examples, and the map of what they do to embeddings."""
    settings, seed = config.evaluation, config.seed
    rows = balanced_sample(split.labels, MAPPED, seed)
    np.random.default_rng(seed).shuffle(rows)
    images = split.images[rows].astype(np.float32) / 255
    labels = split.labels[rows]
    epsilon = settings.epsilons[len(settings.epsilons) // 2]
    attack = make_attack("fgsm", epsilon, settings, seed)
    adversarial = np.asarray(attack(model, images, labels))
    title = f"FGSM, epsilon {strength_text(epsilon, settings.norm)}"
    names = legible(class_names, "class", NAME_WIDTH)
    shown = slice(0, SHOWN)
    drawn = {"Adversarial examples": directory / "adversarial.png"}
    before, after = (
        np.argmax(model(pictures[shown], training=False), axis=1)
        for pictures in (images, adversarial)
    )
    adversarial_grid(
        images[shown],
        adversarial[shown],
        labels[shown],
        before,
        after,
        names,
        drawn["Adversarial examples"],
        title,
    )
    if isinstance(model, ContrastiveClassifier):
        path = drawn["Embeddings, clean and attacked"] = directory / "embedding.png"
        clean, attacked = (
            np.concatenate(
                [
                    np.asarray(model.embed(pictures[start : start + BATCH_SIZE]))
                    for start in range(0, len(pictures), BATCH_SIZE)
                ]
            )
            for pictures in (images, adversarial)
        )
        embedding_map(clean, attacked, labels, names, path, seed, title)
    return drawn
