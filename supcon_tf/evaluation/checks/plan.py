"""The attacks that the masking checks look at; each is made once.

A check that needs one more adds it to `PLAN`, where those that it builds on come first,
and its rule to `rules.CHECKS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from supcon_tf.evaluation.checks.outcomes import (
    DIVISORS,
    MARGIN_LOSSES,
    Outcomes,
    rescaled_name,
)


def _clean(outcomes: Outcomes) -> np.ndarray:
    return outcomes.clean


@dataclass(frozen=True)
class PlannedAttack:
    """An attack on images of the sample.

    Args:
        name: of its outcome, no two alike.
        attack: its name on the command line.
        among: the images (N,) that it is made on, chosen by the outcomes before it; of
            those that the model gets right.
        steps_factor: how many times the steps that the config has for PGD.
        divisor: of the model's logits.
        fewest_classes: of a model that it can be made on.
        needs_source: whether it is made on another model.
    """

    name: str
    attack: str
    among: Callable[[Outcomes], np.ndarray] = _clean
    steps_factor: int = 1
    divisor: int = 1
    fewest_classes: int = 2
    needs_source: bool = False

    def applies(self, classes: int, has_source: bool) -> bool:
        """Whether it can be made on a model of so many classes."""
        enough = classes >= self.fewest_classes
        return enough and (has_source or not self.needs_source)


# At every strength, before that of the others is chosen.
CURVE = PlannedAttack("pgd", "pgd")

PLAN = (
    PlannedAttack("fgsm", "fgsm", among=lambda found: found.correct),
    # Who stands FGSM can't be among the images that it alone breaks.
    PlannedAttack(
        "pgd_where_fgsm_breaks",
        "pgd",
        among=lambda found: found.correct & ~found["fgsm"] & ~found.compared,
    ),
    *(
        PlannedAttack(name, name, fewest_classes=3 if name == "pgd_dlr" else 2)
        for name in MARGIN_LOSSES
    ),
    # The first half of its steps are those of the plain one.
    PlannedAttack("pgd_doubled", "pgd", among=lambda found: found.pgd, steps_factor=2),
    *(
        PlannedAttack(rescaled_name(divisor), "pgd", divisor=divisor)
        for divisor in DIVISORS
    ),
    PlannedAttack("noise", "noise"),
    PlannedAttack("transfer", "transfer", needs_source=True),
    PlannedAttack("square", "square", among=lambda found: found.stands_gradients),
)
