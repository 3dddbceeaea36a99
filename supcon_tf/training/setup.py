"""Process-wide settings, made by commands and never by an import."""

import keras
import tensorflow as tf

from supcon_tf.config import Config


def prepare_process(config: Config) -> None:
    """Seeds the process and sets its arithmetic as the config says."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
