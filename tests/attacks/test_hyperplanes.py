"""The shortest step to a hyperplane inside the cube, against 200 bisections."""

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.hyperplanes import step_to_hyperplane


def slow_step(image, normal, height, norm):
    """One image at a time, one pixel at a time, the level found by 200 bisections."""
    normal = -normal if height < 0 else normal
    room = [x if w > 0 else 1 - x for x, w in zip(image, normal, strict=True)]

    def step(level):
        return np.array(
            [
                0.0
                if w == 0
                else -np.sign(w) * min(level, r)
                if norm == "linf"
                else -w * min(level, r / abs(w))
                for w, r in zip(normal, room, strict=True)
            ]
        )

    low, high = 0.0, 1.0 if norm == "linf" else 1e9
    for _ in range(200):
        middle = (low + high) / 2
        reached = -np.dot(normal, step(middle))
        low, high = (middle, high) if reached < abs(height) else (low, middle)
    return step(high)


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


def test_steps_end_on_the_plane_if_it_can_be_reached():
    for norm in ("linf", "l2"):
        for image, normal, height in cases(seed=1):
            step = step_to_hyperplane(
                *(tf.constant(a[None], tf.float32) for a in (image, normal)),
                tf.constant([height], tf.float32),
                norm,
            )[0].numpy()
            moved = np.float32(image) + step
            assert moved.min() >= -1e-6
            assert moved.max() <= 1 + 1e-6
            low = np.minimum(normal, 0).sum() - image @ normal
            high = np.maximum(normal, 0).sum() - image @ normal
            nearest = np.clip(-height, low, high)
            scale = np.abs(normal).sum()
            assert abs(step @ normal - nearest) < 1e-5 * scale


def test_a_plane_without_a_normal_moves_nothing():
    image, nothing = tf.constant([[0.0, 0.5, 1.0]]), tf.zeros((1, 3))
    for norm in ("linf", "l2"):
        for height in (0.0, 3.0, -3.0):
            step = step_to_hyperplane(image, nothing, tf.constant([height]), norm)
            np.testing.assert_array_equal(step, nothing)
