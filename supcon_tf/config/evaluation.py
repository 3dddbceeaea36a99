"""How the models of a run are attacked."""

from dataclasses import dataclass
from typing import Any

from supcon_tf.config.attacks import ATTACKS
from supcon_tf.config.options import Section, option

# Attacks of earlier versions, which a run folder may still name.
_RETIRED_ATTACKS = ("autoattack_art",)


@dataclass(frozen=True)
class EvaluationConfig(Section):
    """How the trained models are attacked."""

    attacks: tuple[str, ...] = option(
        ("fgsm",),
        "attacks, separated by commas",
        choices=ATTACKS,
        changes="evaluation",
    )
    epsilons: tuple[float, ...] = option(
        (1.0, 2.0, 4.0, 8.0),
        "attack strengths, separated by commas: for --norm=linf in 1/255 of the [0,1] "
        "pixel range (8 means 8/255), for --norm=l2 in [0,1] pixel units",
        above=0,
        maximum=255,
        changes="evaluation",
    )
    norm: str = option(
        "linf",
        "norm of the perturbation",
        choices=("linf", "l2"),
        changes="evaluation",
    )
    pgd_steps: int = option(20, "steps of PGD", minimum=1, changes="evaluation")
    pgd_restarts: int = option(
        1, "random restarts of PGD", minimum=1, changes="evaluation"
    )
    transfer_from: str = option(
        "",
        "run folder whose model makes the images of the transfer attack",
        changes="evaluation",
        path=True,
    )
    checks_limit: int = option(
        512,
        "images of the masking checks (class-balanced, seeded), of which the "
        "iterative comparisons use a quarter, at least 100; 0 leaves them out",
        minimum=0,
        changes="evaluation",
    )
    split: str = option(
        "test",
        "images that are attacked",
        choices=("test", "validation"),
        changes="evaluation",
    )
    limit: int = option(
        0,
        "attack this many images (class-balanced, seeded); 0 = all",
        minimum=0,
        changes="evaluation",
    )


def without_retired_attacks(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Evaluation settings read from a file, without attacks that are no more."""
    named = evaluation.get("attacks")
    if not isinstance(named, list) or not set(_RETIRED_ATTACKS) & set(named):
        return evaluation
    left = [name for name in named if name not in _RETIRED_ATTACKS]
    return {**evaluation, "attacks": left or list(EvaluationConfig().attacks)}
