import gc
import os
import platform
import subprocess
import sys

import pytest

from supcon_tf.runtime import environment as environment_module
from supcon_tf.runtime.environment import (
    _without_collection,
    _without_notes,
    prepare_environment,
)

NAMES = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")


@pytest.fixture
def environment(monkeypatch):
    """Nothing set, TensorFlow not imported; whatever gets set is unset again."""
    monkeypatch.delitem(sys.modules, "tensorflow")
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(environment_module, "import_tensorflow", lambda: None)
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


def test_what_is_imported_is_there_to_stay():
    frozen = gc.get_freeze_count()
    with _without_collection():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)


NOTE = b"I0000 00:00:1795639256.504532   16906 port.cc:153] oneDNN operations are on.\n"
ERROR = b"E0000 00:00:1795639256.504532   16906 cuda_dnn.cc:8579] registered twice\n"
FATAL = b"F0000 00:00:1795639256.504532   16906 cpu.cc:1] no AVX instructions\n"
HEADING = b"WARNING: All log messages before absl::InitializeLog() is called are ...\n"


@pytest.mark.parametrize(
    ("severities", "kept"), [("IWE", [FATAL]), ("I", [ERROR, FATAL])]
)
def test_notes_are_left_out_of_standard_error_and_nothing_else(capfd, severities, kept):
    said = [b"before\n", b"Intel MKL FATAL ERROR\n", b"last words, without an end"]
    with _without_notes(severities):
        os.write(2, b"".join([said[0], HEADING, NOTE, ERROR, FATAL, *said[1:]]))
    os.write(2, b"\nafter\n")
    expected = b"".join([said[0], *kept, *said[1:], b"\nafter\n"])
    assert capfd.readouterr() == ("", expected.decode())


def test_the_words_of_a_crash_are_not_lost():
    """A log that is kept within the process would be lost with it."""
    script = (
        "import os\nfrom supcon_tf.runtime.environment import _without_notes\n"
        "with _without_notes('IWE'):\n"
        f"    os.write(2, {NOTE + FATAL!r})\n    os.abort()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, check=False
    )
    assert done.returncode < 0
    assert done.stderr == FATAL
