import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supcon_tf.errors import UserError
from supcon_tf.runs.folder_lock import sole_use

REPOSITORY = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from supcon_tf.runs.folder_lock import sole_use
with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def holder(folder):
    """Another process that uses the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_folder_in_use_is_refused_and_its_user_named(tmp_path):
    with (
        holder(tmp_path) as process,
        pytest.raises(UserError) as refused,
        sole_use(tmp_path, "output"),
    ):
        pytest.fail("two processes in one folder")
    message = str(refused.value)
    assert message.startswith(f"--output is in use by process {process.pid} on ")
    assert message.endswith(f"Received: {tmp_path}")
    assert "\n" not in message


def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    with holder(tmp_path):
        pass
    with sole_use(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_a_folder_can_be_used_again_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), sole_use(tmp_path):
        _ = 1 / 0
    with sole_use(tmp_path):
        pass


def commands(folder, elsewhere):
    yield "supcon_tf.train", f"--run_dir={folder}"
    yield "supcon_tf.evaluation", f"--model={elsewhere}", f"--output={folder}"


@pytest.mark.slow
def test_commands_leave_a_folder_in_use_alone(run_module, tmp_path):
    folder, model = tmp_path / "used", tmp_path / "model.keras"
    folder.mkdir()
    model.touch()
    with holder(folder):
        for name, *words in commands(folder, model):
            before = sorted(folder.rglob("*"))
            done = run_module(name, "--dataset=digits", *words)
            assert done.returncode == 2
            assert " is in use by process " in done.stderr.splitlines()[-1]
            assert "Traceback" not in done.stderr
            assert sorted(folder.rglob("*")) == before
