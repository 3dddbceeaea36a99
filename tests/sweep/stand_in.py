"""Takes the place of train.py where a sweep is tested: leaves a run behind at once.

What it does is said by the environment: STAND_IN_FAILS, STAND_IN_DIES and
STAND_IN_WAITS are names of runs, separated by spaces. One that waits does so until
SIGTERM and ends as train.py would, unless there is STAND_IN_IS_DEAF. STAND_IN_WRITES is
FILE=TEXT.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from supcon_tf.commands.flags import (
    config_from,
    define_config,
    define_path,
    new_flags,
    parse,
    run_command,
)
from supcon_tf.errors import RunError
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.runtime.stop_signal import StopSignal


def main(argv):
    values = new_flags()
    define_path(values, "run_dir", "")
    define_config(values)
    parse(values, argv, "")
    config, folder = config_from(values), RunFolder(values["run_dir"].value)
    name = folder.path.name
    with (folder.path / "starts").open("a") as file:
        file.write("started\n")
    folder.begin(config)
    path, _, text = os.environ.get("STAND_IN_WRITES", "").partition("=")
    if path:
        Path(path).write_text(text)
    if name in os.environ.get("STAND_IN_DIES", "").split():
        os.kill(os.getpid(), signal.SIGKILL)
    if name in os.environ.get("STAND_IN_FAILS", "").split():
        print("a warning that says little", file=sys.stderr)
        raise RunError("the loss of this run is not finite")
    (folder.stage("pretrain")).mkdir(exist_ok=True)
    (folder.stage("pretrain") / "checkpoint").touch()
    if name in os.environ.get("STAND_IN_WAITS", "").split():
        wait(folder)
    finish(folder, config)


def wait(folder):
    with StopSignal() as stop:
        (folder.path / "waits").touch()
        while not stop.requested:
            time.sleep(0.01)
        (folder.path / "saved").touch()
        if "STAND_IN_IS_DEAF" in os.environ:
            time.sleep(600)
        stop.leave()


def finish(folder, config):
    for name, _ in config.stages():
        folder.stage(name).mkdir(exist_ok=True)
        if not (model := folder.stage_model_file(name)).exists():
            folder.append_metrics({"stage": name, "epoch": 1})
            model.write_text(f"of {folder.path.name}")
    result = evaluation(config.seed, 0.5 + config.seed / 100)
    folder.robustness_file.write_text(json.dumps(result))
    folder.model_file.touch()
    folder.report_file.write_text("# Report\n")
    print(f"report: {folder.report_file}")


def evaluation(seed, accuracy):
    """What robustness.json holds of a model that was attacked once."""
    attack = {
        "name": "fgsm",
        "norm": "linf",
        "epsilon": 8 / 255,
        "epsilon_255": 8.0,
        "accuracy": accuracy,
        "interval_95": [0.0, 1.0],
        "num_examples": 100,
        "parameters": {},
        "seconds": 1.0,
    }
    model = {
        "stage": "final",
        "clean_accuracy": 0.9,
        "attacks": [attack],
        "embedding": {},
        "checks": None,
    }
    return {
        "schema": 2,
        "dataset": "digits",
        "split": "test",
        "num_examples": 100,
        "seed": seed,
        "versions": {},
        "models": [model],
    }


if __name__ == "__main__":
    run_command(main, sys.argv)
