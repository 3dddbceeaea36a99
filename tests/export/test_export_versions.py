"""Version folders: numbers, whole or not there, also when the process is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from supcon_tf.errors import RunError, UserError
from supcon_tf.export.versions import choose_version, existing_versions, new_version
from tests.forked import module


def test_next_version_is_the_highest_number_plus_one(tmp_path):
    for name in ("2", "10", "notes", "³", ".export-11-1"):
        (tmp_path / name).mkdir()
    assert existing_versions(tmp_path) == [2, 10]
    assert choose_version(tmp_path, 0) == 11


def test_first_version_is_1_where_nothing_was_served(tmp_path):
    assert choose_version(tmp_path / "new", 0) == 1


def test_asked_version_may_fill_a_gap_but_not_replace(tmp_path):
    (tmp_path / "3").mkdir()
    assert choose_version(tmp_path, 2) == 2
    with pytest.raises(UserError, match=r"--model_version must be new.*Received: 3"):
        choose_version(tmp_path, 3)


def test_version_appears_only_when_the_block_ends(tmp_path):
    with new_version(tmp_path, 1) as folder:
        (folder / "saved_model.pb").write_text("model")
        assert existing_versions(tmp_path) == []
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "model"


def test_failed_export_leaves_nothing(tmp_path):
    def fail():
        with new_version(tmp_path, 1) as folder:
            (folder / "saved_model.pb").write_text("half")
            raise RunError("differs")

    with pytest.raises(RunError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_version_that_appeared_meanwhile_is_kept(tmp_path):
    def race():
        with new_version(tmp_path, 1):
            (tmp_path / "1").mkdir()
            (tmp_path / "1" / "theirs").touch()

    with pytest.raises(UserError, match="another export"):
        race()
    assert [path.name for path in tmp_path.rglob("*")] == ["1", "theirs"]


def test_leftovers_of_dead_exports_are_removed_and_of_live_ones_kept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    live = tmp_path / f".export-5-{os.getppid()}"
    for folder in (tmp_path / f".export-4-{dead.pid}", live):
        folder.mkdir()
    with new_version(tmp_path, 1):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [live.name, "1"]


@pytest.mark.slow
@pytest.mark.parametrize("until", [".export-*", ".export-*/assets.extra/labels.txt"])
def test_killed_export_leaves_no_version(run_dir, start, tmp_path, until):
    export = start(module, "export", f"--run_dir={run_dir}", f"--output={tmp_path}")
    while not list(tmp_path.glob(until)):
        assert export.is_running(), "the export ended before it could be killed"
        time.sleep(0.01)
    # With the process that tries the export.
    os.killpg(export.process.pid, signal.SIGKILL)
    assert export.end()[0] == -signal.SIGKILL
    assert existing_versions(tmp_path) == []
    assert list(tmp_path.glob(".export-*"))
    with new_version(tmp_path, 1):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
