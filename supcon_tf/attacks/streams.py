"""Random numbers that belong to an image, whichever batch it is attacked in.

Every (seed, image, try) starts its own SplitMix64 stream, for a whole batch at once.
A generator object for each image would cost more than the attack of a small model, and
a stateless TensorFlow op takes one seed for the whole batch.

Reference:
    Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
"""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(
    seed: int, identities: np.ndarray, tries: np.ndarray, count: int
) -> np.ndarray:
    """Uniform numbers in [0, 1).

    Args:
        seed: not negative.
        identities: (N,) integers, one image each, not negative.
        tries: (N,) integers, not negative; another try gives other numbers.
        count: how many numbers an image needs.

    Returns:
        (N, count) float64.
    """
    key = _mix(np.full(len(identities), seed, np.uint64))
    key = _mix(key + identities.astype(np.uint64) * _GOLDEN)
    key = _mix(key + tries.astype(np.uint64) * _GOLDEN)
    counter = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    bits = _mix(key[:, None] + counter)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(
    seed: int, identities: np.ndarray, tries: np.ndarray, count: int
) -> np.ndarray:
    """Standard normal numbers, (N, count) float64, arguments as for `uniform`."""
    half = (count + 1) // 2
    drawn = uniform(seed, identities, tries, 2 * half)
    # Box-Muller; 1 - u lies in (0, 1], where the logarithm is finite.
    radius = np.sqrt(-2 * np.log1p(-drawn[:, :half]))
    angle = 2 * np.pi * drawn[:, half:]
    pairs = [radius * np.cos(angle), radius * np.sin(angle)]
    return np.concatenate(pairs, axis=1)[:, :count]


def _mix(bits: np.ndarray) -> np.ndarray:
    bits = bits + _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
