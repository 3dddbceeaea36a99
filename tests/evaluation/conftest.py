"""A small honest model, trained once."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from supcon_tf.data import Split


@pytest.fixture(scope="session")
def digits() -> Split:
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
    return Split(images, data.target.astype(np.int64))


@pytest.fixture(scope="session")
def test_digits(digits: Split) -> Split:
    return Split(digits.images[1400:], digits.labels[1400:])


def train_network(digits: Split, seed: int) -> keras.Model:
    """A small convolutional network, trained on the first 1,400 digits."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images = digits.pixels(slice(1400))
    model.fit(images, digits.labels[:1400], batch_size=64, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="session")
def honest(digits: Split) -> keras.Model:
    return train_network(digits, seed=0)


@pytest.fixture(scope="session")
def other_honest(digits: Split) -> keras.Model:
    return train_network(digits, seed=1)
