"""How a model becomes a file."""

from pathlib import Path

import keras

from supcon_tf.models.build import in_full_precision
from supcon_tf.runs.files import publish, temporary_beside


def save_model(model: keras.Model, path: Path) -> None:
    """Writes the network in full precision, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path) as temporary:
        in_full_precision(model).save(temporary)
        publish(temporary, path)
