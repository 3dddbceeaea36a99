"""Learning rate over the steps of a stage, or of several."""

import math
from typing import Any

import keras
import tensorflow as tf

from supcon_tf.config import Config

ONE_CYCLE_START = 1 / 25


@keras.saving.register_keras_serializable(package="supcon_tf")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to a peak, then stays or falls along half a cosine to 0.

    Args:
        peak: highest learning rate.
        total_steps: steps until 0.
        warmup_steps: steps until the peak.
        form: `"constant"`, `"cosine"`, or `"one_cycle"`, which starts at 1/25 of the
            peak where the others start at `peak / warmup_steps`.
        first_step: where on the schedule the optimizer's step 0 lies.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        form: str = "cosine",
        first_step: int = 0,
    ) -> None:
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.form = form
        self.first_step = first_step

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32) + self.first_step
        warmup = tf.constant(float(max(self.warmup_steps, 1)))
        if self.form == "one_cycle":
            start = ONE_CYCLE_START * self.peak
            rising = start + (self.peak - start) * step / warmup
        else:
            rising = self.peak * (step + 1) / warmup
        remaining = max(self.total_steps - self.warmup_steps, 1)
        share = tf.clip_by_value((step - self.warmup_steps) / remaining, 0.0, 1.0)
        falling = self.peak * 0.5 * (1 + tf.cos(math.pi * share))
        after = self.peak if self.form == "constant" else falling
        return tf.where(step < self.warmup_steps, tf.minimum(rising, self.peak), after)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "form": self.form,
            "first_step": self.first_step,
        }


def schedule_for(config: Config, stage: str, steps_per_epoch: int) -> WarmupSchedule:
    """The schedule of a stage; with `continue`, its part of one over several stages.

    Warm-up that is longer than the schedule is cut to it, with a line said.
    """
    shared = config.schedule_of(stage)
    settings, epochs = config.stage(shared.leader), shared.epochs
    if settings.warmup_epochs > epochs and shared.first_epoch == 0:
        print(
            f"{stage}: --{shared.leader}_warmup_epochs={settings.warmup_epochs:g} is "
            f"cut to the {epochs} epochs of its schedule"
        )
    return WarmupSchedule(
        settings.learning_rate,
        epochs * steps_per_epoch,
        round(min(settings.warmup_epochs, epochs) * steps_per_epoch),
        settings.schedule,
        shared.first_epoch * steps_per_epoch,
    )
