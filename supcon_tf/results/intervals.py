"""How sure a measured share is."""


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
    # It takes a second to load, for which commands that measure nothing must not wait.
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
