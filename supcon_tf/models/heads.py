"""What a `ContrastiveClassifier` puts on its encoder."""

from collections.abc import Sequence
from typing import Any

import keras

INPUTS = ("features", "projection")


def check_heads(
    num_classes: int, inputs: Sequence[str], class_names: Sequence[str] | None
) -> None:
    """Raises ValueError for what no `ContrastiveClassifier` can be made of.

    Args:
        num_classes: number of classes.
        inputs: what the contrastive losses act on, and what the classifier reads.
        class_names: one for each class; or None.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: {num_classes}")
    for argument in inputs:
        if argument not in INPUTS:
            raise ValueError(
                "contrastive_input and classifier_input must be 'features' or "
                f"'projection'. Received: {argument!r}"
            )
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(
            f"class_names must be {num_classes} names. Received: {len(class_names)}"
        )


def projection_head(
    features: tuple[None, int], dimension: int, dtype: str
) -> keras.Sequential:
    """A perceptron with one hidden layer, as wide as the features; built.

    Args:
        features: shape (None, F) of what it reads.
        dimension: of what it gives.
        dtype: Keras dtype policy.
    """
    dense = keras.layers.Dense
    layers = [dense(features[1], "relu", dtype=dtype), dense(dimension, dtype=dtype)]
    head = keras.Sequential(layers, name="projection")
    head.build(features)
    return head


def features_shape(encoder: Any, input_shape: Any) -> tuple[None, int]:
    """The shape of the features, of an encoder that is built at the latest by this.

    Raises:
        ValueError: if they are not (N, F).
    """
    shape = getattr(encoder, "output_shape", None)
    if shape is None:
        features = encoder(keras.KerasTensor((None, *input_shape[1:])))
        shape = keras.tree.map_structure(lambda tensor: tensor.shape, features)
    one_input = all(size is None or isinstance(size, int) for size in input_shape)
    if not (one_input and isinstance(shape, tuple) and len(shape) == 2 and shape[1]):
        raise ValueError(
            "the encoder must turn images into features (N, F), with a known F. "
            f"Received: one from {input_shape} to {shape}"
        )
    return shape
