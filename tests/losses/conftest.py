"""Global Keras settings, restored after each test."""

import keras
import pytest


@pytest.fixture
def each_dtype_policy():
    """A function that sets one policy after another, and gives its name."""
    before = keras.config.dtype_policy()

    def each():
        for policy in ("float32", "mixed_bfloat16"):
            keras.config.set_dtype_policy(policy)
            yield policy

    yield each
    keras.config.set_dtype_policy(before)
