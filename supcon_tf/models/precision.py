"""Which arithmetic a part of a model is computed in."""

import keras


def at_least_float32(dtype: str) -> str:
    """The dtype, or float32 if it is narrower."""
    return keras.backend.result_type(dtype, "float32")
