"""ResNet-18 as an encoder of images into feature vectors."""

from collections.abc import Sequence

import keras
import numpy as np

from supcon_tf.models.layers.batch_normalization import BatchNormalization
from supcon_tf.models.layers.convolution import Conv2D
from supcon_tf.models.precision import at_least_float32

BLOCKS_PER_STAGE = (2, 2, 2, 2)


def resnet18(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    width: int = 64,
    stem: str = "small",
    mean: float | Sequence[float] | np.ndarray = 0.5,
    std: float | Sequence[float] | np.ndarray = 0.25,
    dtype: str | None = None,
    name: str = "resnet18",
) -> keras.Model:
    """ResNet-18 without its classifier: images in [0,1] to features.

    Normalisation by channel is the network's first layer, so that attacks work in pixel
    space. It stays at least float32 under every policy: in bfloat16 it would round
    away perturbations of 1/255.

    Args:
        input_shape: height, width and channels of the images.
        width: channels of the first stage; features have `8 * width` dimensions.
        stem: `"small"`, a 3x3 convolution without pooling, or `"imagenet"`, a 7x7
            convolution of stride 2 and 3x3 max-pooling.
        mean: of all channels or of each, in [0,1] units.
        std: standard deviation of all channels or of each, above 0.
        dtype: Keras dtype policy; the global one if None.
        name: name of the model.

    Returns:
        A model from (N, H, W, C) to (N, 8 * width).

    Raises:
        ValueError: for an unknown stem, or a mean or std that does not fit.

    Example:

    ```python
    from supcon_tf.models import resnet18

    encoder = resnet18((32, 32, 3), width=16)
    assert encoder.output_shape == (None, 128)
    ```

    Reference:
        He et al. 2016, Deep Residual Learning for Image Recognition (arXiv 1512.03385).
    """
    if stem not in ("small", "imagenet"):
        raise ValueError(f"`stem` must be 'small' or 'imagenet'. Received: {stem!r}")
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    wide = at_least_float32(policy.variable_dtype)
    images = keras.Input(input_shape, name="images", dtype=wide)
    x = _normalized(images, mean, std, input_shape, wide)
    size, stride = (3, 1) if stem == "small" else (7, 2)
    x = _convolution(x, width, size, stride, policy, "stem")
    x = _norm_relu(x, policy, "stem")
    if stem == "imagenet":
        x = keras.layers.MaxPooling2D(3, 2, "same", dtype=policy, name="stem_pool")(x)
    for stage, blocks in enumerate(BLOCKS_PER_STAGE):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            name_of_block = f"stage{stage + 1}_block{block + 1}"
            x = _block(x, width * 2**stage, stride, policy, name_of_block)
    x = keras.layers.GlobalAveragePooling2D(dtype=wide, name="features")(x)
    return keras.Model(images, x, name=name)


def _normalized(images, mean, std, shape, dtype):  # type: ignore[no-untyped-def]
    deviations = _by_channel("std", std, shape)
    if not min(deviations) > 0:
        raise ValueError(f"`std` must be above 0. Received: {std}")
    return keras.layers.Normalization(
        mean=_by_channel("mean", mean, shape),
        variance=[s**2 for s in deviations],
        dtype=dtype,
        name="normalization",
    )(images)


def _by_channel(
    name: str, value: float | Sequence[float] | np.ndarray, shape: tuple[int, int, int]
) -> list[float]:
    channels = shape[-1]
    values = [float(v) for v in np.ravel(value)]
    if np.ndim(value) == 0:
        return values * channels
    if len(values) != channels:
        raise ValueError(
            f"`{name}` must be one number, or one for each of {channels} channels. "
            f"Received: {value}"
        )
    return values


def _block(x, filters, stride, policy, name):  # type: ignore[no-untyped-def]
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = _convolution(x, filters, 1, stride, policy, f"{name}_shortcut")
        shortcut = _norm(shortcut, policy, f"{name}_shortcut")
    x = _convolution(x, filters, 3, stride, policy, f"{name}_1")
    x = _norm_relu(x, policy, f"{name}_1")
    x = _convolution(x, filters, 3, 1, policy, f"{name}_2")
    x = _norm(x, policy, f"{name}_2")
    x = keras.layers.Add(dtype=policy, name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(dtype=policy, name=f"{name}_relu")(x)


def _convolution(x, filters, size, stride, policy, name):  # type: ignore[no-untyped-def]
    return Conv2D(
        filters,
        size,
        stride,
        "same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(),
        dtype=policy,
        name=f"{name}_conv",
    )(x)


def _norm(x, policy, name):  # type: ignore[no-untyped-def]
    return BatchNormalization(
        momentum=0.9, epsilon=1e-5, synchronized=True, dtype=policy, name=f"{name}_bn"
    )(x)


def _norm_relu(x, policy, name):  # type: ignore[no-untyped-def]
    x = _norm(x, policy, name)
    return keras.layers.ReLU(dtype=policy, name=f"{name}_bn_relu")(x)
