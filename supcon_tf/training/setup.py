"""Process-wide settings, made by commands and never by an import."""

import keras
import tensorflow as tf

from supcon_tf.config import Config


def prepare_process(config: Config) -> None:
    """Seeds the process and sets its arithmetic as the config says."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        # keras_cv's layers ask for the global generator, which determinism wants to be
        # made from a seed. None of their draws is used.
        tf.random.set_global_generator(tf.random.Generator.from_seed(config.seed))
        tf.config.experimental.enable_op_determinism()
