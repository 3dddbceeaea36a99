"""Tiny models: one whose answers are known on paper, one that was trained."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import Target

CLASSES = 4
SHAPE = (8, 8, 3)


@pytest.fixture(scope="session")
def data() -> tuple[np.ndarray, np.ndarray]:
    """96 noisy images of 4 patterns, and their labels."""
    rng = np.random.default_rng(0)
    patterns = rng.random((CLASSES, *SHAPE))
    labels = np.arange(96) % CLASSES
    noise = rng.normal(scale=0.25, size=(96, *SHAPE))
    images = np.clip(0.5 + 0.25 * (patterns[labels] - 0.5) + noise, 0, 1)
    return images.astype(np.float32), labels


@pytest.fixture(scope="session")
def model(data: tuple[np.ndarray, np.ndarray]) -> keras.Model:
    """A small convolutional network, trained on `data`."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Dropout(0.1),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.01), loss)
    network.fit(*data, epochs=15, batch_size=32, verbose=0)
    return network


@pytest.fixture(scope="session")
def target(model: keras.Model, data: tuple[np.ndarray, np.ndarray]) -> Target:
    """`model` as attacks take it, compiled once for all tests."""
    return Target(model, data[0])


@pytest.fixture(scope="session")
def linear() -> tuple[Callable, np.ndarray]:
    """Logits `x @ w` of flattened images, and w (pixels, classes)."""
    size = int(np.prod(SHAPE))
    weights = np.random.default_rng(1).normal(size=(size, CLASSES)).astype(np.float32)
    return lambda images: tf.reshape(images, [-1, size]) @ weights, weights


@pytest.fixture(scope="session")
def predict() -> Callable[[Callable, tf.Tensor], np.ndarray]:
    """Predicted classes (N,) of any model."""

    def classes(model: Callable, images: tf.Tensor) -> np.ndarray:
        return np.argmax(model(tf.convert_to_tensor(images)), axis=1)

    return classes
