"""An export from beginning to end: load, fold, write, verify, publish."""

import dataclasses
import json
import zipfile
from pathlib import Path

from supcon_tf.config import FINAL, Config
from supcon_tf.data import load
from supcon_tf.data.splits import balanced_sample
from supcon_tf.errors import UserError
from supcon_tf.export.archive import write_archive
from supcon_tf.export.model_card import model_card
from supcon_tf.export.settings import ExportSettings
from supcon_tf.export.verification import verify
from supcon_tf.export.versions import choose_version, new_version
from supcon_tf.models import ContrastiveClassifier, load_model
from supcon_tf.models.build import with_dtype_policy
from supcon_tf.models.folding import fold_batch_norm
from supcon_tf.models.twin import layers_of
from supcon_tf.runs.run_folder import RunFolder


def export_run(settings: ExportSettings) -> Path:
    """Exports a model of a run; the version exists only once it is verified.

    Returns:
        The folder of the new version.

    Raises:
        UserError: if the run has no such model, it can't be loaded, or the version is
            taken.
        RunError: if the exported model does not answer as the run's model does.
    """
    folder = RunFolder(settings.run_dir)
    config = folder.config()
    output = Path(settings.output)
    version = choose_version(output, settings.model_version)
    model = _as_float32(_load(folder, config, settings.stage))
    names = model.class_names or tuple(map(str, range(model.num_classes)))
    shape = tuple(model.encoder.input_shape[1:])
    place = settings.data_dir or config.data.data_dir
    images = dataclasses.replace(config.data, data_dir=place)
    data = load(images, folder.held_out_by())
    folder.check_data(data.fingerprint)
    if data.image_shape != shape or data.num_classes != model.num_classes:
        raise UserError(
            f"--run_dir: the model takes {shape} images of {model.num_classes} "
            f"classes, but {data.name} now has {data.image_shape} images of "
            f"{data.num_classes}. Received: {folder.path}"
        )
    rows = balanced_sample(data.test.labels, settings.verify_images, config.seed)
    folded = settings.fold_batch_norm
    card = model_card(folder, config, settings.stage, names, shape, folded)
    with new_version(output, version) as temporary:
        exported = fold_batch_norm(model) if folded else model
        write_archive(temporary, exported, names, config, card)
        verify(temporary, model, names, data.test.images[rows], exact=not folded)
    return output / str(version)


def _load(folder: RunFolder, config: Config, stage: str) -> ContrastiveClassifier:
    path = folder.model(stage)
    if stage != FINAL and not config.stage(stage).epochs:
        raise UserError(
            f"--stage={stage} needs a run with a {stage} stage. "
            f"Received: {folder.path} (--{stage}_epochs=0)"
        )
    if not path.is_file():
        raise UserError(
            f"--run_dir must hold a finished {path.relative_to(folder.path)}. "
            f"Received: {folder.path}"
        )
    try:
        model = load_model(path)
    except UserError as error:
        raise UserError(f"{error}{_written_by(path)}") from error
    if not isinstance(model, ContrastiveClassifier):
        raise UserError(
            f"{path} must be a ContrastiveClassifier. Received: {type(model).__name__}"
        )
    return model


def _as_float32(model: ContrastiveClassifier) -> ContrastiveClassifier:
    """Images are declared float32, so the arithmetic is, however it was trained."""
    if {layer.compute_dtype for layer in layers_of(model)} == {"float32"}:
        return model
    return with_dtype_policy(model, "float32")


def _written_by(path: Path) -> str:
    """The Keras that wrote a model file, where it differs from the one that runs."""
    import keras

    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return ""
    if version == keras.__version__:
        return ""
    return f" (written by Keras {version}; this is {keras.__version__})"
