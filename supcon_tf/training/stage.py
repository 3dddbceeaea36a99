"""One stage of training, from its config to its finished model."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from supcon_tf.config import Config
from supcon_tf.data import ImageData
from supcon_tf.data.batches import Batches
from supcon_tf.data.pipeline import batches_of
from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import UserError
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.models.saving import save_model
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.runtime.stop_signal import StopSignal
from supcon_tf.training.checkpoint import Checkpoints, Position
from supcon_tf.training.health import (
    refuse_nonfinite,
    warn_of_collapse,
    warn_of_divergence,
)
from supcon_tf.training.held_out import HeldOutImages
from supcon_tf.training.preparation import prepare
from supcon_tf.training.progress import Progress
from supcon_tf.training.schedules import schedule_for
from supcon_tf.training.state import TrainingState, stage_identity
from supcon_tf.training.steps import training_step
from supcon_tf.visualization.tensorboard.projector import SnapshotWriter


class StageTrainer:
    """Trains a model as one stage of a run says; goes on where it was stopped.

    Args:
        name: of the stage.
        config: of the run.
        model: as the stage before has left it; the stage's own model afterwards.
        data: of the run.
        folder: of the run; the chief alone reads and writes it.
        workers: all processes of the run.
        stop: whether the run was asked to stop.
        projector: takes snapshots of the embeddings, on the chief.

    Raises:
        RunError: if no checkpoint can be used.
        UserError: if the data doesn't give a batch, or holds no validation images
            though an adversary needs them.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        model: ContrastiveClassifier,
        data: ImageData,
        folder: RunFolder,
        workers: Workers,
        stop: StopSignal,
        projector: SnapshotWriter | None = None,
    ) -> None:
        self.name, self.config, self.model, self.data = name, config, model, data
        self.folder, self.workers, self.stop = folder, workers, stop
        self.projector = projector
        self.settings = config.stage(name)
        self.batches = Batches(
            data.train,
            batch_size=config.batch_size,
            augmentation=self.settings.augmentation,
            views=self.settings.views,
            classes_per_batch=config.classes_per_batch,
            seed=config.seed,
            stage=name,
        )
        self.steps = self.batches.steps_per_epoch
        self.schedule = schedule_for(config, name, self.steps)
        prepared = prepare(model, config, name, self.schedule, workers.strategy)
        self.average, self.best = prepared.average, prepared.best
        self.state = TrainingState(
            prepared.variables,
            Checkpoints(
                folder.stage(name),
                stage_identity(config, data, name, self.batches),
                self.settings.epochs,
                self.steps,
            ),
            workers,
        )
        self.step = training_step(model, workers, self.average)
        held_out = data.validation if workers.is_chief else None
        self.held_out = HeldOutImages(model, held_out, config, self.best)
        self.position = self.state.restore()
        # The folder is the chief's: the others report nothing.
        self.reporters = [self._progress()] if workers.is_chief else []

    def run(self) -> None:
        """Trains what is left of the stage and writes its model.

        Raises:
            RunError: if a loss or a weight is no longer finite, or can't be saved.
        """
        if self.position > Position():
            print(
                f"{self.name}: going on after epoch {self.position.epoch}, "
                f"step {self.position.step}"
            )
        while self.position.epoch < self.settings.epochs and not self._collapsed():
            self._run_epoch()
        self._take_result()
        self._snapshot(self.name)
        for remark in self.data.remarks[len(self.data.notes) :]:
            print(f"note: {remark}")
        if self.workers.is_chief:
            save_model(self.model, self.folder.stage_model_file(self.name))

    def _run_epoch(self) -> None:
        metrics = self._train_epoch()
        try:
            # The model as the stage would end with now.
            with self.average.in_place() if self.average else nullcontext():
                metrics |= self._judge_epoch()
        except _Stopping:
            self._leave()
        rate = float(self.schedule(self.position.epoch * self.steps - 1))
        # Written before the checkpoint, since a resume drops a line that is too much,
        # and printed after it: a closed pipe must not cost the epoch.
        for reporter in self.reporters:
            reporter.end_epoch(self.position.epoch, metrics, rate)
        for metric in self.model.metrics:
            metric.reset_state()
        self.state.save(self.position)
        for reporter in self.reporters:
            reporter.print_epoch()
        if self.workers.is_chief:
            warn_of_divergence(
                self.name, self.position.epoch, metrics, self.data.num_classes
            )
        if self.workers.any_says(self.stop.requested):
            self.stop.leave()

    def _train_epoch(self) -> dict[str, float]:
        """The steps that are left of this epoch; its metrics."""
        metrics: dict[str, float] = {}
        rows = self.workers.rows(self.config.batch_size)
        for reporter in self.reporters:
            reporter.begin_epoch(self.position.step)
        for batch in self._batches(rows):
            metrics, stopping = self.step(batch, self.stop.requested)
            refuse_nonfinite(
                self.name,
                self.position,
                metrics,
                self.model.loss_weights,
                self.folder.stage(self.name),
            )
            self.position = Position(self.position.epoch, self.position.step + 1)
            for reporter in self.reporters:
                reporter.step(self.position.step, metrics)
            # Alone, a run need not wait for a step in which all hear of it.
            if stopping or (self.workers.count == 1 and self.stop.requested):
                self._leave()
            if self._wants_checkpoint():
                self.state.save(self.position)
        for reporter in self.reporters:
            reporter.stop_clock()
        # A resume may find the epoch without a step left.
        return metrics or {m.name: float(m.result()) for m in self.model.metrics}

    def _batches(self, rows: tuple[int, int]) -> Iterator[Any]:
        """What is left of this epoch; at an image that can't be read, all is saved."""
        epoch = self.batches.epoch(self.position.epoch, self.position.step, rows)
        try:
            yield from batches_of(epoch, self.data.train)
        except UserError:
            # Of many workers one is here, and saving takes all of them.
            if self.workers.count == 1:
                self.state.save(self.position)
            raise

    def _judge_epoch(self) -> dict[str, float]:
        """What held-out images say of the epoch, which is over then."""

        def stop_between_batches() -> None:
            # Of many workers the chief alone is here, and saving takes all of them.
            if self.workers.count == 1 and self.stop.requested:
                raise _Stopping

        epoch = self.position.epoch + 1
        found = self.held_out.judge(epoch, stop_between_batches)
        self.position = Position(epoch)
        # Before the checkpoint, so that a resume doesn't leave the snapshot out.
        if self._wants_snapshot():
            digits = len(str(self.settings.epochs))
            self._snapshot(f"{self.name}-epoch{epoch:0{digits}d}")
        return found

    def _collapsed(self) -> bool:
        """Whether the last epoch has lost its robustness; says so."""
        best = self.best
        collapsed = best is not None and self.workers.is_chief and best.collapsed
        if collapsed and best is not None:
            warn_of_collapse(self.name, self.position.epoch, best)
        return bool(self.workers.chief_says(collapsed))

    def _take_result(self) -> None:
        """Gives the model the weights that the stage ends with."""
        if self.best is not None:
            if self.workers.is_chief and self.best.epoch:
                self.best.restore()
            self.workers.share(self.model.variables)
        elif self.average is not None:
            self.average.adopt()

    def _leave(self) -> None:
        self.state.save(self.position)
        self.stop.leave()

    def _snapshot(self, label: str) -> None:
        if self.projector is not None:
            trained = self.config.classifier_trained(self.name)
            self.projector.write(label, classifier_trained=trained)

    def _progress(self) -> Progress:
        progress = Progress(
            self.name,
            self.settings.epochs,
            self.steps,
            self.model.loss_weights,
            self.config.batch_size,
            self.folder,
            self.config.epochs_before(self.name) * self.steps,
            self.config.log_format,
        )
        progress.go_on(self.position.epoch)
        return progress

    def _wants_snapshot(self) -> bool:
        every, epoch = self.config.projector.projector_every, self.position.epoch
        # The end of the stage has a snapshot of its own.
        return bool(every) and epoch % every == 0 and epoch < self.settings.epochs

    def _wants_checkpoint(self) -> bool:
        every, step = self.config.checkpoint_steps, self.position.step
        # The end of the epoch has a checkpoint of its own.
        return bool(every) and step % every == 0 and step < self.steps


class _Stopping(Exception):
    """The run was asked to stop while held-out images were looked at."""
