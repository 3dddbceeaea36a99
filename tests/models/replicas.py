"""Training on 1, 2 or 4 replicas of one CPU, for `test_replicas.py` to compare.

A process can split its CPU only once, before TensorFlow is used, and TensorFlow can't
have two numbers of replicas in one process, so this is run in processes of its own:
`python -m tests.models.replicas FILE 2` pickles what 1 and 2 replicas give into FILE.
"""

import contextlib
import functools
import pickle
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.distribution.replicas import Batch
from supcon_tf.distribution.workers import Workers
from supcon_tf.losses import (
    CrossEntropyLoss,
    MarginContrastiveLoss,
    MulticlassHingeLoss,
    SupervisedContrastiveLoss,
)
from supcon_tf.models import ContrastiveClassifier, objective, resnet, resnet18
from supcon_tf.models.layers.batch_normalization import BatchNormalization
from supcon_tf.training.adversary import Adversary
from supcon_tf.training.averaging import WeightAverage
from supcon_tf.training.checkpoint import Checkpoints, Position
from supcon_tf.training.state import TrainingState
from supcon_tf.training.steps import training_step

LOSSES = {
    "cross_entropy": CrossEntropyLoss(),
    "supcon": SupervisedContrastiveLoss(),
    "margin": MarginContrastiveLoss(),
    "hinge": MulticlassHingeLoss(),
}
# Each loss alone, and the two stages.
WEIGHTS = {
    **{name: {name: 1.0} for name in LOSSES},
    "pretrain": {"cross_entropy": 1.0, "supcon": 1.0},
    "finetune": {"cross_entropy": 1.0, "margin": 1.0},
}
RATE, STEPS, SIZE = 0.05, 5, 16


@functools.cache
def strategy_of(replicas):
    # A second strategy would number its collectives as the first did.
    if replicas == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def small_network(dtype):
    """A convolution and batch normalisation under the classifier."""
    inputs = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Conv2D(4, 4, 4, dtype=dtype)(inputs)
    features = BatchNormalization(synchronized=True, dtype=dtype)(features)
    features = keras.layers.Activation("tanh", dtype=dtype)(features)
    features = keras.layers.Flatten(dtype=dtype)(features)
    return keras.Model(inputs, features)


class Trainer:
    """A model whose loss weights are variables, so that it is traced once for all."""

    def __init__(self, replicas, encoder, dtype, adversary=None):
        self.workers = Workers(strategy_of(replicas))
        keras.utils.set_random_seed(0)
        with self.workers.strategy.scope():
            self.model = ContrastiveClassifier(encoder(dtype), 4, 8, dtype=dtype)
            full = keras.DTypePolicy(dtype).variable_dtype
            self.weights = {name: tf.Variable(0.0, dtype=full) for name in LOSSES}
            losses = {name: (self.weights[name], LOSSES[name]) for name in LOSSES}
            optimizer = keras.optimizers.SGD(RATE, momentum=0.9, nesterov=True)
            self.model.compile(
                optimizer, losses, weight_decay=5e-4, adversary=adversary
            )
            self.model.optimizer.build(self.model.trainable_variables)
            self.average = WeightAverage(self.model.variables, 0.5)
        self.state = [*self.model.variables, *self.model.optimizer.variables]
        self.state += self.average.variables
        self.steps = {}
        self.start = [v.numpy() for v in self.state]

    def run(self, weights, views, steps=STEPS):
        """Metrics of all steps, gradient of the first, and the state at the end."""
        for variable, value in zip(self.state, self.start, strict=True):
            variable.assign(value)
        for name, variable in self.weights.items():
            variable.assign(weights.get(name, 0.0))
        if views not in self.steps:
            self.steps[views] = training_step(self.model, self.workers, self.average)
        rng = np.random.default_rng(1)
        metrics, gradient = [], None
        for _ in range(steps):
            shape = (16, views, SIZE, SIZE, 3) if views > 1 else (16, SIZE, SIZE, 3)
            images = rng.random(shape, np.float32)
            labels = rng.permutation(np.arange(16) % 4)
            batch = (tf.constant(images), tf.constant(labels))
            for metric in self.model.metrics:
                metric.reset_state()
            metrics.append(self.steps[views](batch, False)[0])
            if gradient is None:
                momenta = self.model.optimizer.variables[2:]
                # After one step the momentum is the gradient times the rate.
                gradient = [-v.numpy() / RATE for v in momenta]
        variables = [*self.model.variables, *self.average.variables]
        variables = [v.numpy() for v in variables]
        return {"metrics": metrics, "gradient": gradient, "variables": variables}


def resnet_of(*blocks):
    """ResNet-18 with fewer blocks: each replica has a graph of its own to build."""

    def make(dtype):
        whole, resnet.BLOCKS_PER_STAGE = resnet.BLOCKS_PER_STAGE, blocks
        try:
            return resnet18((SIZE, SIZE, 3), 2, dtype=dtype)
        finally:
            resnet.BLOCKS_PER_STAGE = whole

    return make


small_resnet = resnet_of(1, 1)
# All kinds of blocks, once each.
deep_resnet = resnet_of(1, 1, 1, 1)


def on_resnet(counts):
    """One view of each image on up to 2 replicas, two with the small network."""
    found = {}
    for replicas in counts:
        networks = (
            {2: small_resnet} if replicas > 2 else {1: deep_resnet, 2: small_resnet}
        )
        for views, network in networks.items():
            trainer = Trainer(replicas, network, "float64")
            for name, weights in WEIGHTS.items():
                found[replicas, views, name] = trainer.run(weights, views)
    return found


def under_attack(counts):
    """Adversarial views with both contrastive losses."""
    found, weights = {}, {"cross_entropy": 1.0, "supcon": 1.0, "margin": 1.0}
    for replicas in counts:
        trainer = Trainer(replicas, small_resnet, "float64", Adversary("zerograd"))
        found[replicas] = trainer.run(weights, 1)
    return found


def on_three_layers(counts):
    found = {}
    for replicas in counts:
        trainer = Trainer(replicas, small_network, "float32")
        for name, weights in WEIGHTS.items():
            found[replicas, name] = trainer.run(weights, 2, steps=1)
    return found


def without_gather():
    """As `on_three_layers` on 2 replicas, each of which sees its own samples only."""
    original = objective.global_batch
    objective.global_batch = Batch
    try:
        trainer = Trainer(2, small_network, "float32")
        return {name: trainer.run(w, 2, steps=1) for name, w in WEIGHTS.items()}
    finally:
        objective.global_batch = original


def on_plain_keras(counts):
    """A step of a Keras model compiled with each loss: loss and weights.

    Beside them, under "expected", those of a step on the mean of the replicas' losses.
    """
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    inputs = np.random.default_rng(0).random((16, 6), np.float32)
    labels = np.arange(16) % 4
    found = {}
    for replicas in counts:
        for name, loss in {**LOSSES, "keras": cross_entropy}.items():
            keras.utils.set_random_seed(0)
            with strategy_of(replicas).scope():
                model = keras.Sequential([keras.Input([6]), keras.layers.Dense(4)])
                model.compile(keras.optimizers.SGD(1.0), loss)
            start = [tf.Variable(value) for value in model.get_weights()]
            history = model.fit(inputs, labels, 16, shuffle=False, verbose=0).history
            found[replicas, name] = [history["loss"][0], *model.get_weights()]
            with tf.GradientTape() as tape:
                outputs = tf.matmul(inputs, start[0]) + start[1]
                shares = np.split(labels, replicas), tf.split(outputs, replicas)
                mean = tf.add_n(list(map(loss, *shares))) / replicas
            gradients = tape.gradient(mean, start)
            weights = [(v - g).numpy() for v, g in zip(start, gradients, strict=True)]
            found["expected", replicas, name] = [mean.numpy(), *weights]
    return found


def batches(count):
    rng = np.random.default_rng(2)
    for _ in range(count):
        images = rng.random((16, SIZE, SIZE, 3), np.float32)
        yield tf.constant(images), tf.constant(rng.permutation(np.arange(16) % 4))


def resumed():
    """Metrics and variables of a run on 2 replicas, and of one stopped on its way."""
    trainer = Trainer(2, small_network, "float32")
    for name, weight in WEIGHTS["pretrain"].items():
        trainer.weights[name].assign(weight)
    metrics = [v for metric in trainer.model.metrics for v in metric.variables]
    variables = [*trainer.state, *metrics]
    step = training_step(trainer.model, trainer.workers)

    def ten_steps():
        found = [step(batch, False)[0] for batch in batches(10)]
        return found, [v.numpy() for v in variables]

    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), {}, 1, 20)
        state = TrainingState(variables, checkpoints, trainer.workers)
        ten_steps()
        state.save(Position(0, 10))
        whole = ten_steps()
        for variable in variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        assert state.restore() == Position(0, 10)
        return whole, ten_steps()


def overflow():
    """Weights before and after, and loss scales, of float16 steps on 2 replicas.

    The second replica's images are so bright that its gradients overflow; those of the
    last step are not.
    """
    trainer = Trainer(2, dense_network, "mixed_float16")
    step = training_step(trainer.model, trainer.workers)
    trainer.weights["cross_entropy"].assign(1.0)
    found = []
    for bright in (300.0, 0.1):
        before = trainer.model.get_weights()
        images = np.full((16, SIZE, SIZE, 3), 0.1, np.float32)
        images[8:] = bright
        step((tf.constant(images), tf.constant(np.arange(16) % 4)), False)
        scale = trainer.model.optimizer.dynamic_scale
        parts = trainer.workers.strategy.experimental_local_results(scale.value)
        scales = [float(part) for part in parts]
        found.append((before, trainer.model.get_weights(), scales))
    return found


def dense_network(dtype):
    inputs = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Flatten(dtype=dtype)(inputs)
    features = keras.layers.Dense(8, dtype=dtype)(features)
    features = keras.layers.Activation("linear", dtype="float32")(features)
    return keras.Model(inputs, features)


def refusals():
    """What `compile` and `fit` say to what they can't do on 2 replicas."""
    cases = {
        "jit_compile": ({}, {"jit_compile": True}, 32),
        "steps_per_execution": ({}, {"steps_per_execution": 2}, 32),
        "gradient_accumulation_steps": ({"gradient_accumulation_steps": 2}, {}, 32),
        "nothing": ({}, {}, 32),
        "an uneven batch": ({}, {}, 31),
        "no label": ({}, {}, 32),
    }
    return {
        (name, inside): refusal(*case, inside, 99 if name == "no label" else 0)
        for name, case in cases.items()
        for inside in (True, False)
        if inside or name not in ("an uneven batch", "no label")
    }


def refusal(for_optimizer, for_compile, count, inside, first_label):
    """None, or kind and text of the error; `inside`: compiled in the scope."""
    strategy = strategy_of(2)
    with strategy.scope():
        model = ContrastiveClassifier(small_network("float32"), 4)
        optimizer = keras.optimizers.SGD(RATE, **for_optimizer)
    images = np.zeros((count, SIZE, SIZE, 3), np.float32)
    labels = np.arange(count) % 4
    labels[0] = first_label
    losses = {name: (1.0, LOSSES[name]) for name in ("cross_entropy", "supcon")}
    try:
        with strategy.scope() if inside else contextlib.nullcontext():
            model.compile(optimizer, losses, **for_compile)
        if not inside or not for_compile:
            model.fit(images, labels, batch_size=16, verbose=0)
    except (ValueError, tf.errors.OpError) as error:
        return type(error).__name__, str(error)
    return None


def main():
    file, replicas = sys.argv[1], int(sys.argv[2])
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
    tf.config.set_logical_device_configuration(cpu, parts)
    outcomes = {"resnet": on_resnet((1, 2) if replicas == 2 else (replicas,))}
    outcomes["plain"] = on_plain_keras((1, 2) if replicas == 2 else (replicas,))
    if replicas == 2:
        outcomes["layers"] = on_three_layers((1, 2))
        outcomes["attacked"] = under_attack((1, 2))
        outcomes["alone"] = without_gather()
        outcomes["refusals"] = refusals()
        outcomes["resumed"] = resumed()
        outcomes["overflow"] = overflow()
    with open(file, "wb") as target:
        pickle.dump(outcomes, target)


if __name__ == "__main__":
    main()
