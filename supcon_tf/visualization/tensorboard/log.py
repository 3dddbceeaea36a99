"""What a finished evaluation leaves in TensorBoard: figures and hyper-parameters."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import (
    LegacyEventFileLoader,
)
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary
from tensorboard.plugins.hparams import summary_v2 as hparams_api

from supcon_tf.config import Config
from supcon_tf.config.options import plain_number
from supcon_tf.results.record import EvaluationResult
from supcon_tf.runs.files import publish, temporary_beside

FIGURES = "figures"
EVALUATION = "evaluation"


def keep_events_until(directory: Path, step: int) -> None:
    """Drops the events of later steps, which are about to be written again."""
    for path in directory.glob("events.out.tfevents.*"):
        events = list(LegacyEventFileLoader(str(path)).Load())
        kept = [event for event in events if event.step <= step]
        if len(kept) < len(events):
            with temporary_beside(path) as temporary:
                with tf.io.TFRecordWriter(str(temporary)) as writer:
                    for event in kept:
                        writer.write(event.SerializeToString())
                publish(temporary, path)


def log_images(tensorboard: Path, pictures: Mapping[str, Path], step: int = 0) -> None:
    """Shows picture files under TensorBoard's images, in place of earlier ones.

    Args:
        tensorboard: TensorBoard's log folder of the run.
        pictures: files in any format that Pillow reads, by the name to show.
        step: of the training, for the slider.
    """
    with _only_events_of(tensorboard / FIGURES) as writer, writer.as_default(step=step):
        for name, path in pictures.items():
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            tf.summary.image(name, pixels[None])


def log_hparams(tensorboard: Path, config: Config, result: EvaluationResult) -> None:
    """Logs a run's flags with its final accuracies, so that runs can be sorted by them.

    There is no experiment-wide list of columns: of several runs TensorBoard would take
    that of the first. Without it, it shows the accuracies of all runs, and those flags
    first that differ between them.

    Args:
        tensorboard: TensorBoard's log folder, directly in the run folder.
        config: the run's; what changes neither weights nor evaluation is left out.
        result: what robustness.json holds.
    """
    flags = hyperparameters(config)
    run = tensorboard.resolve().parent.name
    # Runs of one trial are averaged, so folders of one name must differ by their flags.
    digest = hashlib.sha256(repr(sorted(flags.items())).encode()).hexdigest()[:6]
    start = hparams_api.hparams_pb(flags, trial_id=f"{run} {digest}")
    end = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
    with _only_events_of(tensorboard / EVALUATION) as writer, writer.as_default(step=0):
        for message in (start, end):
            tf.summary.experimental.write_raw_pb(message.SerializeToString())
        for name, accuracy in final_accuracies(result).items():
            tf.summary.scalar(name, accuracy)


def hyperparameters(config: Config) -> dict[str, bool | int | float | str]:
    """The flags that matter to a result, lists as comma-separated text."""
    return {
        flag: _scalar(value)
        for flag, value, allowed in config.options()
        if allowed.changes != "nothing"
    }


def final_accuracies(result: EvaluationResult) -> dict[str, float]:
    """`final/clean` and `final/ATTACK_EPSILON` of the last model in robustness.json.

    The epsilon is in 1/255 for L-inf; for L2 it is in [0,1] pixel units and marked.
    A classifier that was never trained has no accuracies.
    """
    model = result.final
    if model.attacks is None or model.clean_accuracy is None:
        return {}
    accuracies = {"final/clean": model.clean_accuracy}
    for row in model.attacks:
        size = "l2_" * (row.norm == "l2") + plain_number(row.strength)
        accuracies[f"final/{row.name}_{size}"] = row.accuracy
    return accuracies


@contextlib.contextmanager
def _only_events_of(directory: Path) -> Iterator[tf.summary.SummaryWriter]:
    """A writer into a folder whose earlier event files go once it has written."""
    earlier = list(directory.glob("events.out.tfevents.*"))
    writer = tf.summary.create_file_writer(str(directory))
    yield writer
    writer.close()
    for path in earlier:
        path.unlink()


def _scalar(value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return ",".join(map(plain_number, value))
    return str(value)
