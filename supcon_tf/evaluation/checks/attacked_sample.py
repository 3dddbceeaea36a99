"""The planned attacks on a sample of images, each made once and kept."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from supcon_tf.attacks import PGD, Target
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.evaluation.batches import chunks, logits_of, target_of
from supcon_tf.evaluation.checks.outcomes import Outcomes
from supcon_tf.evaluation.checks.plan import CURVE, PLAN, PlannedAttack
from supcon_tf.evaluation.session import EvaluationSession
from supcon_tf.results.record import AttackRow
from supcon_tf.results.strength import outcome_name

# Attacks of hundreds of passes an image see a quarter of the sample, but no fewer.
FEWEST_COMPARED = 100


def attack_sample(
    target: Target,
    session: EvaluationSession,
    rows: tuple[AttackRow, ...] = (),
    title: str = "checks",
) -> Outcomes:
    """Runs the attacks that the checks need.

    The checks' epsilon is the one, of the config, at which PGD accuracy is closest to
    half the clean accuracy: where all images fall or none does, comparing attacks
    tells nothing. Of two as close it is the stronger, as masked models stay flat.

    Args:
        target: the model.
        session: its images are the sample, at least one.
        rows: the attacks that were made on all images.
        title: of the progress bar.
    """
    run = _Runner(target, session)
    outcomes = _without_attack(target, session, rows)
    config, has_source = session.config, session.source is not None
    strengths = sorted({*config.epsilons, whole_range(config.norm, session.split)})
    planned = [p for p in PLAN if p.applies(outcomes.classes, has_source)]
    with tqdm(
        total=len(strengths) + len(planned), desc=title, unit="attack", disable=None
    ) as bar:
        for strength in strengths:
            found = run(CURVE, strength, outcomes)
            outcomes = dataclasses.replace(
                outcomes, curve={**outcomes.curve, strength: found}
            )
            bar.update()
        chosen = _most_telling(
            {e: int(outcomes.curve[e].sum()) for e in config.epsilons},
            int(outcomes.clean.sum()),
        )
        outcomes = dataclasses.replace(outcomes, strength=chosen)
        for attack in planned:
            outcomes = outcomes.after(attack.name, run(attack, chosen, outcomes))
            bar.update()
    return outcomes


def whole_range(norm: str, sample: Split) -> float:
    """The epsilon, as on the command line, that covers all images there are."""
    pixels = int(np.prod(sample.images.shape[1:]))
    return 255.0 if norm == "linf" else float(np.sqrt(pixels))


def _without_attack(
    target: Target, session: EvaluationSession, rows: tuple[AttackRow, ...]
) -> Outcomes:
    sample, parts = session.split, session.parts
    logits, again = parts.part(
        "logits", lambda: {again: logits_of(target, sample) for again in "ab"}
    ).values()
    usable = parts.part("gradient", lambda: {"usable": _usable(target, sample)})
    return Outcomes(
        norm=session.config.norm,
        correct=logits.argmax(axis=1) == sample.labels,
        compared=_compared(sample.labels, session.seed),
        gradient_usable=usable["usable"],
        logits=logits,
        logits_again=again,
        rows=rows,
        deterministic=session.deterministic,
    )


def _compared(labels: np.ndarray, seed: int) -> np.ndarray:
    count = max(FEWEST_COMPARED, len(labels) // 4)
    chosen = np.zeros(len(labels), bool)
    chosen[balanced_sample(labels, count, seed)] = True
    return chosen


def _usable(target: Target, sample: Split) -> np.ndarray:
    """(N,) whether the gradient at the image is finite and not zero everywhere."""
    attack = PGD(steps=1)
    parts = []
    for images, labels, _ in chunks(sample, np.arange(len(sample))):
        flat = attack.gradients(target, images, labels).reshape(len(labels), -1)
        parts.append(np.isfinite(flat).all(axis=1) & (flat != 0).any(axis=1))
    return np.concatenate(parts)


def _most_telling(standing: dict[float, int], clean: int) -> float:
    return min(standing, key=lambda e: (abs(standing[e] - clean / 2), -e))


class _Runner:
    """Makes planned attacks on a model; those on divided logits share one target."""

    def __init__(self, target: Target, session: EvaluationSession) -> None:
        self.target = target
        self.session = session
        self._rescaled: tuple[_Rescaled, Target] | None = None

    def __call__(
        self, planned: PlannedAttack, strength: float, outcomes: Outcomes
    ) -> np.ndarray:
        """(N,) who survives the attack, of the images that it is made on."""
        part = self.session.parts.part(
            outcome_name(planned.name, strength),
            lambda: {"survived": self._survivors(planned, strength, outcomes)},
        )
        return part["survived"]

    def _survivors(
        self, planned: PlannedAttack, strength: float, outcomes: Outcomes
    ) -> np.ndarray:
        steps = planned.steps_factor * self.session.config.pgd_steps
        config = dataclasses.replace(self.session.config, pgd_steps=steps)
        session = dataclasses.replace(self.session, config=config)
        attack = session.attack(planned.attack, strength)
        target, sample = self._target(planned.divisor), session.split
        survived = np.zeros(len(sample), bool)
        among = np.flatnonzero(planned.among(outcomes))
        for images, labels, rows in chunks(sample, among):
            survived[rows] = attack.survivors(
                target, images, labels, indices=rows, known_right=True
            )
        return survived

    def _target(self, divisor: int) -> Target:
        if divisor == 1:
            return self.target
        if self._rescaled is None:
            model = _Rescaled(self.target.model)
            self._rescaled = model, target_of(model, self.session.split)
        model, target = self._rescaled
        model.divisor.assign(divisor)
        return target


class _Rescaled:
    """A model with divided logits; the divisor is a variable so that one trace does."""

    def __init__(self, model: Callable) -> None:
        self.model = model
        self.divisor = tf.Variable(1.0)

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = self.model(images, training=training)
        return logits / tf.cast(self.divisor, logits.dtype)
