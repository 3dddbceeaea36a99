"""The files of one version: the SavedModel and what lies beside it."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from supcon_tf.config import Config
from supcon_tf.export.model_card import ModelCard, markdown
from supcon_tf.export.signatures import signatures
from supcon_tf.models import ContrastiveClassifier

EXTRA = "assets.extra"


def write_archive(
    folder: Path,
    model: ContrastiveClassifier,
    class_names: tuple[str, ...],
    config: Config,
    card: ModelCard,
) -> None:
    """Writes a SavedModel with its signatures, and `assets.extra`.

    Args:
        folder: an empty folder.
        model: float32 model that is exported as it is.
        class_names: the name of each class.
        config: of the run.
        card: the model card.
    """
    write_saved_model(folder, model, class_names, config.data.crop_to_aspect_ratio)
    # TensorFlow writes no unused asset into assets/ but leaves this folder to others.
    extra = folder / EXTRA
    extra.mkdir()
    (extra / "labels.txt").write_text("".join(f"{name}\n" for name in class_names))
    (extra / "config.json").write_text(config.to_json())
    (extra / "model_card.json").write_text(card.to_json())
    (extra / "MODEL_CARD.md").write_text(markdown(card))


def write_saved_model(
    folder: Path,
    model: ContrastiveClassifier,
    class_names: Sequence[str],
    crop_to_aspect_ratio: bool = False,
) -> None:
    """Writes a float32 model with all its signatures as a SavedModel."""
    archive = keras.export.ExportArchive()
    served = signatures(model, class_names, crop_to_aspect_ratio)
    for name, (function, spec) in served.items():
        archive.add_endpoint(name, function, input_signature=[spec])
    with _quiet():
        archive.write_out(str(folder), verbose=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out TensorFlow's notes on saving, which say nothing to a user."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
