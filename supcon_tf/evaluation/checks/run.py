"""Checks that a model's robust accuracy is real and not masked gradients."""

from collections.abc import Sequence
from typing import Any

import keras

from supcon_tf.attacks import Target
from supcon_tf.config import EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.evaluation.checks import rules as check_rules
from supcon_tf.evaluation.checks.evidence import gather
from supcon_tf.evaluation.parts import Journal


def run_checks(
    model: keras.Model | Target,
    split: Split,
    config: EvaluationConfig,
    *,
    seed: int = 0,
    source: keras.Model | Target | None = None,
    attacks: Sequence[dict[str, Any]] = (),
    deterministic: bool = False,
    title: str = "checks",
    journal: Journal | None = None,
) -> list[dict[str, Any]]:
    """Tries a model for the known signs of masked gradients.

    All checks share one class-balanced sample of `config.checks_limit` images. Clean
    predictions, input gradients and FGSM against PGD take all of it; the iterative
    attacks that are compared with each other, and Square, a quarter of it or 100
    images, whichever is more. They are compared at one epsilon (see `evidence.gather`).

    Args:
        model: maps [0,1] images to logits, in the precision that it is attacked in.
        split: images to draw the sample from.
        config: checks_limit, norm, epsilons, steps and restarts.
        seed: of the sample and of the attacks.
        source: the model that makes the images of the transfer attack.
        attacks: rows of the attacks that were made on all images.
        deterministic: ask for the same bits from a second evaluation.
        title: of the progress bar.
        journal: where finished attacks are kept and found again.

    Returns:
        An entry for each check: `name`, `passed` (None if it does not apply), `value`
        (passes if at most `threshold`) and `detail`, one sentence. Empty without
        images.

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
    """
    rows = balanced_sample(split.labels, config.checks_limit, seed)
    if not len(rows):
        return []
    sample = split.subset(rows)
    evidence = gather(model, sample, config, seed, source, title, journal)
    return [
        check_rules.pgd_not_weaker_than_fgsm(evidence),
        check_rules.pgd_converged(evidence),
        check_rules.pgd_falls_with_epsilon(evidence),
        check_rules.pgd_reaches_chance(evidence),
        check_rules.whitebox_not_weaker_than_transfer(evidence),
        check_rules.transfer_not_weaker_than_noise(evidence),
        check_rules.whitebox_not_weaker_than_noise(evidence),
        check_rules.square_not_stronger(evidence, attacks),
        check_rules.ce_not_weaker_than_margin_losses(evidence),
        check_rules.rescaled_logits(evidence),
        check_rules.input_gradient_nonzero(evidence),
        check_rules.predictions_repeat(evidence, deterministic),
    ]


def failed(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The checks that failed; those that do not apply are not among them."""
    return [check for check in checks if check["passed"] is False]


def warning_lines(checks: list[dict[str, Any]]) -> list[str]:
    """A line for people for each check that failed, with what it means."""
    return [
        f"warning: check {check['name']} failed: {check['detail']}"
        for check in failed(checks)
    ]
