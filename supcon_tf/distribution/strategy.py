"""Which devices of this machine a run uses."""

import tensorflow as tf

from supcon_tf.config import Config
from supcon_tf.errors import UserError


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """The strategy for one machine that `--strategy` and `--virtual_devices` ask for.

    Raises:
        UserError: if the replicas can't share the batch evenly, or the devices were
            in use before they could be split.
    """
    if config.virtual_devices:
        _split_cpu(config.virtual_devices)
    accelerators = tf.config.list_logical_devices("GPU")
    mirrored = config.strategy == "mirrored" or (
        config.strategy == "auto" and len(accelerators) > 1
    )
    strategy = tf.distribute.get_strategy()
    if mirrored:
        devices = accelerators or tf.config.list_logical_devices("CPU")
        # One device needs no strategy, and under one Keras gives up compiling.
        if len(devices) > 1:
            strategy = tf.distribute.MirroredStrategy([d.name for d in devices])
    refuse_uneven_batch(config.batch_size, strategy.num_replicas_in_sync)
    return strategy


def refuse_uneven_batch(batch_size: int, replicas: int) -> None:
    """Raises UserError if the replicas can't share the batch evenly."""
    if batch_size % replicas:
        raise UserError(
            f"--batch_size must be a multiple of the {replicas} replicas. "
            f"Received: {batch_size}"
        )


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        raise UserError(
            "--virtual_devices must be set before TensorFlow is used. "
            f"Received: {count}"
        ) from error
