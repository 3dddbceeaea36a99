"""The command of a run, in this process."""

import pytest

import train
from supcon_tf.commands.flags import run_command
from tests.train.tiny import TINY, refusal


@pytest.fixture
def command(capsys):
    """Exit code, output and errors of `train.py`, without the wait for TensorFlow."""

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run_command(train.main, ["train.py", *words])
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command, tmp_path):
    """The line that `train.py` ends with, without its `error: `."""

    def run(*words):
        code, _, error = command(f"--run_dir={tmp_path / 'run'}", *TINY, *words)
        return refusal(code, error)

    return run
