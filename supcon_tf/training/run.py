"""A whole training: the model, its stages, and the finished file."""

import shutil
from functools import partial
from pathlib import Path

import keras
import numpy as np

from supcon_tf.config import Config
from supcon_tf.data import ImageData
from supcon_tf.data.batches import refuse_batches
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import UserError
from supcon_tf.models import ContrastiveClassifier, load_model
from supcon_tf.models.build import build_classifier, check_same_weights
from supcon_tf.runs.files import publish, temporary_beside
from supcon_tf.runs.history import pretrained_file, record_origin
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.runtime.stop_signal import StopSignal
from supcon_tf.training.stage import StageTrainer
from supcon_tf.visualization.tensorboard.projector import SnapshotWriter


def train(
    config: Config,
    data: ImageData,
    folder: RunFolder,
    workers: Workers,
) -> None:
    """Runs what is left of the stages; the result is the folder's model.keras.

    Nothing is written before all that can be refused has been checked.

    Raises:
        UserError: if the data or `--init_from` doesn't fit the config.
        RunError: if training diverges or can't be saved.
    """
    stages = [name for name, _ in config.stages()]
    finished = workers.chief_says(folder.model_file.exists())
    model = None
    if not finished:
        exact = workers.on_chief(lambda: _knew_all_statistics(folder))
        exact = bool(workers.chief_says(bool(exact)))
        model = _first_model(config, data, workers, exact)
    workers.on_chief(lambda: folder.begin(config, data.fingerprint))
    if model is None:
        return
    workers.on_chief(lambda: record_origin(folder, config))
    projector = None
    if config.projector.projector_images > 1 and workers.is_chief:
        projector = SnapshotWriter(
            model,
            data.test,
            folder.tensorboard,
            class_names=data.class_names,
            count=config.projector.projector_images,
            seed=config.data.split_seed,
        )
    with StopSignal() as stop:
        for name in stages:
            if workers.any_says(stop.requested):
                stop.leave()
            stage_model = folder.stage_model_file(name)
            if workers.chief_says(stage_model.exists()):
                workers.on_chief(partial(_resume_from, stage_model, model))
                workers.share(model.variables)
            else:
                StageTrainer(
                    name, config, model, data, folder, workers, stop, projector
                ).run()
        if workers.is_chief:
            with temporary_beside(folder.model_file) as temporary:
                shutil.copyfile(folder.stage_model_file(stages[-1]), temporary)
                publish(temporary, folder.model_file)


def _knew_all_statistics(folder: RunFolder) -> bool:
    """Whether the run is of an earlier version, which took them of all images."""
    known = folder.fingerprint() if folder.has_trained() else None
    return folder.has_trained() and (known is None or known.statistics_of == 0)


def _first_model(
    config: Config, data: ImageData, workers: Workers, exact_statistics: bool
) -> ContrastiveClassifier:
    """The model before its first step, on every worker."""
    refuse_batches(data.train, config.batch_size, config.classes_per_batch)
    _refuse_unguarded_adversary(config, data)
    # Crops are of other pixels then.
    encoded = isinstance(data.train.images, EncodedImages)
    workers.refuse_difference("--cache_gib: some decode all images", b"%d" % encoded)
    mean, std = data.channel_statistics(exact_statistics)
    # A channel that never changes would be divided by 0; one grey level is less still.
    std = np.maximum(std, 1 / 255)
    with workers.strategy.scope():
        model = build_classifier(
            config.model,
            data.image_shape,
            data.class_names,
            mean,
            std,
            config.dtype_policy,
        )
    weights = [f"{v.path} {v.shape} {v.dtype}" for v in model.variables]
    workers.refuse_difference("code: their models differ", repr(weights).encode())
    if config.init_from:
        workers.on_chief(
            lambda: _copy_weights(
                load_model(pretrained_file(config.init_from)),
                model,
                f"--init_from={config.init_from}",
            )
        )
        workers.share(model.variables)
    return model


def _refuse_unguarded_adversary(config: Config, data: ImageData) -> None:
    for name, stage in config.stages():
        if stage.adversary != "none" and data.validation is None:
            raise UserError(
                f"--{name}_adversary needs validation images, which tell when it "
                "overfits: --validation_share must be above 0. "
                f"Received: {config.data.validation_share:g}"
            )


def _resume_from(finished: Path, model: ContrastiveClassifier) -> None:
    """Takes the weights of a stage that was finished earlier."""
    try:
        source = load_model(finished)
    except UserError as error:
        raise UserError(
            f"{error}. Without that file the stage is finished again from its last "
            "checkpoint"
        ) from error
    _copy_weights(source, model, str(finished))


def _copy_weights(
    source: keras.Model, target: ContrastiveClassifier, origin: str
) -> None:
    check_same_weights(target, source, origin)
    for variable, value in zip(target.variables, source.variables, strict=True):
        variable.assign(value.numpy())
