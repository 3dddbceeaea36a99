"""Nothing is lost when a run is killed, wherever that happens."""

import itertools
import json
import random
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import (
    LegacyEventFileLoader,
)

from supcon_tf.models import load_model
from tests.forked import PATIENCE

FLAGS = (
    "--dataset=digits",
    "--limit_train=200",
    "--limit_test=100",
    "--width=4",
    "--batch_size=16",
    "--pretrain_epochs=2",
    "--pretrain_augmentation=crop_flip",
    "--finetune_epochs=2",
    # Noise, a running average and the best epoch must come back too.
    "--finetune_adversary=nfgsm",
    "--ema_decay=0.9",
    "--checkpoint_steps=5",
    "--attacks=fgsm,noise",
    "--epsilons=8,16",
    "--checks_limit=0",
    "--projector_images=20",
    "--deterministic",
)
KILLS = 10


@pytest.fixture(scope="module")
def runs(tmp_path_factory, start_train):
    """A folder with a whole run, and the names of runs in it that were killed.

    At random points, until there were enough kills.
    """
    folder, rng = tmp_path_factory.mktemp("killed"), random.Random(0)
    # Images in memory, and images that stay encoded, in turns: the bits are the same.
    caches = itertools.cycle(("--cache_gib=4", "--cache_gib=0"))

    def comes_to_its_end(name, seconds):
        run = start_train(*FLAGS, next(caches), f"--run_dir={folder / name}")
        run.process.join(seconds)
        if run.is_running():
            run.kill()
            run.process.join()
            return False
        assert run.process.exitcode == 0, "\n".join(run.errors)
        return True

    # The process that others are forked from is there before the clock starts.
    start_train("--help").end()
    begin = time.monotonic()
    assert comes_to_its_end("whole", PATIENCE)
    length = time.monotonic() - begin
    kills, killed = 0, []
    while kills < KILLS or not killed:
        name = f"killed-{len(killed)}"
        # Short enough that a run is killed again and again before its end.
        seconds = PATIENCE if kills >= KILLS else rng.uniform(0, 0.6 * length)
        if comes_to_its_end(name, seconds):
            killed.append(name)
        else:
            assert seconds < PATIENCE
            kills += 1
    return folder, killed


def accuracies(run):
    """robustness.json without what differs from one computer's day to another's."""
    result = json.loads((run / "robustness.json").read_text())
    for model in result["models"]:
        # A .keras file tells when it was saved.
        del model["model_sha256"]
        for row in model["attacks"]:
            del row["seconds"]
    return result


@pytest.mark.slow
def test_killed_runs_end_with_the_weights_of_a_whole_one(runs):
    folder, killed = runs
    for name in killed:
        for file in ("model.keras", "pretrain/model.keras"):
            whole = load_model(folder / "whole" / file)
            again = load_model(folder / name / file)
            for one, same in zip(whole.variables, again.variables, strict=True):
                np.testing.assert_array_equal(one, same, err_msg=f"{name} {one.path}")


@pytest.mark.slow
def test_killed_runs_end_with_the_accuracies_of_a_whole_one(runs):
    folder, killed = runs
    for name in killed:
        assert accuracies(folder / name) == accuracies(folder / "whole")


@pytest.mark.slow
def test_killed_runs_have_each_epoch_once(runs):
    folder, killed = runs

    def epochs(name):
        lines = (folder / name / "metrics.jsonl").read_text().splitlines()
        kept = ("stage", "epoch", "loss", "accuracy", "val_accuracy", "learning_rate")
        kept += ("robust_accuracy", "abnormal")
        return [[json.loads(line).get(key) for key in kept] for line in lines]

    def scalars(name):
        found = []
        tensorboard = folder / name / "tensorboard"
        for stage in ("pretrain", "finetune"):
            for path in (tensorboard / stage).glob("events.out*"):
                for event in LegacyEventFileLoader(str(path)).Load():
                    found += [(stage, event.step, v.tag) for v in event.summary.value]
        return sorted(found)

    for name in killed:
        assert epochs(name) == epochs("whole")
        assert scalars(name) == scalars("whole")


@pytest.mark.slow
def test_killed_runs_leave_the_files_of_a_whole_one(runs):
    folder, killed = runs

    def files(name):
        found = (path.relative_to(folder / name) for path in (folder / name).rglob("*"))
        # TensorBoard has a file for each start.
        return {str(path) for path in found if "events.out" not in path.name}

    for name in killed:
        extra = files(name) ^ files("whole")
        assert {path for path in extra if "projector/seen" not in path} == set()
