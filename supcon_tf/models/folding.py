"""Batch normalisation folded into the convolutions before it, for inference."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import keras
import numpy as np

from supcon_tf.errors import UserError
from supcon_tf.models.contrastive_classifier import ContrastiveClassifier
from supcon_tf.models.layers.convolution import Conv2D
from supcon_tf.models.twin import (
    copy_state,
    default_policy,
    deserialized,
    reason_of,
    refuse_another_function,
    serialized,
)


def fold_batch_norm(
    model: keras.Model, images: np.ndarray | None = None
) -> keras.Model:
    """A twin of a model that infers without batch norm after its convolutions.

    At inference batch norm multiplies each channel by a constant and adds another,
    which the convolution before it can do with its kernel K and bias b:

        gamma * (K x + b - mean) / std + beta = (s K) x + s (b - mean) + beta,
        with s = gamma / std and std = sqrt(variance + epsilon).

    A pair is folded if the convolution is linear and nothing but the batch norm reads
    it. The constants are computed in float64 and stored in the dtype of the kernel.

    Args:
        model: a `ContrastiveClassifier`, a functional or a sequential model, with
            models of these kinds inside it. Another kind shows nothing to fold and
            becomes itself a part of the twin.
        images: (N, H, W, C) float in [0, 1], on a few of which the two are compared;
            noise if None.

    Returns:
        A new model with weights of its own, the same layers but for those batch norms
        and, to rounding, the same outputs at inference. It is not for training.

    Raises:
        UserError: if a layer can't be copied, or the twin is another function.

    Example:

    ```python
    from supcon_tf.models import ContrastiveClassifier, resnet18
    from supcon_tf.models.folding import fold_batch_norm

    folded = fold_batch_norm(ContrastiveClassifier(resnet18(width=2), 10))
    ```

    Reference:
        Jacob et al. 2018, section 3.2 (arXiv 1712.05877).
    """
    what = "the model with its batch norm folded"
    try:
        twin = _folded(model)
    # Layers of other people may raise anything.
    except Exception as error:
        raise UserError(f"{what} could not be made: {reason_of(error)}") from error
    if twin is not model:
        refuse_another_function(model, twin, what, images)
    return twin


def _folded(model: keras.Model) -> keras.Model:
    if isinstance(model, ContrastiveClassifier):
        encoder = _folded(model.encoder)
        twin = ContrastiveClassifier(**{**model.get_config(), "encoder": encoder})
        copy_state(model.classifier, twin.classifier)
        if model.projection is not None and twin.projection is not None:
            copy_state(model.projection, twin.projection)
        return twin
    if isinstance(model, keras.Sequential):
        return _fold_sequential(model)
    # Keras does not export the class of functional models; only they list operations.
    return _fold_functional(model) if hasattr(model, "operations") else model


def folded_weights(
    convolution: keras.layers.Conv2D, norm: keras.layers.BatchNormalization
) -> list[np.ndarray]:
    """Kernel (h, w, in, out) and bias (out,) that do the work of both layers."""
    kernel = convolution.kernel.numpy()
    mean, variance = (
        moment.numpy().astype(np.float64)
        for moment in (norm.moving_mean, norm.moving_variance)
    )
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale *= norm.gamma.numpy().astype(np.float64)
    bias = -mean * scale
    if convolution.use_bias:
        bias += convolution.bias.numpy().astype(np.float64) * scale
    if norm.center:
        bias += norm.beta.numpy().astype(np.float64)
    folded = kernel.astype(np.float64) * scale
    return [folded.astype(kernel.dtype), bias.astype(kernel.dtype)]


def _fold_sequential(model: keras.Sequential) -> keras.Sequential:
    norm_after = {
        convolution.name: norm
        for convolution, norm in pairwise(model.layers)
        if _can_fold(convolution, norm)
    }
    removed = {norm.name for norm in norm_after.values()}
    kept = [layer for layer in model.layers if layer.name not in removed]
    copies = [_twin_layer(layer, norm_after) for layer in kept]
    with default_policy(model.dtype_policy):
        twin = keras.Sequential(copies, name=model.name)
        twin.build(model.input_shape)
    _copy_weights(zip(kept, copies, strict=True), norm_after)
    return twin


def _fold_functional(model: keras.Model) -> keras.Model:
    norm_after = _pairs(model)
    removed = {norm.name for norm in norm_after.values()}
    copies = []

    def copied(layer: Any) -> Any:
        copies.append((layer, _twin_layer(layer, norm_after)))
        return copies[-1][1]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in removed else layer(*args, **kwargs)

    with default_policy(model.dtype_policy):
        twin = keras.models.clone_model(
            model, clone_function=copied, call_function=call
        )
    kept = [pair for pair in copies if pair[0].name not in removed]
    _copy_weights(kept, norm_after)
    return twin


def _pairs(model: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """The batch norm of each convolution that can be folded, by the latter's name."""
    # Cloning is Keras' public way to walk a graph: this clone is only looked at.
    made_by: dict[int, str] = {}
    read_by: list[tuple[int, str]] = []
    tensors: list[Any] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        read_by.extend((id(x), layer.name) for x in keras.tree.flatten((args, kwargs)))
        for tensor in keras.tree.flatten(outputs):
            made_by[id(tensor)] = layer.name
            tensors.append(tensor)
        return outputs

    clone = keras.models.clone_model(
        model, clone_function=lambda layer: _twin_layer(layer, {}), call_function=call
    )
    read_by += [(id(x), "") for x in clone.outputs]
    readers = Counter(tensor for tensor, _ in read_by)
    calls = Counter(made_by.values())
    layers = {layer.name: layer for layer in model.layers}
    found = {}
    for tensor, reader in read_by:
        maker = made_by.get(tensor, "")
        norm = layers.get(reader)
        once = readers[tensor] == calls[reader] == calls[maker] == 1
        if once and _can_fold(layers.get(maker), norm):
            found[maker] = norm
    return found


def _can_fold(convolution: Any, norm: Any) -> bool:
    # Other subclasses of Conv2D may compute something else.
    return (
        type(convolution) in (keras.layers.Conv2D, Conv2D)
        and isinstance(norm, keras.layers.BatchNormalization)
        and convolution.activation is keras.activations.linear
        and norm.axis % 4 == (3 if convolution.data_format == "channels_last" else 1)
        and not norm.renorm
    )


def _twin_layer(layer: Any, norm_after: dict[str, Any]) -> Any:
    if isinstance(layer, keras.Model):
        return _folded(layer)
    if not isinstance(layer, keras.Layer):
        # An operation between layers, such as a sum.
        return type(layer).from_config(layer.get_config())
    config = serialized(layer)
    # The twin is built when it is called, whatever built the original.
    config.pop("build_config", None)
    if layer.name in norm_after:
        config["config"]["use_bias"] = True
    return deserialized(config, layer)


def _copy_weights(
    copies: Iterable[tuple[Any, Any]], norm_after: dict[str, Any]
) -> None:
    """Gives each copy of a layer its state; models inside the model have theirs."""
    for layer, copy in copies:
        if layer.name in norm_after:
            copy.set_weights(folded_weights(layer, norm_after[layer.name]))
        elif isinstance(layer, keras.Layer) and not isinstance(layer, keras.Model):
            copy_state(layer, copy)
