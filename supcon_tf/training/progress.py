"""What a stage says while it trains: bar, lines, metrics.jsonl, TensorBoard."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.visualization.tensorboard.log import keep_events_until


class Progress:
    """Reports the epochs of one stage.

    Args:
        stage: its name.
        epochs: how many it has.
        steps: steps in an epoch.
        weights: the weight of each part of the loss.
        images_per_step: images (not views) in a global batch.
        folder: where metrics.jsonl and TensorBoard's files go.
        first_step: the run's steps before this stage, for TensorBoard's axis.
        log_format: `"text"` or `"json"`, of the line printed for each epoch.
    """

    def __init__(
        self,
        stage: str,
        epochs: int,
        steps: int,
        weights: Mapping[str, float],
        images_per_step: int,
        folder: RunFolder,
        first_step: int = 0,
        log_format: str = "text",
    ) -> None:
        self.stage = stage
        self.epochs = epochs
        self.steps = steps
        self.weights = weights
        self.images_per_step = images_per_step
        self.folder = folder
        self.first_step = first_step
        self.log_format = log_format
        self._bar: keras.utils.Progbar | None = None
        self._started = 0.0
        self._seconds = 0.0
        self._first_of_epoch = 0
        self._line: dict[str, Any] = {}

    def go_on(self, epoch: int) -> None:
        """Drops what was written of epochs after `epoch`, which are to be run again."""
        self.folder.keep_metrics_before(self.stage, epoch)
        events = self.folder.tensorboard / self.stage
        keep_events_until(events, self.first_step + epoch * self.steps)
        self._writer = tf.summary.create_file_writer(str(events))

    def begin_epoch(self, done: int) -> None:
        """Starts the clock; `done` steps of the epoch were run before a resume."""
        self._started = time.monotonic()
        self._first_of_epoch = done
        # On a terminal only: elsewhere a bar becomes a thousand lines.
        if self.log_format == "text" and sys.stdout.isatty():
            names = ["loss", *self.weights, "accuracy", "contrastive_accuracy"]
            self._bar = keras.utils.Progbar(self.steps, stateful_metrics=names)

    def step(self, done: int, metrics: Mapping[str, float]) -> None:
        if self._bar is not None:
            self._bar.update(done, list(metrics.items()), finalize=False)

    def stop_clock(self) -> None:
        """Ends the time that images/s is measured over."""
        self._seconds = time.monotonic() - self._started

    def end_epoch(
        self, epoch: int, metrics: Mapping[str, float], learning_rate: float
    ) -> None:
        """Writes the epoch (counted from 1) to metrics.jsonl and to TensorBoard."""
        seconds = self._seconds
        steps = self.steps - self._first_of_epoch
        line = self._line = {
            "stage": self.stage,
            "epoch": epoch,
            **metrics,
            "weights": dict(self.weights),
            "learning_rate": learning_rate,
            # A resume may find an epoch without a step left, which tells no speed.
            "images_per_second": (
                steps * self.images_per_step / max(seconds, 1e-9) if steps else None
            ),
            "seconds": seconds,
        }
        self.folder.append_metrics(line)
        with self._writer.as_default(step=self.first_step + epoch * self.steps):
            for name, value in {**metrics, "learning_rate": learning_rate}.items():
                tf.summary.scalar(f"epoch/{name}", value)
            if steps:
                tf.summary.scalar("epoch/images_per_second", line["images_per_second"])
        self._writer.flush()

    def print_epoch(self) -> None:
        """Prints the line of the epoch that has ended.

        Once its checkpoint is written: the reader of a pipe may be gone, and the line
        then ends the run.
        """
        if self._bar is not None:
            print("\r\033[K", end="")
        json_wanted = self.log_format == "json"
        text = json.dumps(self._line) if json_wanted else self._text(self._line)
        print(text, flush=True)

    def _text(self, line: Mapping[str, Any]) -> str:
        parts = " + ".join(
            f"{weight:g} x {name} {line[name]:.3f}"
            for name, weight in self.weights.items()
        )
        remaining = (self.epochs - line["epoch"]) * self.steps * self.images_per_step
        text = (
            f"{self.stage} {line['epoch']}/{self.epochs}: loss {line['loss']:.3f} "
            f"({parts}), accuracy {line['accuracy']:.1%}"
        )
        if "val_accuracy" in line:
            text += f", validation {line['val_accuracy']:.1%}"
        if "robust_accuracy" in line:
            text += f", under PGD {line['robust_accuracy']:.1%}"
        if line["images_per_second"] is None:
            return text
        text += f", {line['images_per_second']:.0f} images/s"
        if remaining:
            text += f", {duration(remaining / line['images_per_second'])} left"
        return text


def duration(seconds: float) -> str:
    """Seconds in words for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
