"""What a report says of the models and the images before their figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supcon_tf.config import Config
from supcon_tf.data import ImageData
from supcon_tf.evaluation.report.content import images_text
from supcon_tf.results.markdown import plain
from supcon_tf.results.record import EvaluationResult
from supcon_tf.runs.history import history_sentence


def run_introduction(
    config: Config, history: Mapping[str, Any], result: EvaluationResult, part: str
) -> str:
    """What a run trained, on what it was attacked, and their part in training."""
    return (
        f"ResNet-18 of width {config.model.width}, trained in "
        f"{history_sentence(history)}, seed {config.seed}; attacked on "
        f"{images_text(result)}{part}"
    )


def file_introduction(path: Path, parameters: int, result: EvaluationResult) -> str:
    """Where a model of unknown history comes from, and on what it was attacked."""
    return (
        f"The Keras model {plain(path.name)} ({parameters:,} parameters), attacked on "
        f"{images_text(result)}. Whether it has seen them before is not known here."
    )


def data_line(data: ImageData) -> str:
    """The sizes of a data set."""
    return (
        f"data: {plain(data.name)}, {len(data.train)} training images, "
        f"{len(data.validation) if data.validation else 0} validation, "
        f"{len(data.test)} test, {data.num_classes} classes"
    )
