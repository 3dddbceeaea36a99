"""The L2 moves of the Square attack: bumps that take over the norm of other places."""

from functools import cache

import numpy as np

# Where a norm is divided by that may be 0.
_TINY = 1e-12


def draws_to_start(shape: tuple[int, ...]) -> int:
    """How many random numbers `start` needs for an image (H, W, C)."""
    return len(_tiles(shape)) * (shape[2] + 1)


def draws_to_move(shape: tuple[int, ...]) -> int:
    """How many random numbers `move` needs for an image (H, W, C)."""
    return 5 + shape[2]


def start(shape: tuple[int, ...], drawn: np.ndarray) -> np.ndarray:
    """A tiling with bumps, each channel of each with a sign of its own.

    Args:
        shape: (H, W, C).
        drawn: (N, draws_to_start(shape)) uniform in [0, 1).

    Returns:
        (N, H, W, C) float32 perturbations of length 1.
    """
    count, tiles = len(drawn), _tiles(shape)
    side = _tile_side(shape)
    drawn = drawn.reshape(count, len(tiles), 1 + shape[2])
    result = np.zeros((count, *shape), np.float32)
    for number, (top, left) in enumerate(tiles):
        place = result[:, top : top + side, left : left + side]
        bumps = _bumps(side, drawn[:, number, :1], drawn[:, number, 1:])
        place[:] = bumps[:, : place.shape[1], : place.shape[2]]
    return result / (np.sqrt(_squared(result, (1, 2, 3))) + _TINY)


def move(
    change: np.ndarray, epsilon: float, sides: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """Takes the norm that is in two windows, and puts a new bump into the first.

    Args:
        change: (N, H, W, C) what the best images so far differ by.
        epsilon: length of the result.
        sides: (N,) of the windows, in pixels.
        drawn: (N, draws_to_move((H, W, C))) uniform in [0, 1).

    Returns:
        (N, H, W, C) float32 of length epsilon, to be clipped to [0, 1] once added.

    Reference:
        Andriushchenko et al. 2020, arXiv 1912.00049, algorithm 3.
    """
    result = change.astype(np.float32)
    for side in np.unique(sides):
        rows = np.flatnonzero(sides == side)
        result[rows] = _move(result[rows], epsilon, int(side), drawn[rows])
    return result * (epsilon / (np.sqrt(_squared(result, (1, 2, 3))) + _TINY))


def _move(
    change: np.ndarray, epsilon: float, side: int, drawn: np.ndarray
) -> np.ndarray:
    channels = change.shape[3]
    first = _window(change.shape, side, drawn[:, 0], drawn[:, 1])
    second = _window(change.shape, side, drawn[:, 2], drawn[:, 3])
    left_over = np.maximum(epsilon**2 - _squared(change, (1, 2, 3)), 0)
    old = change[first]
    # Where the windows overlap, what they hold is counted once.
    freed = _squared(change[second], (1, 2))
    change[second] = 0
    freed += _squared(change[first], (1, 2))
    bump = _bumps(side, drawn[:, 4:5], drawn[:, 5:])
    bump = bump + old / (np.sqrt(_squared(old, (1, 2))) + _TINY)
    length = np.sqrt(left_over / channels + freed)
    change[first] = bump * length / (np.sqrt(_squared(bump, (1, 2))) + _TINY)
    return change


def _window(
    shape: tuple[int, ...], side: int, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Indices of a square window for each image, at a share of the way down and right.

    As in the reference implementation, the last place is never taken.
    """
    count, height, width = shape[:3]
    tops = np.floor(row * (height - side)).astype(np.int64)
    lefts = np.floor(column * (width - side)).astype(np.int64)
    along = np.arange(side)
    return (
        np.arange(count)[:, None, None],
        (tops[:, None] + along)[:, :, None],
        (lefts[:, None] + along)[:, None, :],
    )


def _bumps(side: int, turned: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Bumps (N, side, side, C), half of them lying; each channel has a random sign."""
    standing = _bump(side)[None, :, :, None]
    lying = standing.transpose(0, 2, 1, 3)
    chosen = np.where(turned[:, :, None, None] < 0.5, lying, standing)
    return chosen * np.where(signs < 0.5, -1, 1)[:, None, None, :]


@cache
def _bump(side: int) -> np.ndarray:
    """Two hills (side, side), the upper one up, the lower one down, of length 1."""
    upper = side // 2
    result = np.zeros((side, side))
    result[:upper] = _hill(upper, side)
    result[upper:] = -_hill(side - upper, side)
    return result / np.linalg.norm(result)


def _hill(height: int, width: int) -> np.ndarray:
    """Nested rectangles about the middle, added with weights 1, 1/4, 1/9, ..."""
    result = np.zeros((height, width))
    middle, centre = height // 2, width // 2
    for ring in range(max(middle, centre) + 1):
        rows = slice(max(middle - ring, 0), middle + ring + 1)
        columns = slice(max(centre - ring, 0), centre + ring + 1)
        result[rows, columns] += 1 / (ring + 1) ** 2
    # A hill of no height has no length either.
    return result / (np.linalg.norm(result) or 1)


def _tile_side(shape: tuple[int, ...]) -> int:
    return max(shape[0] // 5, 1)


def _tiles(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Top left corners of the tiles that begin inside the image."""
    height, width = shape[:2]
    side = _tile_side(shape)
    # Both ways from one offset, that of the height, as in the reference.
    begin = max(height - 5 * side, 0) // 2
    return [
        (begin + side * down, begin + side * right)
        for down in range(height // side)
        for right in range(width // side)
        if begin + side * down < height and begin + side * right < width
    ]


def _squared(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Squared lengths over some axes, which stay with size 1."""
    return np.square(values).sum(axis=axes, keepdims=True)
