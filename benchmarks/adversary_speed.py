"""What a training step costs on adversarial images, against the plain step.

ResNet-18 of width 32 on CIFAR-sized images in batches of 128. With F the cost of a
forward pass a plain step is 3 F. An attack step adds a forward and half of a backward
pass, as only the gradient of the images is wanted: 5 F, or 7 F where the contrastive
losses act on the noisy start too, which is then passed back through as well. All take
turns.

    python -m benchmarks.adversary_speed
"""

from collections.abc import Callable
from typing import Any

from benchmarks.measure import Row, alternating, speed_row, table
from benchmarks.step_speed import BATCH, CLASSES, TEMPERATURE, batch
from supcon_tf.runtime.environment import prepare_environment
from supcon_tf.runtime.processor import emulates_bfloat16

WIDTH = 32
TURNS = 5
# Passes of a step, in F: with two and with one backward pass through weights.
PASSES = {"both views": 7, "cross-entropy": 5}
PLAIN = 3
# Of the ratio of passes; what noise, steps and metrics may cost.
ALLOWED = 1.1


def rows(width: int = WIDTH) -> list[Row]:
    """A row for each adversary, with and without contrastive losses."""
    policy = "float32" if emulates_bfloat16() else "mixed_bfloat16"
    found = []
    for kind, passes in PASSES.items():
        supcon = kind == "both views"
        for method in ("nfgsm", "zerograd"):
            runs = {
                "ours": step(policy, width, supcon, method),
                "plain": step(policy, width, supcon, None),
            }
            seconds = alternating(runs, TURNS)
            found.append(
                speed_row(
                    f"{method} step, {kind}, {policy}, against the plain step",
                    seconds,
                    "plain",
                    BATCH,
                    goal=round(PLAIN / passes / ALLOWED, 3),
                    note=f"{passes} F against {PLAIN} F",
                )
            )
    return found


def step(
    policy: str, width: int, supcon: bool, method: str | None
) -> Callable[[], Any]:
    """The step as a run makes it."""
    import keras
    import tensorflow as tf

    from supcon_tf.distribution.workers import Workers
    from supcon_tf.losses import CrossEntropyLoss, SupervisedContrastiveLoss
    from supcon_tf.models import ContrastiveClassifier, resnet18
    from supcon_tf.training.adversary import Adversary
    from supcon_tf.training.steps import training_step

    model = ContrastiveClassifier(
        resnet18(width=width, dtype=policy), CLASSES, dtype=policy
    )
    losses = {"cross_entropy": (1.0, CrossEntropyLoss())}
    if supcon:
        losses["supcon"] = (0.5, SupervisedContrastiveLoss(TEMPERATURE))
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        losses,
        weight_decay=5e-4,
        adversary=Adversary(method) if method else None,
    )
    model.optimizer.build(model.trainable_variables)
    run = training_step(model, Workers(tf.distribute.get_strategy()))
    images, labels = map(tf.constant, batch())
    return lambda: run((images, labels), False)


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
