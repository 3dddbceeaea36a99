"""What a report is made of."""

from dataclasses import dataclass
from pathlib import Path

from supcon_tf.results.markdown import plain
from supcon_tf.results.record import EvaluationResult


@dataclass(frozen=True)
class Picture:
    """A figure that was drawn.

    Args:
        caption: what it shows.
        path: its file, in a folder of the report's.
        section: of the report that it belongs to, "accuracy" or "embedding".
    """

    caption: str
    path: Path
    section: str


@dataclass(frozen=True)
class Content:
    """What the sections of a report take their text from.

    Args:
        name: of the data set.
        result: the evaluation.
        introduction: what was evaluated, in a paragraph.
        origin: of data and model, as list items.
        pictures: in the order that they are shown in.
    """

    name: str
    result: EvaluationResult
    introduction: str
    origin: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


def images_text(result: EvaluationResult) -> str:
    """The images that were attacked, in words."""
    return f"{result.num_examples} {result.split} images of {plain(result.dataset)}"
