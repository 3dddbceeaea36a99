"""Time and memory of the contrastive losses, forward and backward.

The peer of SupervisedContrastiveLoss is pytorch-metric-learning's SupConLoss, in its
normal use on as many threads; that of MarginContrastiveLoss is the same formula on one
N x N matrix. Times are medians of turns that alternate in one process, and a time's
ratio is the median of the turns' ratios. Memory is by how much one forward and backward
pass raises the peak of a process of its own, after a small pass to warm up.

    python -m benchmarks.loss_speed
"""

import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.measure import Row, alternating, table
from supcon_tf.commands.flags import run_command
from supcon_tf.errors import UserError
from supcon_tf.runtime.environment import prepare_environment

DIMENSION = 128
CLASSES = 100
TEMPERATURE = 0.1
TURNS = {512: 31, 2048: 11, 8192: 5}
# Passes in a turn: threads that wake up after a pause cost half of one of few rows, and
# in training there is no such pause.
PASSES = {512: 10, 2048: 3, 8192: 1}
GOALS = {
    "SupervisedContrastiveLoss": {512: 3.0, 2048: 6.0, 8192: 10.0},
    "MarginContrastiveLoss": {512: 1.0, 2048: None, 8192: None},
}
# What `supcon_tf.losses.pairs` would do at WAYS_ROWS with less code, and the setting
# that makes it do so.
WAYS_ROWS = 2048
WAYS = {
    "one tile of all pairs": ("stored", "ROWS", WAYS_ROWS),
    "the loop of larger batches": ("sums", "STORED", 0),
}
MEMORY_ROWS = 8192
MEMORY_GOAL = 20.0
MANY_ROWS = 65_536
MANY_ROWS_MB = 2048.0

Pass = Callable[[], Any]


def rows() -> list[Row]:
    """A row for the time of each loss and batch size, and for the memory.

    Where no peer can run, `peer` is the memory that is allowed.

    Raises:
        UserError: if the peer is not installed.
    """
    if not importlib.util.find_spec("pytorch_metric_learning"):
        raise UserError(
            "The losses' peer is missing: pip install -c constraints.txt -e '.[bench]'"
        )
    measured = [
        _time_row(name, n, goal)
        for name, goals in GOALS.items()
        for n, goal in goals.items()
    ]
    measured += [_way_row(name, way) for name in GOALS for way in WAYS]
    for name in GOALS:
        ours, peer = (_peak(name, whose, MEMORY_ROWS) for whose in ("ours", "peer"))
        what = f"{name}, N = {MEMORY_ROWS}, memory"
        measured.append(Row(what, ours, peer, "MB", peer / ours, MEMORY_GOAL))
    name = "SupervisedContrastiveLoss"
    ours = _peak(name, "ours", MANY_ROWS)
    what = f"{name}, N = {MANY_ROWS}, memory against what is allowed"
    measured.append(Row(what, ours, MANY_ROWS_MB, "MB", MANY_ROWS_MB / ours, 1.0))
    return measured


def _time_row(name: str, n: int, goal: float | None) -> Row:
    runs = {whose: _pass(name, whose, n) for whose in ("ours", "peer")}
    return _row(f"{name}, N = {n}, time", runs, n, goal)


def _way_row(name: str, way: str) -> Row:
    """Our loss against itself in another way."""
    module, setting, value = WAYS[way]
    pairs = importlib.import_module(f"supcon_tf.losses.pairs.{module}")
    runs = {"ours": _pass(name, "ours", WAYS_ROWS)}
    runs["ours"]()
    with mock.patch.object(pairs, setting, value):
        runs["peer"] = _pass(name, "ours", WAYS_ROWS)
        # What is traced now stays.
        runs["peer"]()
    what = f"{name}, N = {WAYS_ROWS}, time against {way}"
    return _row(what, runs, WAYS_ROWS, None)


def _row(what: str, runs: dict[str, Pass], n: int, goal: float | None) -> Row:
    turns = {whose: _turn(run, PASSES[n]) for whose, run in runs.items()}
    seconds = alternating(turns, TURNS[n], warmup=2)
    ours, peer = (
        1000 * statistics.median(seconds[whose]) / PASSES[n] for whose in runs
    )
    pairs = zip(seconds["peer"], seconds["ours"], strict=True)
    ratio = statistics.median(theirs / own for theirs, own in pairs)
    return Row(what, ours, peer, "ms", ratio, goal)


def _turn(run: Pass, passes: int) -> Callable[[], None]:
    def turn() -> None:
        for _ in range(passes):
            run()

    return turn


def _pass(name: str, whose: str, n: int) -> Pass:
    """One forward and backward pass to the embeddings (n, DIMENSION), whole."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(n, DIMENSION)).astype(np.float32)
    labels = rng.integers(0, CLASSES, n)
    if (name, whose) == ("SupervisedContrastiveLoss", "peer"):
        return _torch_pass(labels, embeddings)
    return _tensorflow_pass(name, whose, labels, embeddings)


def _torch_pass(labels: np.ndarray, embeddings: np.ndarray) -> Pass:
    import torch
    from pytorch_metric_learning.losses import SupConLoss

    torch.set_num_threads(_threads())
    loss = SupConLoss(temperature=TEMPERATURE)
    targets, inputs = torch.tensor(labels), torch.tensor(embeddings)

    def run() -> Any:
        leaf = inputs.clone().requires_grad_()
        loss(leaf, targets).backward()
        return leaf.grad

    return run


def _tensorflow_pass(
    name: str, whose: str, labels: np.ndarray, embeddings: np.ndarray
) -> Pass:
    import tensorflow as tf

    from supcon_tf import losses

    ours = {
        "SupervisedContrastiveLoss": losses.SupervisedContrastiveLoss(TEMPERATURE),
        "MarginContrastiveLoss": losses.MarginContrastiveLoss(),
    }
    loss = ours[name] if whose == "ours" else plain_margin_loss

    @tf.function
    def gradient(labels: Any, embeddings: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return tape.gradient(value, embeddings)

    targets, inputs = tf.constant(labels), tf.constant(embeddings)
    return lambda: gradient(targets, inputs).numpy()


def _threads() -> int:
    """How many threads TensorFlow computes with, for the peer to have as many."""
    import tensorflow as tf

    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    return chosen or len(os.sched_getaffinity(0))


def plain_margin_loss(
    labels: Any,
    embeddings: Any,
    positive_margin: float = 0.8,
    negative_margin: float = 0.2,
) -> Any:
    """MarginContrastiveLoss on one N x N matrix of similarities."""
    import tensorflow as tf

    unit = tf.math.l2_normalize(embeddings, axis=-1)
    similarities = tf.matmul(unit, unit, transpose_b=True)
    same = labels[:, None] == labels[None, :]
    rows = tf.range(tf.shape(labels)[0])
    positive = same & (rows[:, None] != rows[None, :])
    value = tf.zeros([], unit.dtype)
    for pairs, excess in (
        (positive, positive_margin - similarities),
        (~same, similarities - negative_margin),
    ):
        violations = tf.where(pairs, tf.nn.relu(excess), 0)
        count = tf.cast(tf.math.count_nonzero(violations), unit.dtype)
        value += tf.reduce_sum(tf.square(violations)) / tf.maximum(count, 1)
    return value


def _peak(name: str, whose: str, n: int) -> float:
    """MB by which a pass over `n` rows raises the peak of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loss_speed", name, whose, str(n)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(finished.stdout)


def _print_peak(name: str, whose: str, n: int) -> None:
    _pass(name, whose, 256)()
    run = _pass(name, whose, n)
    before = _peak_bytes()
    run()
    print((_peak_bytes() - before) / 1e6)


def _peak_bytes() -> int:
    # Not getrusage: what it calls a process's peak starts with that of its parent.
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        _print_peak(argv[1], argv[2], int(argv[3]))
    else:
        print(table(rows()))


if __name__ == "__main__":
    prepare_environment()
    run_command(main, sys.argv)
