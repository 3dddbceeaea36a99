"""What the exported model answers to: its signatures, as TensorFlow functions."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.data.decoding.encoded import decode, resize
from supcon_tf.models import ContrastiveClassifier

Outputs = dict[str, tf.Tensor]
Signature = tuple[Callable[[tf.Tensor], Outputs], tf.TensorSpec]


def signatures(
    model: ContrastiveClassifier,
    class_names: Sequence[str],
    crop_to_aspect_ratio: bool = False,
) -> dict[str, Signature]:
    """The functions that are served, by name, each with the input that it declares.

    - `serving_default` and `classify`: `images` (N, H, W, 3) float32 in [0,1].
    - `classify_uint8`: `images` (N, H, W, 3) uint8, 0 to 255.
    - `classify_encoded`: `image_bytes` (N,) strings, each a JPEG, PNG, GIF, BMP or WebP
      image of any size; decoded as for training and resized to (H, W), or refused.
    - `embed`: `images` as `classify`.

    The first four give `logits` and `probabilities` (N, C) float32, `class_id` (N,)
    int64 and `label` (N,) strings; `embed` gives `embedding` (N, D), of unit length,
    and `features` (N, F).

    Args:
        model: float32 model from images to logits.
        class_names: the name of each class.
        crop_to_aspect_ratio: how the run brings images to their size.
    """
    shape = tuple(model.encoder.input_shape[1:])
    float_images = tf.TensorSpec((None, *shape), tf.float32, name="images")
    uint8_images = tf.TensorSpec((None, *shape), tf.uint8, name="images")
    encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
    network = with_constant_weights(model, float_images)

    def classify(images: tf.Tensor) -> Outputs:
        outputs = network(checked(images, shape))
        return classified(outputs["logits"], class_names)

    def classify_uint8(images: tf.Tensor) -> Outputs:
        return classify(as_float(tf.ensure_shape(images, (None, *shape))))

    def classify_encoded(image_bytes: tf.Tensor) -> Outputs:
        pixels = decoded(image_bytes, shape[:2], crop_to_aspect_ratio)
        return classify(as_float(pixels))

    def embed(images: tf.Tensor) -> Outputs:
        outputs = network(checked(images, shape))
        return {name: outputs[name] for name in ("embedding", "features")}

    return {
        "serving_default": (classify, float_images),
        "classify": (classify, float_images),
        "classify_uint8": (classify_uint8, uint8_images),
        "classify_encoded": (classify_encoded, encoded),
        "embed": (embed, float_images),
    }


def with_constant_weights(
    model: ContrastiveClassifier, images: tf.TensorSpec
) -> Callable[[tf.Tensor], Outputs]:
    """The model's `outputs_of` with the weights as constants of the graph.

    The kernels bring weights into the layout that they need; constants once, variables
    at every call, which for a single image takes as long as the network itself. One
    function that all signatures call keeps one copy of the constants on disk.
    """
    weights = [(variable, variable.numpy()) for variable in model.variables]

    @tf.function(input_signature=[images], autograph=False)
    def network(images: tf.Tensor) -> Outputs:
        constants = [(variable, tf.constant(value)) for variable, value in weights]
        with keras.StatelessScope(state_mapping=constants):
            return model.outputs_of(images, training=False)

    return network


def classified(logits: tf.Tensor, class_names: Sequence[str]) -> Outputs:
    """Logits (N, C) with what they mean."""
    class_id = tf.argmax(logits, axis=-1, output_type=tf.int64)
    return {
        "logits": logits,
        "probabilities": tf.nn.softmax(logits),
        "class_id": class_id,
        "label": tf.gather(tf.constant(list(class_names)), class_id),
    }


def checked(images: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """The images, or an error if their shape or range is not the declared one."""
    # A server feeds any shape past the declared one, and the network's global pooling
    # would answer for images of any size.
    images = tf.ensure_shape(images, (None, *shape))
    # Written so that a NaN fails too.
    in_range = tf.reduce_all(tf.abs(images - 0.5) <= 0.5 + 1e-3)
    message = (
        "images must be finite and in [0,1]; for pixels from 0 to 255 use the "
        "signature classify_uint8, or divide by 255."
    )
    with tf.control_dependencies([tf.debugging.Assert(in_range, [message])]):
        return tf.identity(images)


def as_float(images: tf.Tensor) -> tf.Tensor:
    """Pixels from 0 to 255 as float32 in [0,1], the same bits as NumPy's `x / 255`."""
    # Graph optimisation would make a division a product with 1/255, rounded otherwise.
    levels = np.arange(256, dtype=np.float32) / 255
    return tf.gather(tf.constant(levels), tf.cast(images, tf.int32))


def decoded(
    image_bytes: tf.Tensor, size: tuple[int, int], crop_to_aspect_ratio: bool = False
) -> tf.Tensor:
    """Encoded images (N,) as uint8 pixels (N, H, W, 3), those that training reads."""
    return tf.map_fn(
        lambda encoded: resize(decode(encoded), size, crop_to_aspect_ratio),
        image_bytes,
        fn_output_signature=tf.TensorSpec((*size, 3), tf.uint8),
    )
