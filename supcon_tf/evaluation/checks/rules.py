"""The pass rules of the masking checks, as functions of the evidence.

A robust accuracy is believed if every attack that should be stronger than another one
is, and if a strong enough attack breaks everything.

Reference:
    Athalye et al. 2018 (arXiv 1802.00420), section 3.1; Carlini et al. 2019 (arXiv
    1902.06705); AutoAttack's flags (github.com/fra31/auto-attack).
"""

from collections.abc import Sequence

import numpy as np

from supcon_tf.attacks import Square
from supcon_tf.evaluation.checks.evidence import Evidence
from supcon_tf.results.record import AttackRow, CheckRow, CumulativeStep

FGSM_ONLY = 0.01
CONVERGED = 0.01
RISE = 0.01
BLACK_BOX = 0.01
SQUARE_ONLY = 0.01
# Of all images, after the gradient attacks of AutoAttack.
SQUARE_ONLY_OF_AUTOATTACK = 0.002
MARGIN_LOSSES = 0.05
RESCALED = 0.02
DEAD_GRADIENTS = 0.05
LOGITS = 1e-5

# Shares that are equal on paper differ in their last bits.
_ROUNDING = 1e-9


def pgd_not_weaker_than_fgsm(evidence: Evidence) -> CheckRow:
    total = len(evidence.logits)
    share = evidence.fgsm_only.sum() / total
    return _row(
        "pgd_not_weaker_than_fgsm",
        share,
        FGSM_ONLY,
        f"at {evidence.epsilon_text} FGSM breaks {share:.1%} of {total} images that "
        "PGD does not",
        "many steps do worse than one, so gradients mislead PGD and its figures are "
        "too high",
    )


def pgd_converged(evidence: Evidence) -> CheckRow:
    plain = evidence.accuracy(evidence.pgd)
    doubled = evidence.accuracy(evidence.pgd_doubled)
    return _row(
        "pgd_converged",
        plain - doubled,
        CONVERGED,
        f"twice as many steps take PGD accuracy from {plain:.1%} to {doubled:.1%}",
        "PGD was stopped too early: raise --pgd_steps",
    )


def pgd_falls_with_epsilon(evidence: Evidence) -> CheckRow:
    accuracies = [evidence.accuracy(outcome) for outcome in evidence.curve.values()]
    rise = max(0.0, *np.diff([evidence.accuracy(evidence.clean), *accuracies]))
    curve = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies)
    return _row(
        "pgd_falls_with_epsilon",
        rise,
        RISE,
        f"PGD accuracy goes {curve} as epsilon grows to the whole pixel range",
        "a larger ball contains the smaller one, so PGD misses what is there",
    )


def pgd_reaches_chance(evidence: Evidence) -> CheckRow:
    accuracy = evidence.accuracy(list(evidence.curve.values())[-1])
    chance = 1 / evidence.logits.shape[1]
    return _row(
        "pgd_reaches_chance",
        accuracy,
        chance,
        f"PGD over the whole pixel range leaves {accuracy:.1%} accuracy (chance: "
        f"{chance:.1%})",
        "any image may be turned into any other there, so the attack is failing, not "
        "the model withstanding",
    )


def whitebox_not_weaker_than_transfer(evidence: Evidence) -> CheckRow:
    name = "whitebox_not_weaker_than_transfer"
    if evidence.transfer is None:
        return _not_applicable(name, BLACK_BOX, "there is no model to transfer from")
    return _weaker(
        name, evidence, ("PGD", evidence.pgd), ("transfer", evidence.transfer)
    )


def transfer_not_weaker_than_noise(evidence: Evidence) -> CheckRow:
    name = "transfer_not_weaker_than_noise"
    if evidence.transfer is None:
        return _not_applicable(name, BLACK_BOX, "there is no model to transfer from")
    return _weaker(
        name,
        evidence,
        ("transfer", evidence.transfer),
        ("random noise", evidence.noise),
        "images made on the other model are worth no more than noise, so the transfer "
        "figures say nothing",
    )


def whitebox_not_weaker_than_noise(evidence: Evidence) -> CheckRow:
    return _weaker(
        "whitebox_not_weaker_than_noise",
        evidence,
        ("PGD", evidence.pgd),
        ("random noise", evidence.noise),
    )


def square_not_stronger(
    evidence: Evidence, attacks: Sequence[AttackRow] = ()
) -> CheckRow:
    """Judged on AutoAttack's figures, among the rows `attacks`, if it was made."""
    name = "square_not_stronger"
    meaning = "gradients hide weaknesses that a search without them finds"
    found = [(_square_alone(row.cumulative), row) for row in attacks if row.cumulative]
    if found:
        share, row = max(found, key=lambda one: one[0])
        return _row(
            name,
            share,
            SQUARE_ONLY_OF_AUTOATTACK,
            f"{share:.2%} of {row.num_examples} images stand the gradient attacks of "
            f"AutoAttack at {row.strength_text} and fall to its random queries",
            meaning,
        )
    fallen = evidence.accuracy(evidence.stands_gradients & ~evidence.square)
    return _row(
        name,
        fallen,
        SQUARE_ONLY,
        f"{fallen:.1%} of {_compared(evidence)} images stand every gradient attack at "
        f"{evidence.epsilon_text} and fall to {Square().queries} random queries",
        meaning,
    )


def _square_alone(steps: Sequence[CumulativeStep]) -> float:
    """The share of images that only AutoAttack's last attack, Square, breaks."""
    *_, before, square = (step.accuracy for step in steps)
    return before - square


def ce_not_weaker_than_margin_losses(evidence: Evidence) -> CheckRow:
    plain = evidence.accuracy(evidence.pgd)
    others = {k: evidence.accuracy(v) for k, v in evidence.margin_losses.items()}
    figures = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in others.items())
    return _row(
        "ce_not_weaker_than_margin_losses",
        plain - min(others.values()),
        MARGIN_LOSSES,
        f"PGD accuracy is {plain:.1%} on cross-entropy, {figures} on margin losses",
        "cross-entropy is a poor guide for this model: report --attacks=pgd_cw,pgd_dlr",
    )


def rescaled_logits(evidence: Evidence) -> CheckRow:
    plain = evidence.accuracy(evidence.pgd)
    others = {k: evidence.accuracy(v) for k, v in evidence.rescaled.items()}
    figures = ", ".join(f"{v:.1%} on logits/{k}" for k, v in others.items())
    return _row(
        "rescaled_logits",
        plain - min(others.values()),
        RESCALED,
        f"PGD accuracy is {plain:.1%}, {figures}",
        "the logits are so large that cross-entropy saturates and its gradient fades",
    )


def input_gradient_nonzero(evidence: Evidence) -> CheckRow:
    dead = float((~evidence.gradient_usable).mean())
    return _row(
        "input_gradient_nonzero",
        dead,
        DEAD_GRADIENTS,
        f"{dead:.1%} of {len(evidence.logits)} images have an input gradient that is "
        "zero everywhere or not finite",
        "gradient attacks have no direction to go there",
    )


def predictions_repeat(evidence: Evidence, deterministic: bool) -> CheckRow:
    first, again = evidence.logits, evidence.logits_again
    change = np.abs(first - again) / np.maximum(1, np.abs(first))
    changed = int((first.argmax(axis=1) != again.argmax(axis=1)).sum())
    worst = float(np.nan_to_num(change, nan=np.inf).max())
    return _row(
        "predictions_repeat",
        min(worst, float(np.finfo(np.float32).max)),
        0.0 if deterministic else LOGITS,
        f"a second evaluation changes {changed} of {len(first)} predictions, and "
        f"logits by up to {worst:.1g}",
        "attacks on a model that answers at random measure luck",
        passed=changed == 0 and worst <= (0 if deterministic else LOGITS),
    )


def _weaker(
    name: str,
    evidence: Evidence,
    strong: tuple[str, np.ndarray],
    weak: tuple[str, np.ndarray],
    meaning: str = "an attack that sees the gradients is beaten by one that does not, "
    "so they are masked",
) -> CheckRow:
    low, high = evidence.accuracy(strong[1]), evidence.accuracy(weak[1])
    return _row(
        name,
        low - high,
        BLACK_BOX,
        f"at {evidence.epsilon_text} accuracy is {low:.1%} under {strong[0]} and "
        f"{high:.1%} under {weak[0]}, on {_compared(evidence)} images",
        meaning,
    )


def _compared(evidence: Evidence) -> int:
    return int(evidence.compared.sum())


def _row(
    name: str,
    value: float,
    threshold: float,
    fact: str,
    meaning: str,
    passed: bool | None = None,
) -> CheckRow:
    """A check that passes if the value is at most the threshold."""
    if passed is None:
        passed = bool(value <= threshold + _ROUNDING)
    return CheckRow(
        name=name,
        passed=bool(passed),
        value=float(f"{value:.6g}"),
        threshold=threshold,
        detail=fact if passed else f"{fact}: {meaning}",
    )


def _not_applicable(name: str, threshold: float, reason: str) -> CheckRow:
    return CheckRow(name, passed=None, threshold=threshold, detail=reason)
