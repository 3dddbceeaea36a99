"""Models that look robust and are not, each in its own way."""

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.data import Split

GREY = 128 / 255
LEVEL = 1 / 255


class Scaled(keras.Model):
    """Logits so large that cross-entropy's gradient underflows."""

    def __init__(self, inner: keras.Model, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def call(self, images, training=False):
        return self.inner(images, training=training) * self.factor


class Quantised(keras.Model):
    """Rounds its input, which has no gradient."""

    def __init__(self, inner: keras.Model) -> None:
        super().__init__()
        self.inner = inner

    def call(self, images, training=False):
        return self.inner(tf.round(images * 5) / 5, training=training)


class Noisy(keras.Model):
    """Answers at random, a little or a lot."""

    def __init__(self, inner: keras.Model, deviation: float) -> None:
        super().__init__()
        self.inner, self.deviation = inner, deviation

    def call(self, images, training=False):
        logits = self.inner(images, training=training)
        return logits + self.deviation * tf.random.normal(tf.shape(logits))


class Bump(keras.Model):
    """A ridge close by that stops small steps; FGSM jumps over it.

    Images are grey, their class is 0, and class 1 wins only if the mean is raised by
    nearly `epsilon`; the gradient points towards 0.3 of it.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def call(self, images, training=False):
        shift = (tf.reduce_mean(images, axis=(1, 2, 3)) - GREY) / self.epsilon
        other = tf.where(shift > 0.95, 1.0, -1 - tf.abs(shift - 0.3))
        return tf.stack([tf.zeros_like(other), other], axis=1)


class FlatFarAway(keras.Model):
    """Falls to small changes; large ones leave the region that has a gradient."""

    def call(self, images, training=False):
        change = images - GREY
        far = tf.reduce_max(tf.abs(change), axis=(1, 2, 3)) > 10 * LEVEL
        shift = tf.reduce_mean(change, axis=(1, 2, 3)) / LEVEL
        other = tf.where(far, -5.0, shift - 2)
        return tf.stack([tf.zeros_like(other), other], axis=1)


def grey_images(count: int = 24) -> Split:
    """Grey images of class 0."""
    return Split(np.full((count, 4, 4, 3), 128, np.uint8), np.zeros(count, np.int64))
