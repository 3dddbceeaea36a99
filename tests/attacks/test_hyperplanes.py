"""The shortest step to a hyperplane inside the cube, against 200 bisections."""

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.hyperplanes import step_to_hyperplane


def slow_step(image, normal, height, norm):
    """One image at a time, one pixel at a time, its level halved in on in float64."""
    normal = -normal if height < 0 else normal
    room = [x if w > 0 else 1 - x for x, w in zip(image, normal, strict=True)]

    def step(level):
        return [
            -np.sign(w) * min(level, r) if norm == "linf" else -w * min(level, r / s)
            for w, r in zip(normal, room, strict=True)
            if (s := abs(w)) > 0 or True
        ]

    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = 0.0, 1.0 if norm == "linf" else 1e9
        for _ in range(200):
            middle = (low + high) / 2
            reached = -np.dot(normal, np.nan_to_num(step(middle)))
            low, high = (middle, high) if reached < abs(height) else (low, middle)
        return np.nan_to_num(step(high))


def cases(seed, count=40):
    """Random images, normals and heights, with the edges that break formulas."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        size = int(rng.integers(2, 80))
        image = rng.random(size)
        # On the edge of the cube some pixels have no room.
        image = np.where(rng.random(size) < 0.3, image.round(), image)
        normal = rng.normal(size=size) * 10 ** rng.uniform(-3, 3)
        normal[rng.random(size) < 0.2] = 0
        # Some planes are out of reach.
        height = rng.normal() * np.abs(normal).sum() * 10 ** rng.uniform(-4, 0.5)
        yield image, normal, height


def test_steps_equal_those_of_bisection():
    for norm in ("linf", "l2"):
        for image, normal, height in cases(seed=0):
            ours = step_to_hyperplane(
                tf.constant(image[None]),
                tf.constant(normal[None]),
                tf.constant([height], tf.float64),
                norm,
            )[0]
            slow = slow_step(image, normal, height, norm)
            np.testing.assert_allclose(ours, slow, atol=1e-9)
