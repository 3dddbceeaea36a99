"""The accuracy under all attacks of an epsilon together."""

from collections.abc import Mapping, Sequence

import numpy as np

from supcon_tf.results.intervals import wilson_interval
from supcon_tf.results.record import AttackRow, WorstRow
from supcon_tf.results.strength import outcome_name


def worst_cases(
    rows: Sequence[AttackRow], outcomes: Mapping[str, np.ndarray]
) -> tuple[WorstRow, ...]:
    """At each epsilon the accuracy under all attacks together.

    Args:
        rows: the attacks of a model in robustness.json.
        outcomes: (N,) booleans by `outcome_name`: who is classified correctly.

    Returns:
        The model's `worst` in robustness.json: an image counts as right if it
        withstands every attack that was made at that epsilon.
    """
    made: dict[tuple[str, float], list[AttackRow]] = {}
    for row in rows:
        made.setdefault((row.norm, row.strength), []).append(row)
    worst = []
    for (norm, epsilon), attacks in made.items():
        names = [row.name for row in attacks]
        stands = np.all([outcomes[outcome_name(n, epsilon)] for n in names], axis=0)
        worst.append(
            WorstRow(
                norm=norm,
                epsilon=attacks[0].epsilon,
                epsilon_255=attacks[0].epsilon_255,
                accuracy=float(stands.mean()),
                interval_95=wilson_interval(int(stands.sum()), len(stands)),
                num_examples=len(stands),
                attacks=tuple(names),
            )
        )
    return tuple(worst)
