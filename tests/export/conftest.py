"""A run folder with a small network that was trained on digits for some seconds."""

import fcntl
import functools
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from supcon_tf.config import Config
from supcon_tf.data import load
from supcon_tf.export.run import export_run
from supcon_tf.export.settings import ExportSettings
from supcon_tf.losses.cross_entropy import CrossEntropyLoss
from supcon_tf.models import resnet
from supcon_tf.models.build import build_classifier
from supcon_tf.runs.run_folder import RunFolder
from tests.shallow import BLOCKS


@pytest.fixture(scope="session")
def digits():
    return load(Config().data)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """`made_once(name, make)`: a folder that one test process makes for all."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name, make):
        path = shared / name
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = shared / f"{name}-unfinished"
                make(unfinished)
                unfinished.rename(path)
        return path

    return folder


@pytest.fixture(scope="session")
def run_dir(made_once, digits):
    """A finished run: config, both stages' models, robustness.json."""
    return made_once("digits", lambda path: make_run(path, digits))


def make_run(path, digits):
    keras.utils.set_random_seed(0)
    config = Config.from_flag_values({"dataset": "digits", "width": 16})
    folder = RunFolder(path)
    folder.begin(config, digits.fingerprint)
    mean, std = digits.channel_statistics()
    with pytest.MonkeyPatch.context() as patch:
        # A third of the time; test_earlier_versions.py exports a whole ResNet-18.
        patch.setattr(resnet, "BLOCKS_PER_STAGE", BLOCKS)
        model = build_classifier(
            config.model, digits.image_shape, digits.class_names, mean, std
        )
    images, labels = digits.train.pixels(), digits.train.labels
    model.compile(
        keras.optimizers.Adam(0.01), {"cross_entropy": (1.0, CrossEntropyLoss())}
    )
    model.fit(images, labels, batch_size=64, verbose=0)
    # What it would take twenty epochs to find.
    features = model.features(tf.constant(images), training=False)
    classifier = LogisticRegression(max_iter=1000).fit(features, labels)
    model.classifier.kernel.assign(classifier.coef_.T)
    model.classifier.bias.assign(classifier.intercept_)
    folder.stage("pretrain").mkdir()
    model.save(folder.stage_model_file("pretrain"))
    model.classifier.bias.assign_add(np.linspace(0, 0.1, 10))
    model.save(folder.model_file)
    folder.robustness_file.write_text(json.dumps(robustness()))


def robustness():
    row = {
        "name": "fgsm",
        "norm": "linf",
        "epsilon": 8 / 255,
        "epsilon_255": 8.0,
        "accuracy": 0.5,
        "interval_95": [0.45, 0.55],
        "num_examples": 359,
        "parameters": {"loss": "ce", "targeted": False},
        "seconds": 0.1,
    }
    l2 = {**row, "name": "pgd", "norm": "l2", "epsilon": 0.5, "epsilon_255": None}
    checks = [
        {"name": "falls_with_epsilon", "passed": False, "detail": "rises by 3 points"},
        {"name": "transfer", "passed": None, "detail": "no source"},
        {"name": "two_evaluations_agree", "passed": True, "detail": "same"},
    ]
    stage = {"clean_accuracy": 0.975, "attacks": [row, l2]}
    return {
        "schema": 1,
        "dataset": "digits",
        "split": "test",
        "num_examples": 359,
        "seed": 0,
        "versions": {"tensorflow": "2"},
        "models": [
            {"stage": "pretrain", **stage},
            {"stage": "final", **stage, "checks": checks},
        ],
    }


@pytest.fixture(scope="session")
def folded(made_once, run_dir):
    """The folder of a folded export."""
    return served(made_once, run_dir, fold=True)


@pytest.fixture(scope="session")
def unfolded(made_once, run_dir):
    """The folder of an export with batch norm."""
    return served(made_once, run_dir, fold=False)


def served(made_once, run_dir, fold):
    def export(path):
        settings = ExportSettings(
            run_dir=str(run_dir), output=str(path), fold_batch_norm=fold
        )
        assert export_run(settings) == path / "1"

    return made_once("folded" if fold else "unfolded", export) / "1"


@pytest.fixture
def command(run_module):
    """Runs `python -m export` with the given flags."""
    return functools.partial(run_module, "export")
