"""A sweep whose runs are real, stopped in the middle of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweep.looks import statuses, until

REPOSITORY = Path(__file__).parents[2]
WORDS = (
    *("--grid=seed=0,1", "--dataset=digits", "--limit_train=200", "--limit_test=40"),
    *("--width=2", "--batch_size=32", "--pretrain_epochs=2", "--finetune_epochs=0"),
    *("--pretrain_augmentation=none", "--attacks=fgsm", "--epsilons=8"),
    *("--checks_limit=0", "--projector_images=0"),
)


@pytest.mark.slow
def test_a_real_sweep_goes_on_with_its_run_where_that_was_stopped(tmp_path):
    folder = tmp_path / "a sweep"
    command = [sys.executable, "-m", "supcon_tf.sweep", *WORDS, f"--output={folder}"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **streams) as first:
        until(folder / "seed=0" / "metrics.jsonl")
        first.terminate()
        _, error = first.communicate()
    assert first.returncode == 143, error
    assert statuses(folder) == {"seed=0": "waiting", "seed=1": "waiting"}
    log = (folder / "seed=0" / "log.txt").read_text()
    assert "stopped by SIGTERM; the same command goes on from here" in log
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, **streams, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(folder) == {"seed=0": "done", "seed=1": "done"}
    assert "| seed=0 +1 | 2 " in done.stdout
    # The epoch that was finished is not made again.
    log = (folder / "seed=0" / "log.txt").read_text()
    assert log.count("pretrain 1/2: ") == 1
    lines = (folder / "seed=0" / "metrics.jsonl").read_text().splitlines()
    epochs = [(line["stage"], line["epoch"]) for line in map(json.loads, lines)]
    assert epochs == [("pretrain", 1), ("pretrain", 2)]
