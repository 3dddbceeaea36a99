"""Models from a config, and in another arithmetic."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from supcon_tf.config import ModelConfig
from supcon_tf.errors import UserError
from supcon_tf.models.contrastive_classifier import ContrastiveClassifier
from supcon_tf.models.resnet import resnet18
from supcon_tf.models.twin import (
    copy_state,
    default_policy,
    deserialized,
    layers_of,
    reason_of,
    refuse_another_function,
    serialized,
)


def build_classifier(
    config: ModelConfig,
    image_shape: tuple[int, int, int],
    class_names: Sequence[str],
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    dtype_policy: str = "float32",
) -> ContrastiveClassifier:
    """The network that a config describes, for images of a given shape.

    Args:
        config: width, stem, heads.
        image_shape: height, width, channels.
        class_names: one name for each class.
        mean: of each channel over the training images, in [0,1] units.
        std: standard deviation of each channel.
        dtype_policy: Keras dtype policy.
    """
    encoder = resnet18(
        image_shape, config.width, config.stem, mean, std, dtype=dtype_policy
    )
    return ContrastiveClassifier(
        encoder,
        len(class_names),
        config.projection_dim,
        config.contrastive_input,
        config.classifier_input,
        class_names,
        dtype=dtype_policy,
    )


def with_dtype_policy(
    model: keras.Model, policy: str, images: np.ndarray | None = None
) -> keras.Model:
    """The same network and weights, computed under another dtype policy.

    Args:
        model: any Keras model that Keras could save.
        policy: Keras dtype policy of every layer.
        images: (N, H, W, C) float in [0, 1], on a few of which the two are compared;
            noise if None.

    Raises:
        UserError: if the model can't be copied, or the copy is another function.
    """
    what = f"a copy of the model in {policy}"
    try:
        config = _replace_policies(serialized(model), policy)
        with default_policy(policy):
            twin = deserialized(config, model)
        copy_state(model, twin)
    # Code of other people may raise anything.
    except Exception as error:
        raise UserError(f"{what} could not be made: {reason_of(error)}") from error
    refuse_another_function(model, twin, what, images)
    return twin


def in_full_precision(
    model: keras.Model, images: np.ndarray | None = None
) -> keras.Model:
    """The model in float32 or better throughout; itself if it computes in that already.

    Reduced precision rounds away the small perturbations that attacks are about. What a
    model's own policy says is not enough: its layers have theirs.

    Args:
        model: any Keras model.
        images: see `with_dtype_policy`.

    Raises:
        UserError: see `with_dtype_policy`, and if a layer can't compute in float32.
    """
    if not _in_reduced_precision(model):
        return model
    layers = layers_of(model)
    wide = any(layer.compute_dtype == "float64" for layer in layers)
    twin = with_dtype_policy(model, "float64" if wide else "float32", images)
    if remaining := _in_reduced_precision(twin):
        raise UserError(
            "a model must be computable in float32 to be attacked. Received: a layer "
            f"{remaining[0].name!r} that is {remaining[0].compute_dtype} whatever its "
            "config says"
        )
    return twin


def check_same_weights(model: keras.Model, other: keras.Model, source: str) -> None:
    """Refuses to copy weights between networks that differ.

    Raises:
        UserError: naming the first weight that is missing or has another shape.
    """
    mine = {v.path: tuple(v.shape) for v in model.variables}
    theirs = {v.path: tuple(v.shape) for v in other.variables}
    for path in [*mine, *theirs]:
        if mine.get(path) != theirs.get(path):
            raise UserError(
                f"{source} holds another network: weight {path} is "
                f"{theirs.get(path, 'missing')} there and {mine.get(path, 'missing')} "
                "here"
            )


def _in_reduced_precision(model: keras.Model) -> list[keras.Layer]:
    reduced = ("float16", "bfloat16")
    return [layer for layer in layers_of(model) if layer.compute_dtype in reduced]


def _replace_policies(config: Any, policy: str) -> Any:
    """A serialised model with every dtype policy replaced by the given one."""
    if isinstance(config, list | tuple):
        return [_replace_policies(item, policy) for item in config]
    if not isinstance(config, dict):
        return config
    kind, inner = config.get("class_name"), config.get("config")
    if kind in ("DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap"):
        return {**config, "class_name": "DTypePolicy", "config": {"name": policy}}
    if isinstance(inner, dict):
        if "source_name" in inner:
            # Of a quantised layer: the policy of what is not quantised.
            return {**config, "config": {**inner, "source_name": policy}}
        if kind == "InputLayer" and inner["dtype"] in ("float16", "bfloat16"):
            # Pixels would be rounded on their way in.
            return {**config, "config": {**inner, "dtype": policy}}
    # How a model was trained is no part of the function.
    kept = {key: value for key, value in config.items() if key != "compile_config"}
    return {key: _replace_policies(value, policy) for key, value in kept.items()}
