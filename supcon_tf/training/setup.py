"""Process-wide settings, made by commands and never by an import."""

import os

import keras
import tensorflow as tf

from supcon_tf.config import Config


def prepare_process(config: Config) -> None:
    """Seeds the process and sets its arithmetic as the config says."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def quieten_tensorflow() -> None:
    """Leaves TensorFlow's start-up notes out of a command's output."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
