"""Kills runs at random points until there were enough kills; started by a test.

    python killed_runs.py FOLDER SEED KILLS FLAG ...

TensorFlow is imported once and each attempt is forked from that: a killed attempt
costs no other start. Prints a JSON object with the run folders that came to their end
and what was killed when.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from shallow_train import REPOSITORY, train_main

# A run that neither ends nor gets on would otherwise keep the test waiting.
PATIENCE = 600


def started(main, words, log):
    """The process of an attempt."""
    process = os.fork()
    if process:
        return process
    with log.open("ab", 0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        main(["train.py", *words])
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def ended(process, seconds):
    """The exit code of a process; None if it is still at work after some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def main(folder, seed, kills, words):
    train, rng = train_main(), random.Random(seed)
    log = folder / "log.txt"
    # Images in memory, and images that stay encoded, in turns: the bits are the same.
    caches = itertools.cycle(("--cache_gib=4", "--cache_gib=0"))

    def attempt(name, seconds):
        """Exit code of an attempt on a run; None if it was killed."""
        flags = [*words, next(caches), f"--run_dir={folder / name}"]
        process = started(train, flags, log)
        code = ended(process, seconds)
        if code is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        elif code:
            sys.exit(log.read_text())
        return code

    begin = time.monotonic()
    if attempt("whole", PATIENCE) is None:
        sys.exit(f"no end after {PATIENCE} seconds")
    length = time.monotonic() - begin
    points, finished = [], []
    while len(points) < kills or not finished:
        name = f"killed-{len(finished)}"
        # Short enough that a run is killed again and again before its end.
        patience = rng.uniform(0, 0.6 * length)
        if len(points) >= kills:
            patience = PATIENCE
        if attempt(name, patience) is None:
            points.append(round(patience, 2))
        else:
            finished.append(name)
    print(json.dumps({"seconds": length, "kills": points, "finished": finished}))


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
