"""The real TensorBoard in a process of its own, for tests that read back from it."""

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"TensorBoard \S+ at (http://\S+?)/? ")


@dataclass(frozen=True)
class TensorBoardServer:
    """`address` is that of the page, without a slash at its end."""

    address: str

    def get(self, route: str, **query: str) -> bytes:
        url = f"{self.address}/data/{route}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=240) as answer:
            return answer.read()

    def get_json(self, route: str, **query: str) -> Any:
        return json.loads(self.get(route, **query))

    def wait_for(self, look: Callable[[], Any], seconds: float = 240) -> Any:
        """What `look` finds, once it finds something: the server reads in its time."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"TensorBoard had nothing after {seconds} seconds")
            time.sleep(0.3)
        return found


@contextlib.contextmanager
def tensorboard_server(logdir: Path) -> Iterator[TensorBoardServer]:
    """TensorBoard over a folder, on a free port of the loopback interface."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}"]
    options = ["--host=127.0.0.1", "--port=0", "--load_fast=false"]
    process = subprocess.Popen(
        [*command, *options, "--reload_interval=1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield TensorBoardServer(_address(process))
    finally:
        process.terminate()
        process.wait(timeout=30)


def _address(process: subprocess.Popen) -> str:
    seen = []
    for line in process.stderr:
        seen.append(line)
        if found := _ADDRESS.search(line):
            # A full pipe would stop the server.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found[1]
    raise RuntimeError("TensorBoard did not start: " + "".join(seen[-5:]))
