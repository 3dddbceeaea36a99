"""Sweeps whose runs are stand-ins, in this process or in one of their own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from supcon_tf.commands.flags import run_command
from supcon_tf.sweep.__main__ import main

REPOSITORY = Path(__file__).parents[2]
STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]
# A sweep in a process of its own, whose runs are stand-ins too.
SCRIPT = f"""
import sys
import supcon_tf.sweep.launch
supcon_tf.sweep.launch.train_command = lambda: {STAND_IN!r}
from supcon_tf.commands.flags import run_command
from supcon_tf.sweep.__main__ import main
run_command(main, ["sweep", *sys.argv[1:]])
"""


@pytest.fixture
def folder(tmp_path):
    """Where the sweep goes: a name that shells would take apart."""
    return tmp_path / "a sweep; of 'runs'"


@pytest.fixture
def sweep(folder, capsys, monkeypatch):
    """Exit code, standard output and error of the command, in this process."""
    monkeypatch.setattr("supcon_tf.sweep.launch.train_command", lambda: STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def run(*words, output=f"--output={folder}"):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run_command(main, ["sweep", *words, output])
        return end.value.code, *capsys.readouterr()

    return run


def heed_signals():
    """Below nohup, or in the background of a script, tests inherit ignored signals."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def begin(folder, tmp_path):
    """Begins a sweep in a process of its own, which is ended with the test."""
    begun = []

    def start(*words, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *words, f"--output={folder}"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_signals,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()
