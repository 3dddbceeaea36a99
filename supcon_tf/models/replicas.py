"""What a training step on several replicas can't leave to Keras."""

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.distribution.replicas import num_replicas, sum_over_replicas


def refuse_what_replicas_cannot(model: keras.Model) -> None:
    """Raises ValueError for settings of `compile` that need a single replica."""
    if num_replicas() == 1:
        return
    # mixed_float16 wraps the optimizer that was given.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    accumulation = getattr(optimizer, "gradient_accumulation_steps", None)
    settings = {
        "jit_compile": (model.jit_compile, False),
        "steps_per_execution": (model.steps_per_execution, 1),
        "gradient_accumulation_steps": (accumulation, None),
    }
    for name, (value, allowed) in settings.items():
        if (value or allowed) != allowed:
            raise ValueError(
                f"{name} must be {allowed} with more than one replica, where Keras "
                f"fails with any other. Received: {name}={value}"
            )


def overflow_everywhere(
    gradients: list[tf.Tensor | None], optimizer: keras.optimizers.Optimizer
) -> list[tf.Tensor | None]:
    """The gradients, not finite on any replica if they are not on one.

    Keras skips a step that overflows float16, but looks at the gradients before
    they are added up over the replicas, and at those of a process's first alone.
    """
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if num_replicas() == 1 or not scaled:
        return gradients
    finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None]
    overflows = sum_over_replicas(tf.cast(~tf.reduce_all(finite), tf.float32))
    added = tf.where(overflows > 0, np.nan, 0.0)
    return [None if g is None else g + tf.cast(added, g.dtype) for g in gradients]
