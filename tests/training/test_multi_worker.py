"""Several processes on loopback train as one: equal, resumable, and never hanging."""

import contextlib
import json
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from supcon_tf.runs.run_folder import RunFolder
from tests.forked import PATIENCE

# Ten steps of pretraining, then five of fine-tuning.
FLAGS = (
    "--dataset=digits",
    "--limit_train=200",
    "--limit_test=40",
    "--width=2",
    "--batch_size=32",
    "--pretrain_epochs=2",
    # Images that stay encoded, and crops of these.
    "--cache_gib=0",
    "--pretrain_augmentation=resized_crop",
    "--finetune_epochs=1",
    "--epsilons=8",
    "--checks_limit=0",
    "--projector_images=0",
    "--dtype_policy=float64",
)
MULTI = (*FLAGS, "--strategy=multi_worker")


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


@pytest.fixture(scope="module")
def pair(start_train):
    """Two workers of one run; the second is given a folder of its own by mistake."""

    @contextlib.contextmanager
    def started(folder):
        ports = free_ports(2)
        folders = (folder, folder.with_name(f"{folder.name}-second"))
        workers = [
            start_train(*MULTI, f"--run_dir={path}", TF_CONFIG=tf_config(index, ports))
            for index, path in enumerate(folders)
        ]
        workers[0].port = ports[0]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.kill()

    return started


def wait_until(condition, worker):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert worker.is_running(), worker.end()
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.fixture(scope="module")
def attended(tmp_path_factory, start_train, pair):
    """A whole run of two workers, and how a third process that came to it ended.

    It believes to be worker 1, on a machine of its own.
    """
    folder = tmp_path_factory.mktemp("pair") / "run"
    with pair(folder) as workers:
        chief = workers[0]
        wait_until(lambda: chief.has_said("batch: "), chief)
        intruder = start_train(
            *(*MULTI, f"--run_dir={folder}-intruder", "--worker_timeout=1"),
            TF_CONFIG=tf_config(1, [chief.port, *free_ports(1)]),
        )
        ends = [worker.end() for worker in workers]
    assert [code for code, _ in ends] == [0, 0], ends
    return folder, workers, intruder.end()


@pytest.fixture(scope="module")
def trained(attended):
    """The folder of a whole run of two workers, and what each of them printed."""
    return attended[:2]


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
def test_two_processes_end_as_one_with_the_same_global_batch(
    trained, start_train, tmp_path
):
    alone = start_train(*FLAGS, f"--run_dir={tmp_path / 'run'}", "--finetune_epochs=0")
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


@pytest.mark.slow
def test_a_process_in_the_place_of_a_worker_at_work_ends_alone(attended):
    _, (chief, _), end = attended
    assert end == (
        1,
        f"error: no answer from worker 127.0.0.1:{chief.port} (where a run is at work "
        "already, or another program) within 1 s (--worker_timeout): start all "
        "workers, with the same cluster",
    )


@pytest.mark.slow
def test_workers_may_become_more_and_fewer(trained, start_train, tmp_path):
    """One, two, three and one again end as one alone; others don't see --init_from."""
    with_start, without = tmp_path / "chief", tmp_path / "others"
    with_start.mkdir()
    without.mkdir()
    (with_start / "start").symlink_to(trained[0])
    words = [
        *(*FLAGS, "--init_from=start", "--batch_size=30", "--cache_gib=4"),
        *("--pretrain_epochs=0", "--finetune_epochs=2"),
    ]
    alone = start_train(*words, f"--run_dir={tmp_path / 'alone'}", cwd=with_start)
    assert alone.end()[0] == 0
    folder = tmp_path / "run"
    logs = folder / "tensorboard/finetune"
    for place, count in enumerate((1, 2, 3, 1)):
        ports, begun = free_ports(count), len(list(logs.glob("events*")))
        workers = [
            start_train(
                *(*words, f"--run_dir={folder}"),
                *(["--strategy=multi_worker"] if count > 1 else []),
                cwd=without if index else with_start,
                TF_CONFIG=tf_config(index, ports),
            )
            for index in range(count)
        ]
        last = place == 3
        if not last:
            # While the first step is built, for seconds.
            wait_until(lambda n=begun: len(list(logs.glob("events*"))) > n, workers[0])
            workers[-1].stop()
        ends = [worker.end() for worker in workers]
        assert [code for code, _ in ends] == [0 if last else 143] * count, ends
    assert_same_end(tmp_path / "alone", folder, 1e-8, ["finetune"])
    runs = RunFolder(tmp_path / "alone").metrics(), RunFolder(folder).metrics()
    for line, same in zip(*runs, strict=True):
        for name in ("loss", "cross_entropy", "margin", "accuracy", "val_accuracy"):
            assert line[name] == pytest.approx(same[name], abs=1e-8)


def assert_lost(worker):
    """Ends within a minute of the other's end, in one line."""
    code, line = worker.end(60)
    assert code == 1
    assert line.startswith("error: another worker is gone")


@pytest.mark.slow
def test_stopped_and_killed_workers_go_on_to_the_same_end(trained, pair, tmp_path):
    folder = tmp_path / "run"
    with pair(folder) as (chief, second):
        # While the first step is built, for seconds.
        wait_until(lambda: any((folder / "tensorboard").rglob("events*")), chief)
        second.stop()
        assert chief.end()[0] == 143
        assert second.end()[0] == 143
    (saved,) = (folder / "pretrain").iterdir()
    assert saved.name in [f"checkpoint-00000-000000{step}.npz" for step in range(1, 5)]
    with pair(folder) as (chief, second):
        wait_until(lambda: (folder / "pretrain/model.keras").exists(), chief)
        assert chief.has_said("pretrain: going on after epoch 0, step ")
        second.kill()
        assert_lost(chief)
    logs = folder / "tensorboard/finetune"
    earlier = len(list(logs.glob("events*")))
    with pair(folder) as (chief, second):
        wait_until(lambda: len(list(logs.glob("events*"))) > earlier, chief)
        chief.kill()
        assert_lost(second)
    with pair(folder) as workers:
        assert [worker.end()[0] for worker in workers] == [0, 0]
    assert_same_end(trained[0], folder, 0)
