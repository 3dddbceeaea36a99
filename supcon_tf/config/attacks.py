"""The attacks of the command line: what each name stands for.

A table and no code: the command line needs the names, and must not wait for
TensorFlow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NamedAttack:
    """What the name of an attack stands for.

    Args:
        kind: name of the class in `supcon_tf.attacks`.
        constants: its arguments that are always the same.
        settings: its arguments that options of `EvaluationConfig` give, with the name
            of the option.
        seeded: whether it draws random numbers.
        on_source: whether its images are made on the model of --transfer_from.
    """

    kind: str
    constants: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    seeded: bool = True
    on_source: bool = False


_PGD = {"steps": "pgd_steps", "restarts": "pgd_restarts"}

NAMED_ATTACKS: Mapping[str, NamedAttack] = {
    "fgsm": NamedAttack("FGSM", seeded=False),
    "pgd": NamedAttack("PGD", {"loss": "ce"}, _PGD),
    "pgd_cw": NamedAttack("PGD", {"loss": "cw"}, _PGD),
    "pgd_dlr": NamedAttack("PGD", {"loss": "dlr"}, _PGD),
    "noise": NamedAttack("RandomNoise"),
    # Made to fool the source as much as can be, whether it has been fooled or not.
    "transfer": NamedAttack(
        "PGD", {"early_stop": False}, {"steps": "pgd_steps"}, on_source=True
    ),
    "square": NamedAttack("Square"),
    "apgd_ce": NamedAttack("APGD", {"loss": "ce"}),
    "apgd_t": NamedAttack("APGD", {"loss": "dlr_targeted"}),
    "fab_t": NamedAttack("FAB"),
    "square_5000": NamedAttack("Square", {"queries": 5000, "schedule": "raw"}),
    "autoattack": NamedAttack("AutoAttack"),
}
ATTACKS = tuple(NAMED_ATTACKS)


def attacks_by_option() -> dict[str, dict[str, str]]:
    """For each option that attacks take: their names, and the argument it gives."""
    found: dict[str, dict[str, str]] = {}
    for name, attack in NAMED_ATTACKS.items():
        for argument, option in attack.settings.items():
            found.setdefault(option, {})[name] = argument
    return found
