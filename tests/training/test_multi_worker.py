"""Several processes on loopback train as one: equal, resumable, and never hanging."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from supcon_tf.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[2]
# Ten steps of pretraining, then five of fine-tuning.
FLAGS = (
    "--dataset=digits",
    "--limit_train=200",
    "--limit_test=40",
    "--width=2",
    "--batch_size=32",
    "--pretrain_epochs=2",
    "--finetune_epochs=1",
    "--epsilons=8",
    "--checks_limit=0",
    "--projector_images=0",
    "--dtype_policy=float64",
)
MULTI = (*FLAGS, "--strategy=multi_worker")
SECONDS = 600


def free_ports(count):
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


def tf_config(index, ports):
    workers = [f"127.0.0.1:{port}" for port in ports]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


class Worker:
    """A process of `train.py`, whose output is collected as it comes."""

    def __init__(self, *words, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "train.py", *words],
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output, self.errors = [], []
        self._readers = [
            threading.Thread(target=lines.extend, args=(stream,), daemon=True)
            for lines, stream in (
                (self.output, self.process.stdout),
                (self.errors, self.process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    def has_said(self, text):
        return any(text in line for line in list(self.output))

    def end(self, seconds=SECONDS):
        """Its exit code and the last line of its errors."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join()
        return code, self.errors[-1].strip() if self.errors else ""


@contextlib.contextmanager
def pair(folder):
    """Two workers of one run; the second is given a folder of its own by mistake."""
    ports = free_ports(2)
    folders = (folder, folder.with_name(f"{folder.name}-second"))
    workers = [
        Worker(*MULTI, f"--run_dir={path}", TF_CONFIG=tf_config(index, ports))
        for index, path in enumerate(folders)
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()


def wait_until(condition, worker):
    give_up = time.monotonic() + SECONDS
    while not condition():
        assert worker.process.poll() is None, worker.end()
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a whole run of two workers, and what each of them printed."""
    folder = tmp_path_factory.mktemp("pair") / "run"
    with pair(folder) as workers:
        ends = [worker.end() for worker in workers]
    assert [code for code, _ in ends] == [0, 0], ends
    return folder, workers


def last_state(folder, stage):
    """All variables, the optimizer's and the metrics' too, at the end of a stage."""
    newest = max((Path(folder) / stage).glob("checkpoint-*.npz"))
    with np.load(newest) as file:
        return {name: file[name] for name in file.files if name != "header"}


def assert_same_end(folder, other, tolerance, stages=("pretrain", "finetune")):
    for stage in stages:
        one, same = last_state(folder, stage), last_state(other, stage)
        for name, value in one.items():
            np.testing.assert_allclose(value, same[name], rtol=0, atol=tolerance)


@pytest.mark.slow
def test_two_processes_end_as_one_with_the_same_global_batch(trained, tmp_path):
    alone = Worker(*FLAGS, f"--run_dir={tmp_path / 'run'}", "--finetune_epochs=0")
    assert alone.end()[0] == 0
    assert_same_end(trained[0], tmp_path / "run", 1e-8, ["pretrain"])


@pytest.mark.slow
def test_only_the_chief_writes_and_reports(trained):
    folder, (chief, second) = trained
    assert [line["epoch"] for line in RunFolder(folder).metrics()] == [1, 2, 1]
    for name in ("model.keras", "report.md", "robustness.json", "tensorboard"):
        assert (folder / name).exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert chief.has_said("batch: 32 images, 16 on each of 2 replicas")
    assert second.output == []


def assert_lost(worker):
    """Ends within a minute of the other's end, in one line."""
    code, line = worker.end(60)
    assert code == 1
    assert line.startswith("error: another worker is gone")


@pytest.mark.slow
def test_stopped_and_killed_workers_go_on_to_the_same_end(trained, tmp_path):
    folder = tmp_path / "run"
    with pair(folder) as (chief, second):
        # While the first step is built, for seconds.
        wait_until(lambda: any((folder / "tensorboard").rglob("events*")), chief)
        second.process.send_signal(signal.SIGTERM)
        assert chief.end()[0] == 143
        assert second.end()[0] == 143
    (saved,) = (folder / "pretrain").iterdir()
    assert saved.name in [f"checkpoint-00000-000000{step}.npz" for step in range(1, 5)]
    with pair(folder) as (chief, second):
        wait_until(lambda: (folder / "pretrain/model.keras").exists(), chief)
        assert chief.has_said("pretrain: going on after epoch 0, step ")
        second.process.kill()
        assert_lost(chief)
    logs = folder / "tensorboard/finetune"
    earlier = len(list(logs.glob("events*")))
    with pair(folder) as (chief, second):
        wait_until(lambda: len(list(logs.glob("events*"))) > earlier, chief)
        chief.process.kill()
        assert_lost(second)
    with pair(folder) as workers:
        assert [worker.end()[0] for worker in workers] == [0, 0]
    assert_same_end(trained[0], folder, 0)
