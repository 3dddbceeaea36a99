"""The pass rules of the masking checks, as functions of the outcomes.

A robust accuracy is believed if every attack that should be stronger than another one
is, and if a strong enough attack breaks everything.

Reference:
    Athalye et al. 2018 (arXiv 1802.00420), section 3.1; Carlini et al. 2019 (arXiv
    1902.06705); AutoAttack's flags (github.com/fra31/auto-attack).
"""

from collections.abc import Callable, Sequence

import numpy as np

from supcon_tf.attacks import Square
from supcon_tf.evaluation.checks.outcomes import Outcomes
from supcon_tf.evaluation.checks.verdicts import judged, not_applicable
from supcon_tf.results.record import CheckRow, CumulativeStep

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


def pgd_not_weaker_than_fgsm(found: Outcomes) -> CheckRow:
    total = len(found.logits)
    share = found.fgsm_only.sum() / total
    return judged(
        "pgd_not_weaker_than_fgsm",
        share,
        FGSM_ONLY,
        f"at {found.strength_text} FGSM breaks {share:.1%} of {total} images that "
        "PGD does not",
        "many steps do worse than one, so gradients mislead PGD and its figures are "
        "too high",
    )


def pgd_converged(found: Outcomes) -> CheckRow:
    plain = found.accuracy(found.pgd)
    doubled = found.accuracy(found["pgd_doubled"])
    return judged(
        "pgd_converged",
        plain - doubled,
        CONVERGED,
        f"twice as many steps take PGD accuracy from {plain:.1%} to {doubled:.1%}",
        "PGD was stopped too early: raise --pgd_steps",
    )


def pgd_falls_with_epsilon(found: Outcomes) -> CheckRow:
    accuracies = [found.accuracy(outcome) for outcome in found.curve.values()]
    rise = max(0.0, *np.diff([found.accuracy(found.clean), *accuracies]))
    curve = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies)
    return judged(
        "pgd_falls_with_epsilon",
        rise,
        RISE,
        f"PGD accuracy goes {curve} as epsilon grows to the whole pixel range",
        "a larger ball contains the smaller one, so PGD misses what is there",
    )


def pgd_reaches_chance(found: Outcomes) -> CheckRow:
    accuracy = found.accuracy(list(found.curve.values())[-1])
    chance = 1 / found.classes
    return judged(
        "pgd_reaches_chance",
        accuracy,
        chance,
        f"PGD over the whole pixel range leaves {accuracy:.1%} accuracy (chance: "
        f"{chance:.1%})",
        "any image may be turned into any other there, so the attack is failing, not "
        "the model withstanding",
    )


def whitebox_not_weaker_than_transfer(found: Outcomes) -> CheckRow:
    name = "whitebox_not_weaker_than_transfer"
    transfer = found.get("transfer")
    if transfer is None:
        return not_applicable(name, BLACK_BOX, "there is no model to transfer from")
    return _weaker(name, found, ("PGD", found.pgd), ("transfer", transfer))


def transfer_not_weaker_than_noise(found: Outcomes) -> CheckRow:
    name = "transfer_not_weaker_than_noise"
    transfer = found.get("transfer")
    if transfer is None:
        return not_applicable(name, BLACK_BOX, "there is no model to transfer from")
    return _weaker(
        name,
        found,
        ("transfer", transfer),
        ("random noise", found["noise"]),
        "images made on the other model are worth no more than noise, so the transfer "
        "figures say nothing",
    )


def whitebox_not_weaker_than_noise(found: Outcomes) -> CheckRow:
    return _weaker(
        "whitebox_not_weaker_than_noise",
        found,
        ("PGD", found.pgd),
        ("random noise", found["noise"]),
    )


def square_not_stronger(found: Outcomes) -> CheckRow:
    """Judged on AutoAttack's figures on all images, if it was made."""
    name = "square_not_stronger"
    meaning = "gradients hide weaknesses that a search without them finds"
    shares = [
        (_square_alone(row.cumulative), row) for row in found.rows if row.cumulative
    ]
    if shares:
        share, row = max(shares, key=lambda one: one[0])
        return judged(
            name,
            share,
            SQUARE_ONLY_OF_AUTOATTACK,
            f"{share:.2%} of {row.num_examples} images stand the gradient attacks of "
            f"AutoAttack at {row.strength_text} and fall to its random queries",
            meaning,
        )
    fallen = found.accuracy(found.stands_gradients & ~found["square"])
    return judged(
        name,
        fallen,
        SQUARE_ONLY,
        f"{fallen:.1%} of {found.num_compared} images stand every gradient attack at "
        f"{found.strength_text} and fall to {Square().queries} random queries",
        meaning,
    )


def _square_alone(steps: Sequence[CumulativeStep]) -> float:
    """The share of images that only AutoAttack's last attack, Square, breaks."""
    *_, before, square = (step.accuracy for step in steps)
    return before - square


def ce_not_weaker_than_margin_losses(found: Outcomes) -> CheckRow:
    plain = found.accuracy(found.pgd)
    others = {k: found.accuracy(v) for k, v in found.margin_losses.items()}
    figures = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in others.items())
    return judged(
        "ce_not_weaker_than_margin_losses",
        plain - min(others.values()),
        MARGIN_LOSSES,
        f"PGD accuracy is {plain:.1%} on cross-entropy, {figures} on margin losses",
        "cross-entropy is a poor guide for this model: report --attacks=pgd_cw,pgd_dlr",
    )


def rescaled_logits(found: Outcomes) -> CheckRow:
    plain = found.accuracy(found.pgd)
    others = {k: found.accuracy(v) for k, v in found.rescaled.items()}
    figures = ", ".join(f"{v:.1%} on logits/{k}" for k, v in others.items())
    return judged(
        "rescaled_logits",
        plain - min(others.values()),
        RESCALED,
        f"PGD accuracy is {plain:.1%}, {figures}",
        "the logits are so large that cross-entropy saturates and its gradient fades",
    )


def input_gradient_nonzero(found: Outcomes) -> CheckRow:
    dead = float((~found.gradient_usable).mean())
    return judged(
        "input_gradient_nonzero",
        dead,
        DEAD_GRADIENTS,
        f"{dead:.1%} of {len(found.logits)} images have an input gradient that is "
        "zero everywhere or not finite",
        "gradient attacks have no direction to go there",
    )


def predictions_repeat(found: Outcomes) -> CheckRow:
    allowed = 0.0 if found.deterministic else LOGITS
    first, again = found.logits, found.logits_again
    change = np.abs(first - again) / np.maximum(1, np.abs(first))
    changed = int((first.argmax(axis=1) != again.argmax(axis=1)).sum())
    worst = float(np.nan_to_num(change, nan=np.inf).max())
    return judged(
        "predictions_repeat",
        min(worst, float(np.finfo(np.float32).max)),
        allowed,
        f"a second evaluation changes {changed} of {len(first)} predictions, and "
        f"logits by up to {worst:.1g}",
        "attacks on a model that answers at random measure luck",
        passed=changed == 0 and worst <= allowed,
    )


def _weaker(
    name: str,
    found: Outcomes,
    strong: tuple[str, np.ndarray],
    weak: tuple[str, np.ndarray],
    meaning: str = "an attack that sees the gradients is beaten by one that does not, "
    "so they are masked",
) -> CheckRow:
    low, high = found.accuracy(strong[1]), found.accuracy(weak[1])
    return judged(
        name,
        low - high,
        BLACK_BOX,
        f"at {found.strength_text} accuracy is {low:.1%} under {strong[0]} and "
        f"{high:.1%} under {weak[0]}, on {found.num_compared} images",
        meaning,
    )


CHECKS: tuple[Callable[[Outcomes], CheckRow], ...] = (
    pgd_not_weaker_than_fgsm,
    pgd_converged,
    pgd_falls_with_epsilon,
    pgd_reaches_chance,
    whitebox_not_weaker_than_transfer,
    transfer_not_weaker_than_noise,
    whitebox_not_weaker_than_noise,
    square_not_stronger,
    ce_not_weaker_than_margin_losses,
    rescaled_logits,
    input_gradient_nonzero,
    predictions_repeat,
)
