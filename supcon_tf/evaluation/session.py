"""What the models of an evaluation have in common."""

from dataclasses import dataclass, field, replace

from supcon_tf.attacks import Target
from supcon_tf.attacks.attack import Attack
from supcon_tf.config import EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.evaluation.attack_factory import make_attack
from supcon_tf.evaluation.finished_parts import FinishedParts


@dataclass(frozen=True)
class EvaluationSession:
    """The images that models are attacked on, and with what.

    Args:
        split: the images to attack, with their labels.
        config: attacks, epsilons, checks.
        seed: of everything random in the attacks.
        train: training images, that nearest neighbours are looked up in.
        source: the model that makes the images of the transfer attack.
        deterministic: whether a second evaluation should give the same bits.
        parts: where finished parts are kept and found again.
    """

    split: Split
    config: EvaluationConfig
    seed: int = 0
    train: Split | None = None
    source: Target | None = None
    deterministic: bool = False
    parts: FinishedParts = field(default_factory=FinishedParts)

    def within(self, name: str) -> "EvaluationSession":
        """The same, for a part of the evaluation."""
        return replace(self, parts=self.parts.within(name))

    def attack(self, name: str, strength: float) -> Attack:
        """An attack by its name, at an epsilon as on the command line.

        Raises:
            UserError: if there is no such attack, or it can't be made so.
        """
        return make_attack(name, strength, self.config, self.seed, self.source)
