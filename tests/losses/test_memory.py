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

name, rows = sys.argv[1], int(sys.argv[2])
loss = {
    "out": SupervisedContrastiveLoss(),
    "in": SupervisedContrastiveLoss(variant="in"),
    "margin": MarginContrastiveLoss(),
}[name]

@tf.function
def gradient(labels, embeddings):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(labels, embeddings)
    return tape.gradient(value, embeddings)

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in status if s.startswith("VmHWM")).split()[1])

for n in (256, rows):
    labels = tf.range(n, dtype=tf.int64) % 100
    embeddings = tf.random.stateless_normal([n, 8], [0, 0])
    before = peak()
    gradient(labels, embeddings).numpy()
print(peak() - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)
@pytest.mark.parametrize("name", ["out", "in", "margin"])
def test_no_matrix_of_all_pairs_is_stored(name):
    command = [sys.executable, "-c", PROGRAM, name, str(ROWS)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(finished.stdout) < LIMIT
