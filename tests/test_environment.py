import os
import platform
import sys

import pytest

from supcon_tf.environment import prepare_environment

NAMES = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")


@pytest.fixture
def environment(monkeypatch):
    """Nothing set, TensorFlow not imported; whatever gets set is unset again."""
    monkeypatch.delitem(sys.modules, "tensorflow")
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("machine", "onednn"),
    [("x86_64", "1"), ("AMD64", "1"), ("aarch64", None), ("arm64", None)],
)
def test_onednn_is_turned_on_where_tensorflow_has_it(environment, machine, onednn):
    environment.setattr(platform, "machine", lambda: machine)
    prepare_environment()
    assert [os.environ.get(name) for name in NAMES] == ["3", onednn]


def test_what_is_set_already_stays(environment):
    for name in NAMES:
        environment.setenv(name, "0")
    prepare_environment()
    assert [os.environ[name] for name in NAMES] == ["0", "0"]


def test_onednn_is_left_alone_once_tensorflow_is_imported(environment):
    environment.setitem(sys.modules, "tensorflow", None)
    prepare_environment()
    assert [os.environ.get(name) for name in NAMES] == ["3", None]
