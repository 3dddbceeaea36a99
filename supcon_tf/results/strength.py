"""How strong an attack is, and how sure the accuracy that it leaves."""

from supcon_tf.config.options import plain_number


def strength_text(strength: float, norm: str) -> str:
    """An epsilon of the command line with its unit."""
    return plain_number(strength) + ("/255" if norm == "linf" else " L2")


def outcome_name(attack: str, strength: float) -> str:
    """The name of an attack's outcomes, with every digit of its epsilon."""
    return f"{attack}@{plain_number(strength)}"


class Measured:
    """An accuracy under attack, and how sure it is."""

    norm: str
    epsilon: float
    epsilon_255: float | None
    accuracy: float
    interval_95: tuple[float, float]

    @property
    def strength(self) -> float:
        """The epsilon as on the command line: in 1/255 for linf, in pixels for l2."""
        return self.epsilon if self.epsilon_255 is None else self.epsilon_255

    @property
    def strength_text(self) -> str:
        """The same with its unit, for people."""
        return strength_text(self.strength, self.norm)

    @property
    def farthest_bound(self) -> float:
        """From the accuracy to the further bound of its interval, which near 0 and 1
        is far from half of its width."""
        low, high = self.interval_95
        return max(high - self.accuracy, self.accuracy - low)
