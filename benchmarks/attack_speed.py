"""Robust accuracy under FGSM and PGD-20: ours against cleverhans, ART and foolbox.

Everyone finds the same figure, the accuracy of a finished run's model on the same test
images, from images to accuracy. Peers attack the same network with the same weights in
Keras' own layers, with TensorFlow as it comes and with oneDNN turned on as this
project's commands do. All take turns; a ratio is the median of the turns' ratios. Peers
that are not installed are left out.

    python -m benchmarks.attack_speed --run_dir=R [--data_dir=DIR]
"""

import dataclasses
import statistics
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.apart import apart
from benchmarks.attack_peers import BATCH_SIZE, PEERS, STEPS, Subject
from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.commands.flags import define_path, new_flags, parse, run_command
from supcon_tf.runtime.environment import prepare_environment

TURNS = 5
CURVE = "FGSM at four strengths"
WITH_ONEDNN = " with oneDNN"
IMAGES = {"FGSM": 128, CURVE: 128, "PGD-20": 64}
GOALS = {
    ("FGSM", "cleverhans"): 2,
    ("FGSM", "ART"): 4,
    ("FGSM", "foolbox"): 4,
    (CURVE, "cleverhans"): 2,
    (CURVE, "ART"): 4,
    (CURVE, "foolbox"): 4,
    ("PGD-20", "the fastest peer"): 3,
}

Accuracies = Callable[[], list[float]]


def rows(run_dir: str, data_dir: str = "") -> list[Row]:
    """A row for each attack and peer."""
    found = []
    for attack, count in IMAGES.items():
        subject = _subject(attack, run_dir, data_dir, count)
        runs = {"ours": _ours(attack, subject)}
        for name in PEERS:
            given = attack, run_dir, data_dir, count
            try:
                alone = apart("benchmarks.attack_speed", "peer", name, *given)
                runs |= {name: alone, name + WITH_ONEDNN: peer(name, *given)}
            except ImportError:
                print(f"{name} is not installed", file=sys.stderr)
        found += _compare(attack, runs, count, subject)
    return found


def peer(name: str, attack: str, run_dir: str, data_dir: str, count: int) -> Accuracies:
    """One of `PEERS` at work on Keras' own layers.

    Raises:
        ImportError: if it is not installed.
    """
    import keras

    from benchmarks.export_speed import stock_encoder

    subject = _subject(attack, run_dir, data_dir, count)
    encoder = stock_encoder(subject.model.encoder)
    logits = subject.model.classifier(encoder.output)
    subject = dataclasses.replace(subject, model=keras.Model(encoder.input, logits))
    perturbs = [PEERS[name](attack, subject, e) for e in subject.epsilons]
    return _accuracies_of(perturbs, subject)


def strengths(dataset: str, attack: str) -> tuple[float, ...]:
    """Epsilons at which about half of the images fall."""
    alone, curve = (1, (1, 2, 4, 8))
    if dataset == "digits":
        alone, curve = (16, (4, 8, 16, 32))
    return tuple(e / 255 for e in (curve if attack == CURVE else (alone,)))


def _subject(attack: str, run_dir: str, data_dir: str, count: int) -> Subject:
    import numpy as np

    from supcon_tf.data import load
    from supcon_tf.data.splits import balanced_sample
    from supcon_tf.models import load_model
    from supcon_tf.runs.run_folder import RunFolder

    folder = RunFolder(run_dir)
    config = folder.config().data
    if data_dir:
        config = dataclasses.replace(config, data_dir=data_dir)
    split = load(config).test
    chosen = balanced_sample(split.labels, count, seed=0)
    return Subject(
        load_model(folder.model_file),
        split.images[chosen].astype(np.float32) / 255,
        split.labels[chosen],
        config.dataset,
        strengths(config.dataset, attack),
    )


def _ours(attack: str, subject: Subject) -> Accuracies:
    from supcon_tf.attacks import FGSM, PGD, Target
    from supcon_tf.evaluation.attacked_model import for_attacks

    folded = for_attacks(subject.model)
    images, labels = subject.images, subject.labels
    epsilons = subject.epsilons
    target = Target(folded, images)
    pgd = PGD(epsilon=epsilons[0], steps=STEPS)

    def accuracies() -> list[float]:
        if attack != "PGD-20":
            survived = FGSM().survivors_at(target, images, labels, epsilons)
            return list(map(float, survived.mean(axis=1)))
        # As the evaluation does it: only images that are right can still fall.
        right = _predicted(folded, images) == labels
        survived = pgd.survivors(target, images[right], labels[right], known_right=True)
        return [float(survived.sum() / len(labels))]

    return accuracies


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


def _accuracies_of(perturbs: list[Callable], subject: Subject) -> Accuracies:
    import numpy as np

    model, images, labels = subject.model, subject.images, subject.labels

    def accuracy(perturb: Callable) -> float:
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

    return lambda: [accuracy(perturb) for perturb in perturbs]


def _compare(
    attack: str, runs: dict[str, Accuracies], count: int, subject: Subject
) -> list[Row]:
    found_by: dict[str, list[float]] = {}

    def noted(name: str, run: Accuracies) -> Callable[[], None]:
        return lambda: found_by.update({name: run()})

    # The first turn compiles.
    seconds = alternating({name: noted(name, run) for name, run in runs.items()}, TURNS)
    peers = [name for name in runs if name != "ours"]
    # The fastest with TensorFlow as it comes, and the fastest with oneDNN.
    best = {
        min(group, key=lambda name: statistics.median(seconds[name]))
        for with_onednn in (False, True)
        if (group := [p for p in peers if p.endswith(WITH_ONEDNN) == with_onednn])
    }
    found = []
    for name in peers:
        goal = GOALS.get((attack, name.removesuffix(WITH_ONEDNN)))
        if name in best:
            goal = goal or GOALS.get((attack, "the fastest peer"))
        epsilons = ", ".join(f"{255 * e:g}" for e in subject.epsilons)
        note = (
            f"{subject.dataset}, epsilon {epsilons} /255; accuracy "
            f"{_percent(found_by['ours'])} and {_percent(found_by[name])}"
        )
        what = f"{attack} robust accuracy against {name}"
        found.append(speed_row(what, seconds, name, count, goal=goal, note=note))
    return found


def _percent(accuracies: list[float]) -> str:
    return " / ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies) + " %"


def main(argv: list[str]) -> None:
    values = new_flags()
    define_path(values, "run_dir", "a finished run")
    define_path(values, "data_dir", "folder of its data")
    parse(values, argv, __doc__ or "")
    print(table(rows(str(values["run_dir"].value), str(values["data_dir"].value))))


if __name__ == "__main__":
    prepare_environment()
    run_command(main, sys.argv)
