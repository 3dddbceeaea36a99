"""No matrix of all pairs is ever in memory."""

from pathlib import Path

import pytest
import tensorflow as tf

from supcon_tf.losses import MarginContrastiveLoss, SupervisedContrastiveLoss
from supcon_tf.models.metrics import nearest_has_same_label

ROWS = 16_384
# Not even one byte for each pair.
LIMIT = ROWS**2


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)
def test_no_matrix_of_all_pairs_is_stored(start):
    finished = start(print_growth).completed()
    assert finished.returncode == 0, finished.stderr
    assert 0 < int(finished.stdout) < LIMIT


def print_growth():
    """By how many bytes the peak rises with many rows, after that with a few."""
    losses = [
        SupervisedContrastiveLoss(),
        SupervisedContrastiveLoss(variant="in"),
        MarginContrastiveLoss(),
    ]

    @tf.function(autograph=False)
    def step(labels, embeddings, loss):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return tape.gradient(value, embeddings)

    @tf.function(autograph=False)
    def metric(labels, embeddings):
        return nearest_has_same_label(embeddings, labels)

    def peak():
        status = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(s for s in status if s.startswith("VmHWM")).split()[1])

    for rows in (256, ROWS):
        labels = tf.range(rows, dtype=tf.int64) % 100
        embeddings = tf.random.stateless_normal([rows, 8], [0, 0])
        before = peak()
        for loss in losses:
            step(labels, embeddings, loss).numpy()
        metric(labels, embeddings)[0].numpy()
    print(peak() - before)
