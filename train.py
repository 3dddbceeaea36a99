"""Trains an image classifier that is harder to fool, attacks it, and reports.

The story of a run: flags, data, model, stages, evaluation, report. A run that was
stopped goes on where it was when the same command is given again.
"""

import contextlib
import sys
from typing import TYPE_CHECKING

from supcon_tf.commands.flags import (
    config_from,
    default_run_dir,
    define_config,
    define_path,
    new_flags,
    parse,
    run_command,
)
from supcon_tf.config import Config
from supcon_tf.runs.folder_lock import sole_use
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.runtime.environment import prepare_environment
from supcon_tf.runtime.stop_signal import leaving_on_sigterm

if TYPE_CHECKING:
    from supcon_tf.data import ImageData
    from supcon_tf.distribution.workers import Workers

USAGE = f"""
usage: python train.py --flagfile=flags/digits.flags [--flag=value ...]
       python -m supcon_tf.train --flagfile=digits.flags [--flag=value ...]

Trains in stages ({", ".join(Config.stage_names())}), attacks the result and writes
a run folder with the model, robustness.json and report.md. The same command resumes a
run. The second form needs no checkout.
"""


def main(argv: list[str]) -> None:
    config, run_dir = parse_flags(argv)
    prepare_environment()
    with leaving_on_sigterm(), contextlib.ExitStack() as held:
        # TensorFlow takes seconds to load: a wrong flag should not have to wait for it.
        from supcon_tf.distribution.workers import join_workers

        workers = join_workers(config)
        folder = RunFolder(run_dir)
        with workers.session():
            workers.on_chief(lambda: held.enter_context(sole_use(folder.path)))
            data = train_together(config, folder, workers)
        if workers.is_chief:
            evaluate(config, folder, data)


def train_together(
    config: Config, folder: RunFolder, workers: "Workers"
) -> "ImageData":
    """The training, on this machine as one of many or the only one, and its data."""
    from supcon_tf.data import load
    from supcon_tf.training.run import train
    from supcon_tf.training.setup import prepare_process

    prepare_process(config)
    workers.on_chief(lambda: folder.check(config))
    # The others don't see the folder, in which a run may be that knows only one way.
    by_order = workers.on_chief(lambda: folder.held_out_by() == "order")
    by_order = bool(workers.chief_says(bool(by_order)))
    data = load(config.data, "order" if by_order else "name")
    workers.refuse_difference("images", data.fingerprint.digest.encode())
    print(
        f"{data.name}: {len(data.train)} training, "
        f"{len(data.validation) if data.validation else 0} validation and "
        f"{len(data.test)} test images of {data.num_classes} classes"
    )
    replicas = workers.strategy.num_replicas_in_sync
    print(
        f"batch: {config.batch_size} images, {config.batch_size // replicas} on each "
        f"of {replicas} replica{'s' if replicas > 1 else ''}"
    )
    for note in data.notes:
        print(f"note: {note}")
    workers.on_chief(lambda: refuse_data(folder, config, data))
    workers.on_chief(lambda: refuse_evaluation(folder, config, data))
    train(config, data, folder, workers)
    return data


def evaluate(config: Config, folder: RunFolder, data: "ImageData") -> None:
    """The attacks and the report, unless they are there."""
    from supcon_tf.evaluation.run import evaluate_run, finished_evaluation
    from supcon_tf.results.accuracy import accuracy_table
    from supcon_tf.results.markdown import markdown_table

    result = finished_evaluation(folder, config, data)
    result = result or evaluate_run(folder, config, data)
    print(markdown_table(*accuracy_table(result)))
    print(f"report: {folder.report_file}")


def refuse_data(folder: RunFolder, config: Config, data: "ImageData") -> None:
    """Other images than those of the run, or of another use than before it."""
    from supcon_tf.runs.seen_images import refuse_seen_images

    folder.check_data(data.fingerprint)
    refuse_seen_images(folder, config, data)


def refuse_evaluation(folder: RunFolder, config: Config, data: "ImageData") -> None:
    """What the evaluation would refuse is better refused before hours of training."""
    from supcon_tf.evaluation.run import check_evaluation

    check_evaluation(folder, config, data)


def parse_flags(argv: list[str]) -> tuple[Config, str]:
    """The config and the run folder that the command line asks for."""
    values = new_flags()
    define_path(
        values,
        "run_dir",
        "folder of the run (default runs/FLAGFILE_NAME, or runs/DATASET; for own "
        "images with the name of their folder)",
    )
    define_config(values)
    parse(values, argv, USAGE)
    config = config_from(values)
    run_dir = values["run_dir"].value or default_run_dir(argv, config.data)
    return config, run_dir


if __name__ == "__main__":
    run_command(main, sys.argv)
