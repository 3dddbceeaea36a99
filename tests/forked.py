"""Processes of tests that need not import TensorFlow.

They are forked from one that has, and has done nothing else: importing it takes longer
than most of what a test asks of a process.
"""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

# A process that neither ends nor gets on would otherwise keep a test waiting.
PATIENCE = 600

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.forked_imports"])


class Forked:
    """A process whose output lies in files, and which leads a group of its own.

    Args:
        function: what it does; of a module's top level.
        words: its arguments.
        logs: folder for what it prints.
        cwd: where it runs.
        environment: what it has beside this process's variables.
    """

    def __init__(self, function, *words, logs, cwd, **environment):
        self._files = [Path(logs) / name for name in ("stdout", "stderr")]
        for file in self._files:
            file.touch()
        self.process = _CONTEXT.Process(
            target=_begin,
            args=(function, words, self._files, cwd, {**os.environ, **environment}),
            daemon=True,
        )
        self.process.start()

    @property
    def output(self):
        """Lines that it has printed so far."""
        return self._files[0].read_text().splitlines()

    @property
    def errors(self):
        return self._files[1].read_text().splitlines()

    def has_said(self, text):
        return any(text in line for line in self.output)

    def is_running(self):
        return self.process.is_alive()

    def stop(self):
        self.process.terminate()

    def kill(self):
        self.process.kill()

    def end(self, seconds=PATIENCE):
        """Its exit code and the last line of its errors."""
        self.process.join(seconds)
        assert not self.is_running()
        errors = self.errors
        return self.process.exitcode, errors[-1].strip() if errors else ""

    def completed(self):
        """As `subprocess.run` tells it."""
        code, _ = self.end()
        stdout, stderr = (file.read_text() for file in self._files)
        return SimpleNamespace(returncode=code, stdout=stdout, stderr=stderr)


def _begin(function, words, files, cwd, environment):
    os.setsid()
    for number, file in enumerate(files, start=1):
        with file.open("ab", 0) as log:
            os.dup2(log.fileno(), number)
    os.environ.update(environment)
    os.chdir(cwd)
    function(*map(str, words))


def module(name, *words):
    """`python -m NAME WORD ...`."""
    sys.argv = [name, *words]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def shallow_train(*words):
    """`python train.py WORD ...` with a network of one block.

    A run of some steps spends almost all of its time on tracing the layers of its
    network.
    """
    import train
    from supcon_tf.commands.flags import run_command
    from supcon_tf.models import resnet
    from tests.shallow import BLOCKS

    resnet.BLOCKS_PER_STAGE = BLOCKS
    run_command(train.main, ["train.py", *words])
