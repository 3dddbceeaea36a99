"""Batch normalisation on TensorFlow's fused kernel."""

import keras
import tensorflow as tf

from supcon_tf.distribution.replicas import num_replicas


@keras.saving.register_keras_serializable(package="supcon_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation, computed by the fused kernel where that is possible.

    Same weights, same config, same result to rounding; about twice as fast in training
    on a CPU. Statistics that are synchronised over replicas, float64, weights of less
    than float32 and inputs that are not images fall back to Keras' own computation.

    Args: those of `keras.layers.BatchNormalization`.
    """

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        training = bool(training) and self.trainable
        if mask is not None or not self._can_fuse(inputs, training):
            return super().call(inputs, training=training, mask=mask)
        mean, variance = self.moving_mean, self.moving_variance
        # The kernel takes empty statistics in training, as it computes its own.
        outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else tf.ones_like(mean),
            offset=self.beta if self.center else tf.zeros_like(mean),
            mean=[] if training else mean,
            variance=[] if training else variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            self._update_statistics(inputs, batch_mean, batch_variance)
        return outputs

    def _can_fuse(self, inputs: tf.Tensor, training: bool) -> bool:
        synchronized = self.synchronized and num_replicas() > 1
        return (
            inputs.shape.rank == 4
            and self.axis in (-1, 3)
            and inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)
            and self.variable_dtype == "float32"
            and not self.renorm
            and not (training and synchronized)
        )

    def _update_statistics(
        self, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor
    ) -> None:
        # The kernel returns the variance with Bessel's correction, n / (n - 1); Keras
        # keeps the plain one.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
        variance = variance * (count - 1) / count
        for moving, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + new * (1 - self.momentum))
