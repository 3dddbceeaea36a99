"""What the masking checks judge: who of a sample of images stands which attack."""

from dataclasses import dataclass, field, replace

import numpy as np

from supcon_tf.results.record import AttackRow
from supcon_tf.results.strength import strength_text

# Divisors of the logits: a loss of enlarged logits saturates and hides its gradient.
DIVISORS = (10, 100)
MARGIN_LOSSES = ("pgd_cw", "pgd_dlr")


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of the attacks on a sample of N images.

    Booleans (N,) say which images still get their label.

    Args:
        norm: of the attacks.
        correct: (N,) without an attack.
        compared: (N,) the images that the iterative attacks and searches see.
        gradient_usable: (N,) the input gradient is finite and not zero everywhere.
        logits: (N, classes) of the images.
        logits_again: (N, classes) of a second evaluation.
        curve: (N,) under PGD by epsilon (as on the command line), from weak to strong;
            the last covers the whole pixel range.
        strength: an epsilon of `curve`, at which everything below is made.
        survived: (N,) by the name of a planned attack; those that do not apply are not
            there. False for images that it was not made on.
        rows: the attacks that were made on all images.
        deterministic: whether a second evaluation should give the same bits.
    """

    norm: str
    correct: np.ndarray
    compared: np.ndarray
    gradient_usable: np.ndarray
    logits: np.ndarray
    logits_again: np.ndarray
    curve: dict[float, np.ndarray] = field(default_factory=dict)
    strength: float = 0.0
    survived: dict[str, np.ndarray] = field(default_factory=dict)
    rows: tuple[AttackRow, ...] = ()
    deterministic: bool = False

    def __getitem__(self, name: str) -> np.ndarray:
        """(N,) who stands a planned attack."""
        return self.survived[name]

    def get(self, name: str) -> np.ndarray | None:
        """The same; None if the attack does not apply."""
        return self.survived.get(name)

    def after(self, name: str, survived: np.ndarray) -> "Outcomes":
        """These, and that of one attack more."""
        return replace(self, survived={**self.survived, name: survived})

    @property
    def classes(self) -> int:
        return self.logits.shape[1]

    @property
    def clean(self) -> np.ndarray:
        """(N,) compared images that get their label without an attack."""
        return self.correct & self.compared

    @property
    def pgd(self) -> np.ndarray:
        return self.curve[self.strength]

    @property
    def margin_losses(self) -> dict[str, np.ndarray]:
        """Under PGD on margin losses."""
        return {name: self[name] for name in MARGIN_LOSSES if name in self.survived}

    @property
    def rescaled(self) -> dict[int, np.ndarray]:
        """Under PGD on the logits divided by a number."""
        return {divisor: self[rescaled_name(divisor)] for divisor in DIVISORS}

    @property
    def stands_gradients(self) -> np.ndarray:
        """Under FGSM, PGD and PGD on the margin losses alike."""
        both = [self.pgd, self["fgsm"], *self.margin_losses.values()]
        return np.logical_and.reduce(both)

    @property
    def fgsm_only(self) -> np.ndarray:
        """(N,) images of the whole sample that fall to FGSM and not to PGD."""
        return self["pgd_where_fgsm_breaks"] | (self.pgd & ~self["fgsm"])

    @property
    def strength_text(self) -> str:
        return f"epsilon {strength_text(self.strength, self.norm)}"

    @property
    def num_compared(self) -> int:
        return int(self.compared.sum())

    def accuracy(self, outcome: np.ndarray) -> float:
        """Share of the compared images."""
        return float((outcome & self.compared).sum() / self.compared.sum())


def rescaled_name(divisor: int) -> str:
    """The planned attack on logits divided by a number."""
    return f"pgd_on_logits_by_{divisor}"
