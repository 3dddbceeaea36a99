"""Runs AutoAttack's reference implementation beside ours; started by a test.

    python pyautoattack_process.py

Prints a JSON object with what both found. TensorFlow and PyTorch share this process,
and the reference computes in float64, so that only what we round differs.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import keras
import numpy as np
import tensorflow as tf
import torch
from pyautoattack import AutoAttack as ReferenceAutoAttack
from pyautoattack import fab_projections
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack

from supcon_tf.attacks import APGD, FAB, AutoAttack, Square, Target
from supcon_tf.attacks.hyperplanes import step_to_hyperplane
from supcon_tf.attacks.inputs import Inputs

CLASSES, SHAPE = 6, (8, 8, 3)
NORMS = {"linf": "Linf", "l2": "L2"}
# Strengths at which about half of the images fall.
EPSILON = {"linf": 0.03, "l2": 0.3}
FAR = {"linf": 1.0, "l2": 10.0}
APGD_IMAGES, FAB_IMAGES, SQUARE_IMAGES, ENSEMBLE_IMAGES = 20, 24, 500, 60


def main():
    found = {"projections": projections()}
    model, images, labels = trained()
    reference = Bridge(model)
    right = model.predict(images, verbose=0).argmax(axis=1) == labels
    images, labels = images[right], labels[right]
    target = Target(model, images)
    for norm in NORMS:
        found[norm] = {
            "fab": fab(
                norm, target, reference, images[:FAB_IMAGES], labels[:FAB_IMAGES]
            ),
            "apgd": {
                loss: apgd(norm, loss, target, reference, images, labels)
                for loss in ("ce", "dlr", "dlr_targeted")
            },
            "square": square(norm, target, reference, images, labels),
            "ensemble": ensemble(norm, target, reference, images, labels),
        }
    print(json.dumps(found))


def trained():
    """A float64 model, and more images of what it was trained on."""
    rng = np.random.default_rng(0)
    patterns = rng.random((CLASSES, *SHAPE))

    def draw(count):
        labels = np.arange(count) % CLASSES
        noise = rng.normal(scale=0.2, size=(count, *SHAPE))
        images = np.clip(0.5 + 0.25 * (patterns[labels] - 0.5) + noise, 0, 1)
        return images.astype(np.float32), labels

    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(8, 3, activation="relu", dtype="float64"),
        keras.layers.Conv2D(8, 3, 2, activation="relu", dtype="float64"),
        keras.layers.Flatten(dtype="float64"),
        keras.layers.Dense(CLASSES, dtype="float64"),
    ]
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(*draw(600), epochs=10, verbose=0)
    return (model, *draw(700))


class Bridge:
    """A Keras model as PyTorch calls it, on images (N, C, H, W)."""

    def __init__(self, model):
        self.asked = []

        @tf.function(reduce_retracing=True, autograph=False)
        def forward(images):
            return model(images, training=False)

        @tf.function(reduce_retracing=True, autograph=False)
        def backward(images, slopes):
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = model(images, training=False)
            return tape.gradient(logits, images, output_gradients=slopes)

        def channels_last(images):
            return tf.constant(images.detach().numpy().transpose(0, 2, 3, 1))

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(context, images):
                context.save_for_backward(images)
                return torch.tensor(forward(channels_last(images)).numpy())

            @staticmethod
            def backward(context, slopes):
                images = channels_last(context.saved_tensors[0])
                slope = backward(images, tf.constant(slopes.numpy())).numpy()
                return torch.tensor(slope.transpose(0, 3, 1, 2).copy())

        self.function = Function

    def __call__(self, images):
        logits = self.function.apply(images)
        self.asked.append(logits.detach().numpy())
        return logits


def as_torch(images):
    channels_first = np.asarray(images, np.float64).transpose(0, 3, 1, 2)
    return torch.tensor(np.ascontiguousarray(channels_first))


def length(change, norm):
    flat = np.asarray(change, np.float64).reshape(len(change), -1)
    return np.linalg.norm(flat, ord=np.inf if norm == "linf" else 2, axis=1)


def projections():
    """The largest difference of steps to hyperplanes, edge cases among them."""
    rng = np.random.default_rng(1)
    theirs = {
        "linf": fab_projections.projection_linf,
        "l2": fab_projections.projection_l2,
    }
    worst = dict.fromkeys(theirs, 0.0)
    for _ in range(20):
        size = (32, int(rng.integers(2, 300)))
        points = rng.random(size)
        points = np.where(rng.random(size) < 0.3, points.round(), points)
        normals = rng.normal(size=size) * 10 ** rng.uniform(-3, 2)
        normals[rng.random(size) < 0.2] = 0
        heights = rng.normal(size=32) * np.abs(normals).sum(axis=1)
        heights *= 10 ** rng.uniform(-3, 0.4)
        offsets = (normals * points).sum(axis=1) - heights
        for norm, project in theirs.items():
            expected = project(*map(torch.tensor, (points, normals, offsets))).numpy()
            ours = step_to_hyperplane(
                *map(tf.constant, (points, normals, heights)), norm
            )
            worst[norm] = max(worst[norm], float(np.abs(ours - expected).max()))
    return worst


def fab(norm, target, reference, images, labels):
    """Distances of the closest points towards one target, and who falls to five."""
    images, labels = images[:FAB_IMAGES], labels[:FAB_IMAGES]
    given = {"norm": NORMS[norm], "verbose": False, "targeted": True, "device": "cpu"}
    theirs = FABAttack_PT(
        reference, n_iter=30, eps=FAR[norm], n_target_classes=1, seed=0, **given
    ).perturb(as_torch(images), torch.tensor(labels))
    ours = FAB(
        epsilon=1.0 if norm == "linf" else FAR[norm],
        norm=norm,
        targets=1,
        steps=30,
        early_stop=False,
    )(target, images, labels)
    epsilon = float(np.median(length(ours - images, norm)))
    # No image's distance is so close to it that rounding would decide.
    attack = FABAttack_PT(reference, n_iter=30, eps=epsilon, seed=0, **given)
    attack.n_target_classes = CLASSES - 1
    fallen = reference(attack.perturb(as_torch(images), torch.tensor(labels)))
    survived = FAB(epsilon=epsilon, norm=norm, steps=30).survivors(
        target, images, labels
    )
    return {
        "ours": length(ours - images, norm).tolist(),
        "theirs": length(theirs - as_torch(images), norm).tolist(),
        "our_survivors": survived.tolist(),
        "their_survivors": (fallen.argmax(dim=1).numpy() == labels).tolist(),
    }


def apgd(norm, loss, target, reference, images, labels):
    """The losses at the start and after all 100 steps, from the same start."""
    images, labels = images[:APGD_IMAGES], labels[:APGD_IMAGES]
    # So that most images stand to the last step.
    epsilon = 0.6 * EPSILON[norm]
    attack = APGD(epsilon=epsilon, norm=norm, loss=loss, targets=1)
    judged, steps = recorded(attack, target, images, labels)
    given = {"norm": NORMS[norm], "eps": epsilon, "device": "cpu"}
    if loss == "dlr_targeted":
        # The first answer is that for the images themselves.
        (_, logits, _), *judged = judged
        theirs = APGDAttack_targeted(reference, n_iter=100, **given)
        logits[np.arange(len(labels)), labels] = -np.inf
        theirs.y_target = torch.tensor(logits.argmax(axis=1))
        theirs.loss = "dlr-targeted"
    else:
        theirs = APGDAttack(reference, n_iter=100, loss=loss, **given)
    theirs.init_hyperparam(as_torch(images))
    reference.asked.clear()
    theirs.attack_single_run(
        as_torch(images), torch.tensor(labels), x_init=as_torch(judged[0][0])
    )
    targets = labels if loss != "dlr_targeted" else theirs.y_target.numpy()
    expected = [
        attack.objective.values(
            tf.constant(logits), tf.constant(labels), tf.constant(targets)
        ).numpy()
        for logits in reference.asked
    ]
    fools = [logits.argmax(axis=1) != labels for logits in reference.asked]
    return {
        "fallen": np.logical_or.accumulate(fools).tolist(),
        "ours": [values.tolist() for _, _, values in judged],
        "theirs": [values.tolist() for values in expected],
        "halvings": np.log2(steps[0] / steps[-1]).tolist(),
    }


def recorded(attack, target, images, labels):
    """Images, logits and losses of all tries of a run, and the step sizes."""
    judged, steps = [], []
    judge, propose = target.judge, attack.propose

    def noting_judge(candidates, *arguments, **keywords):
        answer = judge(candidates, *arguments, **keywords)
        judged.append((candidates.numpy(), answer.logits.copy(), answer.loss))
        return answer

    def noting_propose(active):
        proposed = propose(active)
        steps.append(active.memory["step_size"].copy())
        return proposed

    target.judge, attack.propose = noting_judge, noting_propose
    try:
        inputs = Inputs.checked(images, labels)
        attack.run(
            target, inputs, batch_size=len(images), early_stop=False, known_right=True
        )
    finally:
        del target.judge
    return judged, steps


def square(norm, target, reference, images, labels):
    """How many of 500 images stand after 40 queries."""
    images, labels = images[:SQUARE_IMAGES], labels[:SQUARE_IMAGES]
    epsilon = 2 * EPSILON[norm]
    theirs = SquareAttack(
        reference,
        norm=NORMS[norm],
        eps=epsilon,
        n_queries=40,
        resc_schedule=False,
        seed=0,
        device="cpu",
    ).perturb(as_torch(images), torch.tensor(labels))
    ours = Square(epsilon=epsilon, norm=norm, queries=40, schedule="raw")
    survived = ours.survivors(target, images, labels, batch_size=len(images))
    stand = reference(theirs).argmax(dim=1).numpy() == labels
    return {
        "images": len(images),
        "ours": int(survived.sum()),
        "theirs": int(stand.sum()),
    }


def ensemble(norm, target, reference, images, labels):
    """Who stands after each member of the standard version, made shorter."""
    images, labels = images[:ENSEMBLE_IMAGES], labels[:ENSEMBLE_IMAGES]
    epsilon = EPSILON[norm]
    theirs = ReferenceAutoAttack(
        reference, eps=epsilon, norm=NORMS[norm], seed=0, device="cpu"
    )
    for attack in (theirs.apgd, theirs.apgd_targeted, theirs.fab):
        attack.n_iter = 20
    for attack in (theirs.apgd_targeted, theirs.fab):
        attack.n_target_classes = CLASSES - 1
    theirs.square.n_queries = 60
    theirs.verbose = False
    adversarial = theirs.run_standard_evaluation(
        as_torch(images), torch.tensor(labels), batch_size=len(images)
    )[0]
    ours = AutoAttack(epsilon=epsilon, norm=norm)
    ball = {"epsilon": epsilon, "norm": norm}
    ours.members = {
        "apgd_ce": APGD(steps=20, **ball),
        "apgd_t": APGD(loss="dlr_targeted", steps=20, **ball),
        "fab_t": FAB(steps=20, **ball),
        "square": Square(queries=60, schedule="raw", **ball),
    }
    stand = reference(adversarial).argmax(dim=1).numpy() == labels
    return {
        "ours": ours.survivors(target, images, labels).tolist(),
        "theirs": stand.tolist(),
    }


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    # Threads that wait for each other would take most of the time of such small arrays.
    torch.set_num_threads(1)
    # The reference turns images into float32 by this method.
    torch.Tensor.float = torch.Tensor.double
    main()
