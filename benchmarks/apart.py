"""Turns of a benchmark in a process of its own, with TensorFlow as it comes.

The commands of this project set what makes TensorFlow quick before they import it; who
uses something else gets its defaults, and one process can't have both.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.measure import REPOSITORY


def apart(module: str, function: str, *arguments: Any) -> Callable[[], Any]:
    """What `module.function(*arguments)` returns, to be called in another process.

    Args:
        module: such as "benchmarks.step_speed".
        function: the name of a function that returns a function without arguments.
        arguments: of that function; they and the results are such as JSON has.

    Returns:
        A function that has the process take one turn, and returns that turn's result.

    Raises:
        ImportError: if the function raises it, for a peer that is not installed.
        RuntimeError: if the process ends by any other error.
    """
    code = f"from benchmarks.apart import answer; answer({module!r}, {function!r})"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def ask(question: Any) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module}.{function} ended: exit code {process.wait()}")
        reply = json.loads(line)
        if "missing" in reply:
            raise ImportError(reply["missing"])
        return reply["result"]

    ask(arguments)
    return lambda: ask("turn")


def answer(module: str, function: str) -> None:
    """The other process: a line is read, a turn is taken, a line is written."""
    # What libraries print is no answer: it goes where errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    lines = iter(sys.stdin.readline, "")
    arguments = json.loads(next(lines))
    try:
        run = getattr(importlib.import_module(module), function)(*arguments)
    except ImportError as error:
        reply({"missing": str(error)})
        return
    reply({"result": None})
    for _ in lines:
        found = run()
        reply({"result": found if isinstance(found, list) else None})
