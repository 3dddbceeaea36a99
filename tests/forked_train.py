"""`shallow_train.py` in processes that need not import TensorFlow.

They are forked from one that has, and has done nothing else: importing it takes longer
than the steps that a test needs.
"""

import multiprocessing
import os
from pathlib import Path

# A run that neither ends nor gets on would otherwise keep a test waiting.
PATIENCE = 600

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.forked_train_main"])


class ForkedTrain:
    """A run of `train.py` whose output lies in files.

    Args:
        words: its flags.
        logs: folder for what it prints.
        cwd: where it runs.
        environment: what it has beside this process's variables.
    """

    def __init__(self, *words, logs, cwd, **environment):
        self._files = [Path(logs) / name for name in ("stdout", "stderr")]
        for file in self._files:
            file.touch()
        self.process = _CONTEXT.Process(
            target=_train,
            args=(words, self._files, cwd, {**os.environ, **environment}),
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


def _train(words, files, cwd, environment):
    from supcon_tf.commands.flags import run_command
    from tests.forked_train_main import main

    for number, file in enumerate(files, start=1):
        with file.open("ab", 0) as log:
            os.dup2(log.fileno(), number)
    os.environ.update(environment)
    os.chdir(cwd)
    run_command(main, ["train.py", *words])
