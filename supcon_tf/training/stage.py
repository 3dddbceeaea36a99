"""One stage of training, from its config to its finished model."""

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from supcon_tf.config import Config, StageConfig
from supcon_tf.data import ImageData
from supcon_tf.data.pipeline import Batches
from supcon_tf.errors import RunError
from supcon_tf.files import publish, temporary_beside
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.models.build import in_full_precision
from supcon_tf.run_folder import RunFolder
from supcon_tf.training.checkpoint import Checkpoints, Position
from supcon_tf.training.objective import losses_for
from supcon_tf.training.progress import Progress
from supcon_tf.training.schedules import WarmupSchedule, schedule_for
from supcon_tf.training.state import TrainingState
from supcon_tf.training.steps import training_step, validation
from supcon_tf.training.stop_signal import StopSignal
from supcon_tf.visualization.projector import SnapshotWriter
from supcon_tf.workers import Workers

# Cross-entropy over that of guessing that no run on its way comes to in an epoch.
DIVERGED = 1.5


def train_stage(
    name: str,
    config: Config,
    model: ContrastiveClassifier,
    data: ImageData,
    folder: RunFolder,
    workers: Workers,
    stop: StopSignal,
    projector: SnapshotWriter | None = None,
) -> None:
    """Trains `model` as the stage says and saves it; goes on where it was stopped.

    Raises:
        RunError: if a loss or a weight is no longer finite.
        UserError: if the data doesn't give a batch.
    """
    stage = getattr(config, name)
    batches = Batches(
        data.train,
        batch_size=config.batch_size,
        augmentation=stage.augmentation,
        views=stage.views,
        classes_per_batch=config.classes_per_batch,
        seed=config.seed,
        stage=name,
    )
    steps = batches.steps_per_epoch
    schedule = schedule_for(config, name, steps)
    variables = _prepare(name, config, model, schedule, workers.strategy)
    checkpoints = Checkpoints(
        folder.stage(name), run_identity(config, data), stage.epochs, steps
    )
    state = TrainingState(variables, checkpoints, workers)
    position = state.restore()
    if position > Position():
        print(f"{name}: going on after epoch {position.epoch}, step {position.step}")
    # The folder is the chief's: the others report nothing.
    reporters: list[Progress] = []
    if workers.is_chief:
        progress = Progress(
            name,
            stage.epochs,
            steps,
            model.loss_weights,
            config.batch_size,
            folder,
            0 if name == "pretrain" else config.pretrain.epochs * steps,
            config.log_format,
        )
        progress.go_on(position.epoch)
        reporters.append(progress)
    step = training_step(model, workers)
    held_out = data.validation if workers.is_chief else None
    validate = validation(model, held_out, config.batch_size)
    rows = workers.rows(config.batch_size)

    def leave() -> None:
        state.save(position)
        stop.leave()

    def leave_validation() -> None:
        # Of many workers the chief alone is here, and saving takes all of them.
        if workers.count == 1 and stop.requested:
            leave()

    while position.epoch < stage.epochs:
        metrics: dict[str, float] = {}
        for reporter in reporters:
            reporter.begin_epoch(position.step)
        for batch in batches.epoch(position.epoch, position.step, rows):
            metrics, stopping = step(batch, stop.requested)
            _refuse_nonfinite(name, position, metrics, model.loss_weights, checkpoints)
            position = dataclasses.replace(position, step=position.step + 1)
            for reporter in reporters:
                reporter.step(position.step, metrics)
            # Alone, a run need not wait for a step in which all hear of it.
            if stopping or (workers.count == 1 and stop.requested):
                leave()
            if _wants_checkpoint(config, position, steps):
                state.save(position)
        for reporter in reporters:
            reporter.stop_clock()
        # A resume may find the epoch without a step left.
        metrics = metrics or {m.name: float(m.result()) for m in model.metrics}
        metrics |= validate(leave_validation)
        position = Position(position.epoch + 1)
        rate = float(schedule(position.epoch * steps - 1))
        # Written before the checkpoint, since a resume drops a line that is too much,
        # and printed after it: a closed pipe must not cost the epoch.
        for reporter in reporters:
            reporter.end_epoch(position.epoch, metrics, rate)
        for metric in model.metrics:
            metric.reset_state()
        # Before the checkpoint, so that a resume doesn't leave the snapshot out.
        if projector is not None and _wants_snapshot(config, stage, position.epoch):
            digits = len(str(stage.epochs))
            projector.write(
                f"{name}-epoch{position.epoch:0{digits}d}",
                classifier_trained=config.classifier_trained(name),
            )
        state.save(position)
        for reporter in reporters:
            reporter.print_epoch()
        if workers.is_chief:
            _warn_of_divergence(name, position, metrics, data.num_classes)
        if workers.any_says(stop.requested):
            stop.leave()
    if projector is not None:
        projector.write(name, classifier_trained=config.classifier_trained(name))
    if workers.is_chief:
        save_model(model, folder.stage_model_file(name))


def run_identity(config: Config, data: ImageData) -> dict[str, Any]:
    """What must stay the same from one start of a run to the next, by its name."""
    flags = {f"--{name}": value for name, value in config.weight_fields().items()}
    return {**flags, "the digest of the images": data.fingerprint.digest}


def save_model(model: ContrastiveClassifier, path: Path) -> None:
    """Writes the network in full precision, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path) as temporary:
        in_full_precision(model).save(temporary)
        publish(temporary, path)


def _prepare(
    name: str,
    config: Config,
    model: ContrastiveClassifier,
    schedule: WarmupSchedule,
    strategy: tf.distribute.Strategy,
) -> list[keras.Variable]:
    """Compiles the model for a stage; returns all that changes while it trains."""
    stage = getattr(config, name)
    model.encoder.trainable = not stage.freeze_encoder
    with strategy.scope():
        optimizer = keras.optimizers.SGD(
            schedule, momentum=config.momentum, nesterov=config.momentum > 0
        )
        model.compile(
            optimizer, losses_for(stage, config.loss), weight_decay=config.weight_decay
        )
        # Not always the optimizer given: mixed_float16 wraps it to scale the loss.
        model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    variables += [v for metric in model.metrics for v in metric.variables]
    return list({id(v): v for v in variables}.values())


def _wants_snapshot(config: Config, stage: StageConfig, epoch: int) -> bool:
    every = config.projector.projector_every
    # The end of the stage has a snapshot of its own.
    return bool(every) and epoch % every == 0 and epoch < stage.epochs


def _wants_checkpoint(config: Config, position: Position, steps: int) -> bool:
    every = config.checkpoint_steps
    # The end of the epoch has a checkpoint of its own.
    return bool(every) and position.step % every == 0 and position.step < steps


def _warn_of_divergence(
    name: str, position: Position, metrics: Mapping[str, float], num_classes: int
) -> None:
    """Says so when an epoch ends worse than it could have begun."""
    guessing = math.log(num_classes)
    found = metrics.get("cross_entropy", 0.0)
    if found > DIVERGED * guessing:
        print(
            f"warning: {name} diverges: cross-entropy is {found:.3g} in epoch "
            f"{position.epoch}, where guessing has {guessing:.3g}; a lower "
            f"--{name}_learning_rate or a longer --{name}_warmup_epochs may help",
            file=sys.stderr,
        )


def _refuse_nonfinite(
    name: str,
    position: Position,
    metrics: Mapping[str, float],
    weights: Mapping[str, float],
    checkpoints: Checkpoints,
) -> None:
    broken = [part for part in weights if not math.isfinite(metrics[part])]
    if broken:
        raise RunError(
            f"the {' and '.join(broken)} loss of {name} is no longer finite in epoch "
            f"{position.epoch + 1}, step {position.step + 1}: a lower "
            f"--{name}_learning_rate or --{name}_{broken[0]}_weight may help. "
            f"The last good checkpoint stays in {checkpoints.directory}"
        )
