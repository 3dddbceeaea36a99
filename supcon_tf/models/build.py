"""Models from a config, from a file, and in another arithmetic."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from supcon_tf.config import ModelConfig
from supcon_tf.errors import UserError
from supcon_tf.models.contrastive_classifier import ContrastiveClassifier
from supcon_tf.models.resnet import resnet18


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


def load_model(path: str | Path) -> keras.Model:
    """Loads a `.keras` file, such as a run's `model.keras`, in safe mode.

    Raises:
        UserError: if the file is missing, is no Keras model, or needs code that is not
            known.
    """
    if not Path(path).is_file():
        raise UserError(f"a .keras model is needed. Received: {path} (no such file)")
    # Keras says of such a file that it is not there.
    if Path(path).suffix == ".keras" and not zipfile.is_zipfile(path):
        size = Path(path).stat().st_size
        raise UserError(
            f"{path} could not be loaded as a model: it is cut short or no .keras file "
            f"({size} bytes)"
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} could not be loaded as a model: {reason}") from error


def with_dtype_policy(model: keras.Model, policy: str) -> keras.Model:
    """The same network and weights, computed under another dtype policy."""
    config = _replace_policies(keras.saving.serialize_keras_object(model), policy)
    twin = keras.saving.deserialize_keras_object(config)
    for variable, value in zip(twin.variables, model.variables, strict=True):
        variable.assign(value.numpy())
    return twin


def in_full_precision(model: keras.Model) -> keras.Model:
    """The model in the dtype of its weights; itself if it computes in that already.

    Reduced precision rounds away the small perturbations that attacks are about.
    """
    full = model.dtype_policy.variable_dtype
    if model.dtype_policy.compute_dtype == full:
        return model
    return with_dtype_policy(model, full)


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


def _replace_policies(config: Any, policy: str) -> Any:
    """A serialised model with every dtype policy replaced by the given one."""
    if isinstance(config, list | tuple):
        return [_replace_policies(item, policy) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") in ("DTypePolicy", "FloatDTypePolicy"):
        return {**config, "config": {"name": policy}}
    return {key: _replace_policies(value, policy) for key, value in config.items()}
