"""What a masking check says: the figure, what is allowed, and what that means."""

from supcon_tf.results.record import CheckRow

# Shares that are equal on paper differ in their last bits.
_ROUNDING = 1e-9


def judged(
    name: str,
    value: float,
    threshold: float,
    fact: str,
    meaning: str,
    passed: bool | None = None,
) -> CheckRow:
    """A check that passes if the value is at most the threshold."""
    if passed is None:
        passed = bool(value <= threshold + _ROUNDING)
    return CheckRow(
        name=name,
        passed=bool(passed),
        value=float(f"{value:.6g}"),
        threshold=threshold,
        detail=fact if passed else f"{fact}: {meaning}",
    )


def not_applicable(name: str, threshold: float, reason: str) -> CheckRow:
    return CheckRow(name, passed=None, threshold=threshold, detail=reason)
