"""Global Keras settings, restored after each test."""

import keras
import pytest


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def dtype_policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)
