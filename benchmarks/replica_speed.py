"""Two virtual replicas against one, on the same global batch.

Two replicas on one processor share its cores, so the most to hope for is the same
speed. Their batch norm is synchronised, which the fused kernel can't do; so the fair
peer is one replica with Keras' own batch norm.

    python -m benchmarks.replica_speed
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.runtime.environment import prepare_environment

BATCH = 128
WIDTH = 32
CLASSES = 100
TURNS = 5
STEPS = 2
GOAL = 0.85


def rows() -> list[Row]:
    """Needs a process of its own: it splits the processor."""
    import tensorflow as tf

    half = tf.config.LogicalDeviceConfiguration()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [half, half])
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    mirrored = tf.distribute.MirroredStrategy(devices)
    one = tf.distribute.get_strategy()
    runs = {
        "ours": _step(mirrored, stock=False),
        "one replica, Keras' batch norm": _step(one, stock=True),
        "one replica, fused batch norm": _step(one, stock=False),
    }
    seconds = alternating(runs, TURNS)
    what = "two virtual replicas against"
    return [
        speed_row(
            f"{what} {peer}",
            seconds,
            peer,
            BATCH * STEPS,
            goal=GOAL if "Keras" in peer else None,
            note=f"width {WIDTH}, float32",
        )
        for peer in list(runs)[1:]
    ]


def _step(strategy: Any, stock: bool) -> Callable[[], Any]:
    import keras
    import tensorflow as tf

    from benchmarks.export_speed import stock_encoder
    from supcon_tf.distribution.workers import Workers
    from supcon_tf.losses import SupervisedContrastiveLoss
    from supcon_tf.losses.cross_entropy import CrossEntropyLoss
    from supcon_tf.models import ContrastiveClassifier, resnet18
    from supcon_tf.training.steps import training_step

    with strategy.scope():
        encoder = resnet18(width=WIDTH)
        if stock:
            encoder = stock_encoder(encoder)
        model = ContrastiveClassifier(encoder, CLASSES)
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
            losses={
                "cross_entropy": (1.0, CrossEntropyLoss()),
                "supcon": (1.0, SupervisedContrastiveLoss()),
            },
            weight_decay=5e-4,
        )
        model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    batch = (
        tf.constant(rng.random((BATCH, 32, 32, 3), np.float32)),
        tf.constant(rng.integers(0, CLASSES, BATCH)),
    )
    step = training_step(model, Workers(strategy))
    return lambda: [step(batch, False) for _ in range(STEPS)]


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
