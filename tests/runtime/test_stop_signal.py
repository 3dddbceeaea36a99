import os
import signal

import pytest

from supcon_tf.runtime.stop_signal import StopSignal, leaving_on_sigterm

pytestmark = pytest.mark.usefixtures("sigterm_restored")


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


def left_at_its_end():
    with StopSignal():
        sigterm()


def left_on_the_way():
    with StopSignal() as stop:
        sigterm()
        stop.leave()


def left_at_once():
    with leaving_on_sigterm():
        sigterm()


def left_within_a_command():
    with leaving_on_sigterm():
        left_at_its_end()


@pytest.mark.parametrize(
    "story", [left_at_its_end, left_on_the_way, left_at_once, left_within_a_command]
)
def test_whoever_leaves_is_killed_by_none_that_comes_later(story):
    def whole_story():
        try:
            story()
        finally:
            sigterm()

    with pytest.raises(SystemExit) as left:
        whole_story()
    assert left.value.code == 143


def test_an_error_is_not_hidden_by_one_that_came_before_it():
    before = signal.getsignal(signal.SIGTERM)

    def story():
        with StopSignal():
            sigterm()
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        story()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("context", [StopSignal, leaving_on_sigterm])
def test_the_handler_of_before_comes_back(context):
    before = signal.getsignal(signal.SIGTERM)
    with context():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
