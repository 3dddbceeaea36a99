"""Sweeps that are stopped, killed, or not alone; each is a process of its own."""

import fcntl
import json
import os
import signal

import pytest

from supcon_tf.sweep.command import parse_request
from supcon_tf.sweep.launch import Launcher
from supcon_tf.sweep.plan import plan
from supcon_tf.sweep.record import SweepRecord
from supcon_tf.sweep.runner import Runner
from tests.sweep.looks import entry, starts, statuses, until

pytestmark = pytest.mark.slow

SEEDS = "--grid=seed=0,1"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stopped_sweep_lets_its_run_save_and_goes_on_from_there(begin, folder, name):
    first = begin(SEEDS, STAND_IN_WAITS="seed=1")
    until(folder / "seed=1" / "waits")
    assert statuses(folder) == {"seed=0": "done", "seed=1": "running"}
    number = getattr(signal, name)
    first.send_signal(number)
    out, error = first.communicate()
    assert first.returncode == 128 + number
    assert (folder / "seed=1" / "saved").exists()
    assert "run 2 of 2: seed=1: stopped after 0:00:0" in out
    assert error == f"stopped by {name}; the same command goes on from here\n"
    assert statuses(folder) == {"seed=0": "done", "seed=1": "waiting"}
    assert entry(folder, "seed=1")["exit_code"] == 143
    again = begin(SEEDS)
    out, error = again.communicate()
    assert (again.returncode, error) == (0, "")
    assert [len(starts(folder, f"seed={seed}")) for seed in range(2)] == [1, 2]
    assert "run 1 of 2: seed=0: was done before" in out
    assert "| seed=0 +1 | 2 " in out


def test_many_signals_at_once_do_not_keep_a_run_from_saving(begin, folder):
    """As schedulers send them: to every process of a job, and to some twice."""
    sweep = begin(SEEDS, STAND_IN_WAITS="seed=0")
    until(folder / "seed=0" / "waits")
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
        sweep.send_signal(number)
    sweep.communicate()
    assert sweep.returncode in (128 + signal.SIGTERM, 128 + signal.SIGHUP)
    assert entry(folder, "seed=0")["exit_code"] == 143


def test_a_second_interrupt_ends_a_run_that_does_not_end(begin, folder):
    sweep = begin(SEEDS, STAND_IN_WAITS="seed=0", STAND_IN_IS_DEAF="1")
    until(folder / "seed=0" / "waits")
    sweep.send_signal(signal.SIGINT)
    until(folder / "seed=0" / "saved")
    sweep.send_signal(signal.SIGINT)
    sweep.communicate()
    assert sweep.returncode == 130
    assert entry(folder, "seed=0")["exit_code"] == -signal.SIGKILL


def test_the_run_of_a_killed_sweep_is_waited_for(begin, folder):
    killed = begin(SEEDS, STAND_IN_WAITS="seed=1")
    until(folder / "seed=1" / "waits")
    killed.kill()
    killed.wait()
    assert statuses(folder)["seed=1"] == "running"
    holder = (folder / "seed=1" / ".sweep.lock").read_text().split()
    again = begin(SEEDS)
    line = again.stdout.readline() + again.stdout.readline()
    assert line.endswith(f"run 2 of 2: seed=1: waits for {' '.join(holder)}\n")
    # Nobody else will end it: its sweep is no more.
    os.kill(int(holder[1]), signal.SIGTERM)
    again.communicate()
    assert again.returncode == 0
    assert statuses(folder) == {f"seed={seed}": "done" for seed in range(2)}
    assert [len(starts(folder, f"seed={seed}")) for seed in range(2)] == [1, 2]


def test_a_run_of_a_sweep_that_died_waits_again(sweep, folder, monkeypatch):
    """Not those of the others: they may be in the hands of other jobs of an array."""
    assert sweep(SEEDS)[0] == 0
    file = folder / "sweep.json"
    record = json.loads(file.read_text())
    for run in record["runs"]:
        run["status"] = "running"
    file.write_text(json.dumps(record))
    monkeypatch.setenv("STAND_IN_FAILS", "seed=1")
    assert sweep(SEEDS, "--only=1")[0] == 1
    assert statuses(folder) == {"seed=0": "running", "seed=1": "failed"}
    (folder / "seed=0" / "robustness.json").unlink()
    with open(folder / "seed=0" / ".sweep.lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = SweepRecord(folder)
        Runner(known, Launcher(), 2).forget_the_killed(planned(folder))
        assert statuses(folder)["seed=0"] == "running"
    Runner(known, Launcher(), 2).forget_the_killed(planned(folder))
    assert statuses(folder) == {"seed=0": "waiting", "seed=1": "failed"}


def planned(folder):
    return plan(parse_request(["sweep", SEEDS, f"--output={folder}"]))


def test_an_array_of_jobs_makes_every_run_once(begin, sweep, folder):
    grid = "--grid=seed=0,1,2"
    jobs = [begin(grid, f"--only={number}") for number in range(3)]
    for job in jobs:
        _, error = job.communicate()
        assert (job.returncode, error) == (0, "")
    assert set(statuses(folder).values()) == {"done"}
    assert len(statuses(folder)) == 3
    for name in statuses(folder):
        assert len(starts(folder, name)) == 1
    code, out, _ = sweep(grid)
    assert (code, out.count("was done before")) == (0, 3)
    assert "| seed=0 +2 | 3 " in out


def test_one_sweep_started_twice_makes_every_run_once(begin, folder):
    sweeps = [begin(SEEDS) for _ in range(2)]
    for sweep in sweeps:
        out, error = sweep.communicate()
        assert (sweep.returncode, error) == (0, "")
        assert "| seed=0 +1 | 2 " in out
    for name in statuses(folder):
        assert len(starts(folder, name)) == 1


def test_output_that_nobody_reads_leaves_no_run_behind(begin, folder):
    sweep = begin(SEEDS)
    sweep.stdout.close()
    sweep.wait()
    assert sweep.returncode == 1
    assert sweep.stderr.read().startswith("error: nothing reads the output any more")
    assert "running" not in statuses(folder).values()


def test_a_full_disk_ends_in_a_line_and_loses_nothing(sweep, disk_of):
    disk, words = disk_of("100k"), (SEEDS, "--only=0")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(88 * 1024))
    folder = disk / "sweep"
    code, _, error = sweep(*words, output=f"--output={folder}")
    assert (code, error.count("\n")) == (1, 1)
    assert "No space left on device" in error
    ballast.unlink()
    assert sweep(*words, output=f"--output={folder}")[0] == 0
    assert statuses(folder) == {"seed=0": "done", "seed=1": "waiting"}
