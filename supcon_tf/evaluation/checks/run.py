"""Checks that a model's robust accuracy is real and not masked gradients."""

from dataclasses import replace

from supcon_tf.attacks import Target
from supcon_tf.data.splits import balanced_sample
from supcon_tf.evaluation.checks.attacked_sample import attack_sample
from supcon_tf.evaluation.checks.rules import CHECKS
from supcon_tf.evaluation.session import EvaluationSession
from supcon_tf.results.record import AttackRow, CheckRow


def run_checks(
    target: Target,
    session: EvaluationSession,
    rows: tuple[AttackRow, ...] = (),
    title: str = "checks",
) -> tuple[CheckRow, ...]:
    """Tries a model for the known signs of masked gradients.

    All checks share one class-balanced sample of `checks_limit` images. Clean
    predictions, input gradients and FGSM against PGD take all of it; the iterative
    attacks that are compared with each other, and Square, a quarter of it or 100
    images, whichever is more. They are compared at one epsilon (see `attack_sample`).

    Args:
        target: the model, in the precision that it is attacked in.
        session: images to draw the sample from, and how they are attacked.
        rows: the attacks that were made on all images.
        title: of the progress bar.

    Returns:
        One for each check. Empty without images.
    """
    split = session.split
    chosen = balanced_sample(split.labels, session.config.checks_limit, session.seed)
    if not len(chosen):
        return ()
    sample = split.subset(chosen)
    outcomes = attack_sample(target, replace(session, split=sample), rows, title)
    return tuple(check(outcomes) for check in CHECKS)
