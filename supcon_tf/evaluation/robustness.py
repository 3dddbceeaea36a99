"""Accuracy under attack: every attack at every epsilon, image by image."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from supcon_tf.attacks import Target
from supcon_tf.attacks.attack import Attack
from supcon_tf.evaluation.attack_factory import pixel_units
from supcon_tf.evaluation.batches import CHUNK, chunks, logits_of
from supcon_tf.evaluation.session import EvaluationSession
from supcon_tf.results.intervals import wilson_interval
from supcon_tf.results.record import AttackRow, CumulativeStep
from supcon_tf.results.strength import outcome_name

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
    target: Target, session: EvaluationSession, title: str = "attacks"
) -> Robustness:
    """Attacks a model at every epsilon, each time from all images it gets right.

    Nothing is carried from one epsilon to another.

    Args:
        target: the model.
        session: images, attacks, epsilons and their parameters.
        title: of the progress bar.
    """
    split, config = session.split, session.config
    clean = session.parts.part(
        "clean", lambda: {"predicted": logits_of(target, split).argmax(axis=1)}
    )
    result = Robustness(outcomes={"clean": clean["predicted"] == split.labels})
    correct = np.flatnonzero(result.outcomes["clean"])
    made = {
        name: {strength: session.attack(name, strength) for strength in config.epsilons}
        for name in config.attacks
    }
    # In passes: an image of one attack takes thousands of them, of another a few.
    passes = sum(a.cost(target.classes) for one in made.values() for a in one.values())
    with tqdm(
        total=passes * len(correct),
        desc=title,
        unit="pass",
        unit_scale=True,
        disable=None,
    ) as bar:
        measurement = _Measurement(session, target, correct, bar)
        for name, attacks in made.items():
            for strength, left in measurement.left_by(name, attacks):
                outcome = np.zeros(len(split), bool)
                outcome[left.rows] = True
                result.rows.append(
                    _row(name, strength, attacks[strength], outcome, left, target)
                )
                result.outcomes[outcome_name(name, strength)] = outcome
    return result


@dataclass
class _Left:
    """What an attack has left so far.

    `rows` are the images (N,) that stand, `after` their number after each of the
    attacks that it is made of, if there are several.
    """

    rows: np.ndarray
    seconds: float = 0.0
    after: dict[str, int] = field(default_factory=dict)


@dataclass
class _Measurement:
    """The attacks on one model.

    Args:
        session: of the evaluation.
        target: the model.
        correct: (N,) rows of the images that it gets right.
        bar: shows progress, in passes.
    """

    session: EvaluationSession
    target: Target
    correct: np.ndarray
    bar: tqdm

    def left_by(
        self, name: str, attacks: dict[float, Attack]
    ) -> Iterator[tuple[float, _Left]]:
        """For each strength of an attack, what it leaves of the correct images."""
        together = next(iter(attacks.values())).shares_epsilons
        strengths = list(attacks)
        groups = [strengths] if together else [[one] for one in strengths]
        for group in groups:
            left = self._left_by_group(name, {one: attacks[one] for one in group})
            yield from zip(group, left, strict=True)

    def _left_by_group(self, name: str, group: dict[float, Attack]) -> list[_Left]:
        """The same for strengths that are attacked with together."""
        part = "+".join(outcome_name(name, strength) for strength in group)
        left = [_Left(self.correct) for _ in group]
        attacks = list(group.values())
        for stage in attacks[0].stages():
            at_stage = [attack.stages()[stage] for attack in attacks]
            # Attacks that share epsilons have one stage, so they start from the same.
            among = left[0].rows
            part_of_stage = part + (stage and f"/{stage}")
            survived, seconds = self._survivors(at_stage, part_of_stage, among)
            cost = sum(attack.cost(self.target.classes) for attack in at_stage)
            self.bar.total -= cost * (len(self.correct) - len(among))
            for one, row in zip(left, survived, strict=True):
                one.rows = among[row]
                one.seconds += seconds / len(group)
                if stage:
                    one.after[stage] = len(one.rows)
        return left

    def _survivors(
        self, attacks: Sequence[Attack], name: str, among: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Who of `among` survives (attacks, N), and the seconds, now or before.

        The attacks are one at several strengths. Each part is kept once it is finished.
        """
        cost = attacks[0].cost(self.target.classes)
        size = CHUNK if cost < _COSTLY else _FEWEST
        parts, seconds = [np.zeros((len(attacks), 0), bool)], 0.0
        for number, chunk in enumerate(chunks(self.session.split, among, size)):
            part = self.session.parts.part(
                f"{name}/{number}", _Chunk(self.target, attacks, *chunk).attacked
            )
            parts.append(part["survived"])
            seconds += float(part["seconds"])
            self.bar.update(cost * part["survived"].size)
        return np.concatenate(parts, axis=1), seconds


@dataclass
class _Chunk:
    """Images that are attacked at a time: float32 (N, H, W, C), and who they are."""

    target: Target
    attacks: Sequence[Attack]
    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def attacked(self) -> dict[str, Any]:
        """Who survives (attacks, N), and the seconds that it took."""
        start = time.perf_counter()
        survived = self.attacks[0].survivors_at(
            self.target,
            self.images,
            self.labels,
            [attack.epsilon for attack in self.attacks],
            indices=self.rows,
            known_right=True,
        )
        return {"survived": survived, "seconds": time.perf_counter() - start}


def _row(
    name: str,
    strength: float,
    attack: Attack,
    outcome: np.ndarray,
    left: _Left,
    target: Target,
) -> AttackRow:
    steps = tuple(
        CumulativeStep(stage, count / len(outcome))
        for stage, count in left.after.items()
    )
    return AttackRow(
        name=name,
        norm=attack.norm,
        epsilon=pixel_units(strength, attack.norm),
        epsilon_255=strength if attack.norm == "linf" else None,
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
