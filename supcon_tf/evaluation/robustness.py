"""Accuracy under attack: every attack at every epsilon, image by image."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from supcon_tf.attacks import (
    APGD,
    FAB,
    FGSM,
    PGD,
    AutoAttack,
    RandomNoise,
    Square,
    Target,
    Transfer,
)
from supcon_tf.attacks.attack import Attack
from supcon_tf.config import ATTACKS, EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.errors import UserError
from supcon_tf.evaluation.batches import in_batches
from supcon_tf.evaluation.parts import Journal
from supcon_tf.results.intervals import wilson_interval
from supcon_tf.results.record import AttackRow, CumulativeStep, outcome_name

# Images that are held as float32 at a time, and lost at most when a run is stopped.
CHUNK = 1024
# Of an attack with thousands of passes an image, as few as still fill the batches.
_FEWEST, _COSTLY = 256, 1000


@dataclass
class Robustness:
    """What the attacks left of a model.

    `rows` are the attacks of robustness.json; `outcomes` say for each image (N,) of
    the split whether it is classified correctly, under "clean" and "ATTACK@EPSILON".
    """

    rows: list[AttackRow] = field(default_factory=list)
    outcomes: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def clean_accuracy(self) -> float:
        return float(self.outcomes["clean"].mean())


def measure_robustness(
    model: keras.Model | Target,
    split: Split,
    config: EvaluationConfig,
    seed: int = 0,
    source: keras.Model | Target | None = None,
    title: str = "attacks",
    journal: Journal | None = None,
) -> Robustness:
    """Attacks a model at every epsilon, each time from all images it gets right.

    Nothing is carried from one epsilon to another.

    Args:
        model: maps [0,1] images to logits; a target that others use is compiled once.
        split: images and labels.
        config: attacks, epsilons and their parameters.
        seed: of random starts and searches.
        source: the model that makes the images of the transfer attack.
        title: of the progress bar.
        journal: where finished parts are kept and found again.
    """
    journal = journal or Journal()
    target = target_of(model, split)
    if source is not None:
        source = target_of(source, split)
    clean = journal.part(
        "clean", lambda: {"predicted": logits_of(target, split).argmax(axis=1)}
    )
    result = Robustness(outcomes={"clean": clean["predicted"] == split.labels})
    correct = np.flatnonzero(result.outcomes["clean"])
    made = {
        name: [make_attack(name, e, config, seed, source) for e in config.epsilons]
        for name in config.attacks
    }
    # In passes: an image of one attack takes thousands of them, of another a few.
    passes = sum(one.cost(target.classes) for of in made.values() for one in of)
    total = passes * len(correct)
    with tqdm(
        total=total, desc=title, unit="pass", unit_scale=True, disable=None
    ) as bar:
        for name, attacks in made.items():
            for epsilon, attack, left in _left_by(
                name, attacks, config, target, split, correct, bar, journal
            ):
                outcome = np.zeros(len(split), bool)
                outcome[left.rows] = True
                row = _row(name, epsilon, outcome, config, attack, left, target)
                result.rows.append(row)
                result.outcomes[outcome_name(name, epsilon)] = outcome
    return result


def make_attack(
    name: str,
    epsilon: float,
    config: EvaluationConfig,
    seed: int = 0,
    source: keras.Model | Target | None = None,
) -> Any:
    """The attack that a name on the command line stands for.

    Args:
        name: one of `supcon_tf.config.ATTACKS`.
        epsilon: as on the command line: in 1/255 for linf, in pixel units for l2.
        config: norm, steps and restarts.
        seed: of its random numbers.
        source: the model that the transfer attack is made on.

    Raises:
        UserError: if there is no such attack, or it can't be made so.
    """
    radius = pixel_units(epsilon, config.norm)
    norm = config.norm
    losses = {"pgd": "ce", "pgd_cw": "cw", "pgd_dlr": "dlr"}
    if name == "fgsm":
        return FGSM(epsilon=radius, norm=norm)
    if name in losses:
        return PGD(
            epsilon=radius,
            steps=config.pgd_steps,
            restarts=config.pgd_restarts,
            norm=norm,
            loss=losses[name],
            seed=seed,
        )
    if name == "noise":
        return RandomNoise(epsilon=radius, norm=norm, seed=seed)
    if name == "transfer":
        if source is None:
            raise UserError("it needs a source model. Received: source=None")
        made_on_source = PGD(
            epsilon=radius,
            steps=config.pgd_steps,
            norm=norm,
            seed=seed,
            early_stop=False,
        )
        return Transfer(made_on_source, source)
    if name == "square":
        return Square(epsilon=radius, norm=norm, seed=seed)
    ball: dict[str, Any] = {"epsilon": radius, "norm": norm, "seed": seed}
    standard: dict[str, Callable[[], Attack]] = {
        "apgd_ce": lambda: APGD(loss="ce", **ball),
        "apgd_t": lambda: APGD(loss="dlr_targeted", **ball),
        "fab_t": lambda: FAB(**ball),
        "square_5000": lambda: Square(queries=5000, schedule="raw", **ball),
        "autoattack": lambda: AutoAttack(**ball),
    }
    if name not in standard:
        raise UserError(f"it must be one of {', '.join(ATTACKS)}. Received: {name!r}")
    return standard[name]()


def refuse_impossible_attacks(
    config: EvaluationConfig,
    seed: int = 0,
    source: keras.Model | None = None,
    classes: int | None = None,
) -> None:
    """Makes every attack once, so that none is refused after the others have run.

    Raises:
        UserError: naming the attack and what is wrong with it, such as that it needs
            more than this number of classes.
    """
    for name in config.attacks:
        for epsilon in config.epsilons:
            try:
                attack = make_attack(name, epsilon, config, seed, source)
                if classes is not None:
                    attack.objective.check_classes(classes)
            except UserError as error:
                raise UserError(f"--attacks={name}: {error}") from error


def target_of(model: keras.Model | Target, split: Split) -> Target:
    """The model as attacks take it, tried on a few images of the split."""
    if isinstance(model, Target):
        return model
    return Target(model, split.images[:4].astype(np.float32) / 255)


def pixel_units(epsilon: float, norm: str) -> float:
    """An epsilon of the command line in [0,1] pixel units."""
    return epsilon / 255 if norm == "linf" else epsilon


def logits_of(target: Target, split: Split) -> np.ndarray:
    """(N, classes) logits, batch by batch."""
    return in_batches(lambda images: {"logits": target.logits(images)}, split)["logits"]


def chunks(
    split: Split, rows: np.ndarray, size: int = CHUNK
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Float32 images in [0,1], labels and row numbers, a bounded number at a time."""
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield split.images[part].astype(np.float32) / 255, split.labels[part], part


@dataclass
class _Left:
    """What an attack has left so far.

    `rows` are the images (N,) that stand, `after` their number after each of the
    attacks that it is made of, if there are several.
    """

    rows: np.ndarray
    seconds: float = 0.0
    after: dict[str, int] = field(default_factory=dict)


def _left_by(
    name: str,
    attacks: Sequence[Attack],
    config: EvaluationConfig,
    target: Target,
    split: Split,
    correct: np.ndarray,
    bar: tqdm,
    journal: Journal,
) -> Iterator[tuple[float, Attack, _Left]]:
    """For each epsilon its attack, and what that leaves of `correct`."""
    together = attacks[0].shares_epsilons
    groups = [attacks] if together else [[one] for one in attacks]
    epsilons = iter(config.epsilons)
    for group in groups:
        named = list(itertools.islice(epsilons, len(group)))
        part = "+".join(outcome_name(name, epsilon) for epsilon in named)
        left = [_Left(correct) for _ in group]
        for stage in group[0].stages():
            at_stage = [attack.stages()[stage] for attack in group]
            # Attacks that share epsilons have one stage, so they start from the same.
            among = left[0].rows
            survived, seconds = _in_parts(
                at_stage,
                part + (stage and f"/{stage}"),
                target,
                split,
                among,
                bar,
                journal,
            )
            cost = sum(attack.cost(target.classes) for attack in at_stage)
            bar.total -= cost * (len(correct) - len(among))
            for one, row in zip(left, survived, strict=True):
                one.rows = among[row]
                one.seconds += seconds / len(group)
                if stage:
                    one.after[stage] = len(one.rows)
        yield from zip(named, group, left, strict=True)


def _in_parts(
    attacks: Sequence[Attack],
    name: str,
    target: Target,
    split: Split,
    among: np.ndarray,
    bar: tqdm,
    journal: Journal,
) -> tuple[np.ndarray, float]:
    """Who of `among` survives (attacks, N), and the seconds, now or before.

    The attacks are one at several strengths. Each part is kept once it is finished.
    """
    radii = [attack.epsilon for attack in attacks]
    cost = attacks[0].cost(target.classes)
    size = CHUNK if cost < _COSTLY else _FEWEST
    parts, seconds = [np.zeros((len(radii), 0), bool)], 0.0
    for number, (images, labels, rows) in enumerate(chunks(split, among, size)):

        def survivors(
            images: np.ndarray = images,
            labels: np.ndarray = labels,
            rows: np.ndarray = rows,
        ) -> dict[str, Any]:
            start = time.perf_counter()
            survived = attacks[0].survivors_at(
                target, images, labels, radii, indices=rows, known_right=True
            )
            return {"survived": survived, "seconds": time.perf_counter() - start}

        part = journal.part(f"{name}/{number}", survivors)
        parts.append(part["survived"])
        seconds += float(part["seconds"])
        bar.update(cost * part["survived"].size)
    return np.concatenate(parts, axis=1), seconds


def _row(
    name: str,
    epsilon: float,
    outcome: np.ndarray,
    config: EvaluationConfig,
    attack: Attack,
    left: _Left,
    target: Target,
) -> AttackRow:
    steps = tuple(
        CumulativeStep(stage, count / len(outcome))
        for stage, count in left.after.items()
    )
    return AttackRow(
        name=name,
        norm=config.norm,
        epsilon=pixel_units(epsilon, config.norm),
        epsilon_255=epsilon if config.norm == "linf" else None,
        accuracy=float(outcome.mean()),
        interval_95=wilson_interval(int(outcome.sum()), len(outcome)),
        num_examples=len(outcome),
        parameters=_made_with(attack.parameters(), target.classes),
        seconds=round(left.seconds, 3),
        cumulative=steps or None,
    )


def _made_with(parameters: dict[str, Any], classes: int) -> dict[str, Any]:
    """The parameters, with no more targets than the model has wrong classes."""
    made = dict(parameters)
    if made.get("targets") is not None:
        made["targets"] = min(made["targets"], classes - 1)
    if "members" in made:
        made["members"] = [_made_with(member, classes) for member in made["members"]]
    return made
