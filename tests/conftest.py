"""Shared fixtures: a small network and small real data."""

from supcon_tf.runtime.environment import quieten_tensorflow

quieten_tensorflow()

import functools
import gc
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from supcon_tf.config import Config
from tests.forked import Forked, module, shallow_train
from tests.shallow import BLOCKS

REPOSITORY = Path(__file__).parents[1]

# TensorFlow is imported where it is used: the process that hands out the tests to
# others needs none.


# Modules are there to stay. A tenth of the time of tests that trace networks went to
# looking through their objects for garbage.
gc.disable()


def pytest_collection_modifyitems(items):
    """Files with slow tests first: at the end one alone would be waited for."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    gc.freeze()
    gc.enable()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session")
def small_config():
    """A run of seconds on 200 digits."""

    def build(**flags):
        values = {
            "dataset": "digits",
            "limit_train": 200,
            "limit_test": 40,
            "width": 4,
            "batch_size": 32,
            "pretrain_epochs": 2,
            "pretrain_augmentation": "none",
            "finetune_epochs": 1,
            "finetune_augmentation": "none",
            "epsilons": (8.0,),
            "checks_limit": 0,
            "projector_images": 0,
        }
        return Config.from_flag_values({**values, **flags})

    return build


@pytest.fixture(scope="module")
def shallow():
    """Networks of a module's tests have one block of layers."""
    from supcon_tf.models import resnet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet, "BLOCKS_PER_STAGE", BLOCKS)
        yield


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Starts a function in a process of its own, which has TensorFlow imported."""

    def begin(function, *words, cwd=REPOSITORY, **environment):
        logs = tmp_path_factory.mktemp("logs")
        return Forked(function, *words, logs=logs, cwd=cwd, **environment)

    return begin


@pytest.fixture(scope="session")
def start_train(start):
    """Starts `train.py` with a network of one block."""
    return functools.partial(start, shallow_train)


@pytest.fixture(scope="session")
def run_module(start):
    """`run_module(NAME, WORD, ...)`: what `python -m` does, as `subprocess.run`."""
    return lambda *words: start(module, *words).completed()


@pytest.fixture
def sigterm_restored():
    """A process that has left on SIGTERM ignores it; one that tests goes on."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def disk_of(tmp_path):
    """`disk_of(size)` is the folder of a file system of that size, such as "700k"."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a file system can only be mounted by root")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def images_and_labels():
    """40 random images (32, 32, 3) in [0,1] with labels of 4 classes."""
    rng = np.random.default_rng(0)
    return rng.random((40, 32, 32, 3), np.float32), np.arange(40) % 4


@pytest.fixture(autouse=True)
def _same_weights_in_every_test():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def computable():
    """`computable(dtype)` skips the test if this machine can't compute in a dtype.

    oneDNN has no bfloat16 where it is held to AVX2 (`ONEDNN_MAX_CPU_ISA=AVX2`): a
    convolution is then an error, and a matrix product ends the process.
    """
    import tensorflow as tf

    def convolves_in_bfloat16():
        images, kernel = (tf.ones(shape, "bfloat16") for shape in ([4] * 4, [3] * 4))
        try:
            tf.nn.conv2d(images[..., :3], kernel, 1, "SAME")
        except tf.errors.AbortedError:
            return False
        return True

    found = convolves_in_bfloat16()

    def skip(dtype):
        if "bfloat16" in dtype and not found:
            pytest.skip("oneDNN is held to a processor without bfloat16")

    return skip
