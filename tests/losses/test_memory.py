"""No matrix of all pairs is ever in memory."""

import subprocess
import sys
from pathlib import Path

import pytest

ROWS = 16_384
# Not even one byte for each pair.
LIMIT = ROWS**2

PROGRAM = """
import sys
from pathlib import Path
import tensorflow as tf
from supcon_tf.losses import MarginContrastiveLoss, SupervisedContrastiveLoss
from supcon_tf.models.metrics import nearest_has_same_label

losses = [
    SupervisedContrastiveLoss(),
    SupervisedContrastiveLoss(variant="in"),
    MarginContrastiveLoss(),
]

@tf.function
def step(labels, embeddings, loss):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(labels, embeddings)
    return tape.gradient(value, embeddings)

@tf.function
def metric(labels, embeddings):
    return nearest_has_same_label(embeddings, labels)

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in status if s.startswith("VmHWM")).split()[1])

for n in (256, int(sys.argv[1])):
    labels = tf.range(n, dtype=tf.int64) % 100
    embeddings = tf.random.stateless_normal([n, 8], [0, 0])
    before = peak()
    for loss in losses:
        step(labels, embeddings, loss).numpy()
    metric(labels, embeddings)[0].numpy()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)
def test_no_matrix_of_all_pairs_is_stored():
    command = [sys.executable, "-c", PROGRAM, str(ROWS)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(finished.stdout) < LIMIT
