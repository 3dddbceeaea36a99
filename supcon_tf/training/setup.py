"""Process-wide settings, made by commands and never by an import."""

import sys

import keras
import tensorflow as tf

from supcon_tf.config import Config
from supcon_tf.runtime.processor import emulates_bfloat16


def prepare_process(config: Config) -> None:
    """Seeds the process and sets its arithmetic as the config says.

    Arithmetic that the processor does not have gets a warning.
    """
    low = config.dtype_policy == "mixed_bfloat16"
    if low and emulates_bfloat16() and not tf.config.list_physical_devices("GPU"):
        print(
            "warning: this processor only emulates bfloat16: training with "
            "--dtype_policy=float32 is 3 times as fast or more",
            file=sys.stderr,
        )
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        # keras_cv's layers ask for the global generator, which determinism wants to be
        # made from a seed. None of their draws is used.
        tf.random.set_global_generator(tf.random.Generator.from_seed(config.seed))
        tf.config.experimental.enable_op_determinism()
