"""Robust accuracy under FGSM and PGD-20: ours against cleverhans, ART and foolbox.

Everyone finds the same figure, the accuracy of a finished run's model on the same test
images, from images to accuracy. All take turns in one process; a ratio is the median of
the turns' ratios. Peers that are not installed are left out.

    python -m benchmarks.attack_speed --run_dir=R [--data_dir=DIR] [--images=256]
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from absl import flags

from supcon_tf.flags import new_flags, parse, run_command

TURNS = 5
EPSILON = 1 / 255
BATCH_SIZE = 128
STEPS = 20
GOALS = {
    ("FGSM", "cleverhans"): 2,
    ("FGSM", "ART"): 4,
    ("FGSM", "foolbox"): 4,
    ("PGD-20", "the fastest peer"): 3,
}

Accuracy = Callable[[], float]


def rows(run_dir: str, data_dir: str = "", count: int = 256) -> list[dict[str, Any]]:
    """A row for each attack and peer.

    Returns:
        Rows with `what`, `ours` and `peer` (images/s), `ratio` (> 1: ours is faster),
        `goal` (None where there is none) and the accuracies that both found.
    """
    model, images, labels = _trained(run_dir, data_dir, count)
    compared = []
    for attack in ("FGSM", "PGD-20"):
        runs = {"ours": _ours(attack, model, images, labels)}
        runs |= _peers(attack, model, images, labels)
        compared += _compare(attack, runs, count)
    return compared


def _trained(run_dir: str, data_dir: str, count: int) -> tuple[Any, Any, Any]:
    import dataclasses

    import numpy as np

    from supcon_tf.data import load
    from supcon_tf.data.splits import balanced_sample
    from supcon_tf.models import load_model
    from supcon_tf.run_folder import RunFolder

    folder = RunFolder(run_dir)
    config = folder.config().data
    if data_dir:
        config = dataclasses.replace(config, data_dir=data_dir)
    split = load(config).test
    chosen = balanced_sample(split.labels, count, seed=0)
    images = split.images[chosen].astype(np.float32) / 255
    return load_model(folder.model_file), images, split.labels[chosen]


def _ours(attack: str, model: Any, images: Any, labels: Any) -> Accuracy:
    from supcon_tf.attacks import FGSM, PGD
    from supcon_tf.evaluation.model import for_attacks

    folded = for_attacks(model)
    chosen = FGSM(epsilon=EPSILON)
    if attack != "FGSM":
        chosen = PGD(epsilon=EPSILON, steps=STEPS)

    def accuracy() -> float:
        # As the evaluation does it: only images that are right can still fall.
        right = _predicted(folded, images) == labels
        survived = chosen.survivors(folded, images[right], labels[right])
        return float(survived.sum() / len(labels))

    return accuracy


def _predicted(model: Any, images: Any) -> Any:
    import numpy as np
    import tensorflow as tf

    if not hasattr(model, "benchmark_forward"):
        forward = tf.function(
            lambda x: tf.argmax(model(x, training=False), axis=1), reduce_retracing=True
        )
        object.__setattr__(model, "benchmark_forward", forward)
    return np.concatenate(
        [
            model.benchmark_forward(tf.constant(images[start : start + BATCH_SIZE]))
            for start in range(0, len(images), BATCH_SIZE)
        ]
    )


def _peers(attack: str, model: Any, images: Any, labels: Any) -> dict[str, Accuracy]:
    found = {}
    for name, make in (
        ("cleverhans", _cleverhans),
        ("ART", _art),
        ("foolbox", _foolbox),
    ):
        try:
            perturb = make(attack, model, images.shape[1:])
        except ImportError:
            print(f"{name} is not installed", file=sys.stderr)
            continue
        found[name] = _accuracy_of(perturb, model, images, labels)
    return found


def _accuracy_of(perturb: Callable, model: Any, images: Any, labels: Any) -> Accuracy:
    import numpy as np

    def accuracy() -> float:
        parts = [
            np.asarray(
                perturb(
                    images[start : start + BATCH_SIZE],
                    labels[start : start + BATCH_SIZE],
                )
            )
            for start in range(0, len(images), BATCH_SIZE)
        ]
        return float((_predicted(model, np.concatenate(parts)) == labels).mean())

    return accuracy


def _cleverhans(attack: str, model: Any, shape: Any) -> Callable:
    import numpy as np
    import tensorflow as tf
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.tf2.attacks.projected_gradient_descent import (
        projected_gradient_descent,
    )

    def logits(x: Any) -> Any:
        return model(x, training=False)

    bounds = {"clip_min": 0.0, "clip_max": 1.0}

    @tf.function
    def fgsm(x: Any, y: Any) -> Any:
        return fast_gradient_method(logits, x, EPSILON, np.inf, y=y, **bounds)

    @tf.function
    def pgd(x: Any, y: Any) -> Any:
        return projected_gradient_descent(
            logits,
            x,
            EPSILON,
            EPSILON / 4,
            STEPS,
            np.inf,
            y=y,
            sanity_checks=False,
            **bounds,
        )

    chosen = fgsm if attack == "FGSM" else pgd
    return lambda x, y: chosen(tf.constant(x), tf.constant(y))


def _art(attack: str, model: Any, shape: Any) -> Callable:
    import tensorflow as tf
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model,
        nb_classes=model.num_classes,
        input_shape=shape,
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
    if attack == "FGSM":
        chosen = FastGradientMethod(classifier, eps=EPSILON, batch_size=BATCH_SIZE)
    else:
        chosen = ProjectedGradientDescent(
            classifier,
            eps=EPSILON,
            eps_step=EPSILON / 4,
            max_iter=STEPS,
            num_random_init=1,
            batch_size=BATCH_SIZE,
            verbose=False,
        )
    return lambda x, y: chosen.generate(x, y)


def _foolbox(attack: str, model: Any, shape: Any) -> Callable:
    import eagerpy
    import foolbox
    import tensorflow as tf

    wrapped = foolbox.TensorFlowModel(
        lambda x: model(x, training=False), bounds=(0, 1), device="CPU:0"
    )
    chosen = foolbox.attacks.LinfFastGradientAttack()
    if attack != "FGSM":
        chosen = foolbox.attacks.LinfPGD(
            abs_stepsize=EPSILON / 4, steps=STEPS, random_start=True
        )

    def perturb(x: Any, y: Any) -> Any:
        x, y = (eagerpy.astensor(tf.constant(value)) for value in (x, y))
        return chosen(wrapped, x, y, epsilons=EPSILON)[1].raw.numpy()

    return perturb


def _compare(
    attack: str, runs: dict[str, Accuracy], count: int
) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    accuracies = {}
    for turn in range(TURNS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            accuracies[name] = run()
            # The first turn compiles.
            if turn:
                seconds[name].append(time.perf_counter() - start)
    peers = [name for name in runs if name != "ours"]
    best = min(peers, key=lambda name: statistics.median(seconds[name]), default=None)
    table = []
    for name in peers:
        pairs = zip(seconds[name], seconds["ours"], strict=True)
        goal = GOALS.get((attack, name))
        if name == best:
            goal = goal or GOALS.get((attack, "the fastest peer"))
        table.append(
            {
                "what": f"{attack} robust accuracy against {name}",
                "ours": count / statistics.median(seconds["ours"]),
                "peer": count / statistics.median(seconds[name]),
                "ratio": statistics.median(theirs / own for theirs, own in pairs),
                "goal": goal,
                "accuracies": (accuracies["ours"], accuracies[name]),
            }
        )
    return table


def main(argv: list[str]) -> None:
    values = new_flags()
    flags.DEFINE_string("run_dir", None, "a finished run", flag_values=values)
    flags.DEFINE_string("data_dir", "", "folder of its data", flag_values=values)
    flags.DEFINE_integer("images", 256, "images to attack", flag_values=values)
    parse(values, argv, __doc__ or "")
    table = rows(
        values["run_dir"].value, values["data_dir"].value, values["images"].value
    )
    print("| what | ours (images/s) | peer (images/s) | ratio | goal | accuracies |")
    print("|---|---|---|---|---|---|")
    for row in table:
        ours, peer = row["accuracies"]
        print(
            f"| {row['what']} | {row['ours']:.0f} | {row['peer']:.0f} | "
            f"{row['ratio']:.1f} | {row['goal'] or '-'} | {ours:.1%}, {peer:.1%} |"
        )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_command(main, sys.argv)
