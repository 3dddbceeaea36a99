"""Balls of perturbations: projection, steepest direction, uniform samples."""

import numpy as np
import tensorflow as tf

from supcon_tf.attacks import streams

NORMS = ("linf", "l2")


def project(
    candidate: tf.Tensor, origin: tf.Tensor, epsilon: float, norm: str
) -> tf.Tensor:
    """The candidates, moved into the epsilon ball around `origin` and into [0, 1].

    Clipping to [0, 1] comes last and can't leave the ball: `origin` lies in [0, 1], so
    that every pixel it changes moves towards `origin`.

    Args:
        candidate: (N, H, W, C) float32.
        origin: (N, H, W, C) float32 in [0, 1].
        epsilon: radius of the ball, in [0, 1] pixel units.
        norm: "linf" or "l2" (over all pixels and channels of an image).
    """
    if norm == "linf":
        inside = tf.clip_by_value(candidate, origin - epsilon, origin + epsilon)
    else:
        change = candidate - origin
        length = _l2_length(change)
        # Where the length is 0 the ratio is 0 / 0 := 0, and so is the change.
        shrunk = change * tf.math.divide_no_nan(tf.minimum(length, epsilon), length)
        inside = tf.where(length > epsilon, origin + shrunk, candidate)
    return tf.clip_by_value(inside, 0.0, 1.0)


def steepest_direction(gradient: tf.Tensor, norm: str) -> tf.Tensor:
    """The step of length 1 in `norm` that raises a linear function most.

    An image without gradient stays where it is; a pixel whose gradient is not finite
    takes no part.
    """
    gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
    if norm == "linf":
        return tf.sign(gradient)
    # A saturated model's gradients are so small that their squares underflow.
    largest = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
    scaled = tf.math.divide_no_nan(gradient, largest)
    return tf.math.divide_no_nan(scaled, _l2_length(scaled))


def uniform_in_unit_ball(
    shape: tuple[int, ...],
    norm: str,
    *,
    seed: int,
    identities: np.ndarray,
    tries: np.ndarray,
) -> tf.Tensor:
    """One point for each image, uniform in the ball of radius 1.

    Args:
        shape: (H, W, C) of an image.
        norm: "linf" or "l2".
        seed: of all random numbers.
        identities: (N,) integers; images of one identity get one point.
        tries: (N,) integers; another try gives another point.

    Returns:
        (N, H, W, C) float32.
    """
    count = int(np.prod(shape))
    if norm == "linf":
        points = 2 * streams.uniform(seed, identities, tries, count) - 1
    else:
        # A normal vector's direction is uniform; the volume within radius r is r^d.
        drawn = streams.normal(seed, identities, 2 * tries, count)
        length = np.linalg.norm(drawn, axis=1, keepdims=True)
        share = streams.uniform(seed, identities, 2 * tries + 1, 1)
        points = drawn / length * share ** (1 / count)
    return tf.constant(points.reshape(-1, *shape), tf.float32)


def on_unit_sphere(
    shape: tuple[int, ...],
    norm: str,
    *,
    seed: int,
    identities: np.ndarray,
    tries: np.ndarray,
) -> tf.Tensor:
    """As `uniform_in_unit_ball`, but each point at distance 1 from the centre."""
    count = int(np.prod(shape))
    if norm == "linf":
        points = 2 * streams.uniform(seed, identities, tries, count) - 1
        length = np.abs(points).max(axis=1, keepdims=True)
    else:
        points = streams.normal(seed, identities, tries, count)
        length = np.linalg.norm(points, axis=1, keepdims=True)
    points = points / (length + 1e-12)
    return tf.constant(points.reshape(-1, *shape), tf.float32)


def distance(images: tf.Tensor, origin: tf.Tensor, norm: str) -> tf.Tensor:
    """(N,) lengths of the changes, in `norm`."""
    change = images - origin
    if norm == "linf":
        return tf.reduce_max(tf.abs(change), axis=(1, 2, 3))
    return tf.reshape(_l2_length(change), [-1])


def _l2_length(images: tf.Tensor) -> tf.Tensor:
    squares = tf.reduce_sum(tf.square(images), axis=(1, 2, 3), keepdims=True)
    return tf.sqrt(squares)
