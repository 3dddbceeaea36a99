"""How sure a measured share is."""

import math

_Z95 = 1.959963984540054


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share, as Wilson's score gives it; (0, 1) without trials.

    Unlike the normal approximation it stays within [0, 1] and is not empty at 0 or 1,
    where robust accuracies often are.

    Reference:
        Wilson 1927, Probable Inference, the Law of Succession, and Statistical
        Inference.
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + _Z95**2 / trials
    centre = (share + _Z95**2 / (2 * trials)) / scale
    spread = math.sqrt(share * (1 - share) / trials + _Z95**2 / (4 * trials**2))
    half = _Z95 * spread / scale
    # The bounds are exactly 0 and 1 there; rounding would miss them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high
