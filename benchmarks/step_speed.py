"""A training step against stock Keras and PyTorch.

The same ResNet-18 of width 64 on CIFAR-sized images in batches of 128, cross-entropy +
supervised contrastive loss on the features, SGD with Nesterov momentum, weight decay.
Stock Keras has its own layers, losses as functions of one N x N matrix, and `fit`, with
TensorFlow as it comes and with oneDNN turned on as this project's commands do. PyTorch
has channels_last and, for bfloat16, autocast. All take turns on as many threads.

    python -m benchmarks.step_speed
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.apart import apart
from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.runtime.environment import prepare_environment
from supcon_tf.runtime.processor import emulates_bfloat16

BATCH = 128
WIDTH = 64
CLASSES = 100
TEMPERATURE = 0.1
TURNS = 5
# Steps in a turn: what `fit` does once for a call should not count as a step.
STEPS = 2
GOALS = {
    ("mixed_bfloat16", "Keras"): 2.0,
    ("mixed_bfloat16", "PyTorch"): 1.5,
    ("float32", "Keras"): 1.5,
    ("float32", "PyTorch"): 1.1,
}


def rows(width: int = WIDTH) -> list[Row]:
    """A row for each arithmetic and peer; PyTorch is left out if it isn't installed."""
    found = []
    policies = ["float32", "mixed_bfloat16"]
    if emulates_bfloat16():
        # A step takes a minute, whoever makes it, and nobody trains so there.
        print("bfloat16 is left out: this processor only emulates it")
        policies.remove("mixed_bfloat16")
    for policy in policies:
        runs = {
            "ours": ours(policy, width),
            "stock Keras": apart("benchmarks.step_speed", "stock_keras", policy, width),
            "stock Keras with oneDNN": stock_keras(policy, width),
        }
        try:
            runs["PyTorch"] = pytorch(policy, width)
        except ImportError:
            print("PyTorch is not installed")
        seconds = alternating(runs, TURNS)
        found += [
            speed_row(
                f"training step, {policy}, against {peer}",
                seconds,
                peer,
                BATCH * STEPS,
                goal=GOALS[policy, "Keras" if "Keras" in peer else peer],
            )
            for peer in runs
            if peer != "ours"
        ]
    return found


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Images of noise and labels."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, 32, 32, 3), np.float32)
    return images, rng.integers(0, CLASSES, BATCH)


def ours(policy: str, width: int) -> Callable[[], Any]:
    """The step as a run makes it."""
    import keras
    import tensorflow as tf

    from supcon_tf.distribution.workers import Workers
    from supcon_tf.losses import SupervisedContrastiveLoss
    from supcon_tf.losses.cross_entropy import CrossEntropyLoss
    from supcon_tf.models import ContrastiveClassifier, resnet18
    from supcon_tf.training.steps import training_step

    model = ContrastiveClassifier(
        resnet18(width=width, dtype=policy), CLASSES, dtype=policy
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        losses={
            "cross_entropy": (1.0, CrossEntropyLoss()),
            "supcon": (1.0, SupervisedContrastiveLoss(TEMPERATURE)),
        },
        weight_decay=5e-4,
    )
    model.optimizer.build(model.trainable_variables)
    step = training_step(model, Workers(tf.distribute.get_strategy()))
    images, labels = batch()
    images, labels = tf.constant(images), tf.constant(labels)
    return lambda: [step((images, labels), False) for _ in range(STEPS)]


def stock_keras(policy: str, width: int) -> Callable[[], Any]:
    """The same network of Keras' own layers, trained by `fit`."""
    import keras

    from benchmarks.export_speed import stock_encoder
    from supcon_tf.models import resnet18

    encoder = stock_encoder(resnet18(width=width, dtype=policy))
    features = encoder.output
    logits = keras.layers.Dense(CLASSES, dtype="float32")(features)
    model = keras.Model(encoder.input, [logits, features])
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
        loss=[
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            plain_supcon,
        ],
    )
    images, labels = batch()
    many = np.concatenate([images] * STEPS), np.concatenate([labels] * STEPS)
    return lambda: model.fit(
        many[0], [many[1]] * 2, batch_size=BATCH, shuffle=False, verbose=0
    )


def plain_supcon(labels: Any, features: Any) -> Any:
    """Khosla et al. 2020, equation 2, on one N x N matrix."""
    import tensorflow as tf

    labels = tf.reshape(labels, [-1])
    unit = tf.math.l2_normalize(tf.cast(features, tf.float32), axis=1)
    scaled = tf.matmul(unit, unit, transpose_b=True) / TEMPERATURE
    others = 1 - tf.eye(tf.shape(unit)[0])
    same = tf.cast(labels[:, None] == labels[None, :], tf.float32) * others
    scaled -= tf.stop_gradient(tf.reduce_max(scaled, axis=1, keepdims=True))
    sums = tf.reduce_sum(tf.exp(scaled) * others, axis=1, keepdims=True)
    log_probabilities = scaled - tf.math.log(sums)
    count = tf.maximum(tf.reduce_sum(same, axis=1), 1)
    return -tf.reduce_mean(tf.reduce_sum(same * log_probabilities, axis=1) / count)


def pytorch(policy: str, width: int) -> Callable[[], Any]:
    """The same network and step in PyTorch."""
    import torch

    from benchmarks.torch_resnet import ResNet18, plain_supcon

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    model = ResNet18(width, CLASSES).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    images, labels = batch()
    inputs = torch.tensor(images.transpose(0, 3, 1, 2)).contiguous(
        memory_format=torch.channels_last
    )
    targets = torch.tensor(labels)
    low = policy == "mixed_bfloat16"

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            features, logits = model(inputs)
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
        loss = loss + plain_supcon(features.float(), targets, TEMPERATURE)
        loss.backward()
        optimizer.step()

    return lambda: [step() for _ in range(STEPS)]


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
