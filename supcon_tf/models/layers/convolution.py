"""A convolution whose filter gradient is quick on small maps, and right everywhere."""

import keras
import tensorflow as tf

from supcon_tf.runtime.processor import processor_features

# Rows times columns of the outputs up to which each way beats the kernel, on processors
# where that was measured. Batch 128, two cores: float32 with AVX2, 4x4x512 in 66 ms
# instead of 159, 8x8x256 in 73 instead of 105, 16x16x128 in 85 instead of 104; bfloat16
# with AMX, 18 ms instead of 78 and 22 instead of 33 on the smaller two.
CONVOLUTION_UP_TO = 16 * 16
PRODUCTS_UP_TO = 8 * 8
# oneDNN's kernel for 1x1 filters of stride 2 gives wrong gradients, others each time,
# for fewer than 8 channels on a processor with AVX2 (TensorFlow 2.21), which computes
# with 8 numbers at a time. Other processors take 16.
RIGHT_FROM_CHANNELS = 16
# Places in a band of rows: with more at a time the gradients leave the caches.
BAND = 64


@keras.saving.register_keras_serializable(package="supcon_tf")
class Conv2D(keras.layers.Conv2D):
    """Keras' convolution, with other ways to the filter gradient in training on a CPU.

    Same weights, same config, same results to rounding. TensorFlow's kernel for the
    gradient of the filters makes poor use of some processors on the small maps of a
    network's last stages. In float32 on processors with AVX2 and no more, it is there
    computed by a convolution that sums over the images, and in bfloat16 on those with a
    matrix unit (AMX) by nine matrix products. That of strided 1x1 filters of few
    channels, which oneDNN gets wrong, is one matrix product. Everywhere else, and on
    GPUs, the kernel computes.

    Args: those of `keras.layers.Conv2D`.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        filter_gradient = self._filter_gradient(inputs) if training else None
        if filter_gradient is None:
            return super().call(inputs)
        outputs = _convolve(
            inputs, tf.convert_to_tensor(self.kernel), self.strides[0], filter_gradient
        )
        if self.use_bias:
            outputs += self.bias
        return self.activation(outputs)

    def _filter_gradient(self, inputs):  # type: ignore[no-untyped-def]
        """A better function for the filter gradient than the kernel, or None."""
        stride = self.strides[0]
        plain = (
            self.data_format == "channels_last"
            and self.kernel_size in ((1, 1), (3, 3))
            and self.strides == (stride, stride)
            and self.dilation_rate == (1, 1)
            and self.padding == "same"
            and self.groups == 1
        )
        if not plain or tf.config.list_logical_devices("GPU"):
            return None
        if self.kernel_size == (1, 1):
            few = inputs.shape[-1] < RIGHT_FROM_CHANNELS
            return by_product if few and stride > 1 else None
        height, width = inputs.shape[1:3]
        if None in (height, width) or stride > 2 or height % stride or width % stride:
            return None
        places, features = height * width // stride**2, processor_features()
        avx2_at_most = "avx2" in features and "avx512f" not in features
        if inputs.dtype == tf.float32 and avx2_at_most:
            return by_convolution if places <= CONVOLUTION_UP_TO else None
        if inputs.dtype == tf.bfloat16 and stride == 1 and "amx_bf16" in features:
            return by_products if places <= PRODUCTS_UP_TO else None
        return None


def _convolve(images, kernel, stride, filter_gradient):  # type: ignore[no-untyped-def]
    @tf.custom_gradient
    def convolve(images, kernel):  # type: ignore[no-untyped-def]
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            to_images = tf.nn.conv2d_transpose(
                upstream, kernel, tf.shape(images), stride, "SAME"
            )
            return to_images, filter_gradient(images, upstream, stride)

        return tf.nn.conv2d(images, kernel, stride, "SAME"), gradient

    return convolve(images, kernel)


def by_convolution(images: tf.Tensor, upstream: tf.Tensor, stride: int) -> tf.Tensor:
    """The gradient of a 3x3 filter as a convolution.

    Each of its places is the product of the images, moved by that place, and the
    gradient of the outputs, summed over places and images. So the images are convolved
    with the gradient as a filter; channels and images change roles, and a stride
    becomes a dilation. The sum is taken band by band.

    Args:
        images: (N, H, W, C), H and W multiples of the stride.
        upstream: (N, H / stride, W / stride, F), the gradient of the outputs.
        stride: 1 or 2.

    Returns:
        (3, 3, C, F).
    """
    border = _same_padding(stride)
    padded = tf.pad(images, [[0, 0], border, border, [0, 0]])
    height, width = upstream.shape[1:3]
    rows = max(1, BAND // width)
    bands = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # A row of outputs comes from three rows of images.
        read = padded[:, stride * top : stride * (bottom - 1) + 3]
        bands.append(
            tf.nn.conv2d(
                tf.transpose(read, (3, 1, 2, 0)),
                tf.transpose(upstream[:, top:bottom], (1, 2, 0, 3)),
                strides=1,
                padding="VALID",
                dilations=stride,
            )
        )
    return tf.transpose(tf.add_n(bands), (1, 2, 0, 3))


def by_products(images: tf.Tensor, upstream: tf.Tensor, stride: int) -> tf.Tensor:
    """The same as nine matrix products, one for each place in the filter.

    Args:
        images, upstream: as for `by_convolution`.
        stride: 1.

    Returns:
        (3, 3, C, F).
    """
    height, width, channels = images.shape[1:]
    border = _same_padding(stride)
    padded = tf.pad(images, [[0, 0], border, border, [0, 0]])
    flat = tf.reshape(upstream, (-1, upstream.shape[-1]))
    products = [
        tf.matmul(
            tf.reshape(padded[:, i : i + height, j : j + width], (-1, channels)),
            flat,
            transpose_a=True,
        )
        for i in range(3)
        for j in range(3)
    ]
    return tf.reshape(tf.stack(products), (3, 3, channels, upstream.shape[-1]))


def by_product(images: tf.Tensor, upstream: tf.Tensor, stride: int) -> tf.Tensor:
    """The gradient of a 1x1 filter: one matrix product, of the places that it reads.

    Args:
        images: (N, H, W, C).
        upstream: (N, ceil(H / stride), ceil(W / stride), F).
        stride: 1 or more.

    Returns:
        (1, 1, C, F).
    """
    read = images[:, ::stride, ::stride]
    found = tf.matmul(
        tf.reshape(read, (-1, images.shape[-1])),
        tf.reshape(upstream, (-1, upstream.shape[-1])),
        transpose_a=True,
    )
    return found[None, None]


def _same_padding(stride: int) -> list[int]:
    """Before and after; TensorFlow puts the odd one of stride 2 after."""
    return [1, 1] if stride == 1 else [0, 1]
