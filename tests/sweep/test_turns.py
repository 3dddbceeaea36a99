"""Locks that are waited for."""

import errno
import os

from supcon_tf.sweep.turns import fcntl, holder, sign, take


def test_a_lock_is_free_again_once_its_holder_closed_it(tmp_path):
    held = take(tmp_path / "lock")
    assert take(tmp_path / "lock") is None
    os.close(held)
    os.close(take(tmp_path / "lock"))


def test_a_lock_says_who_holds_it(tmp_path):
    held = take(tmp_path / "lock")
    assert holder(tmp_path / "lock") == "another process"
    for process in (123456, 7):
        sign(held, process)
        assert holder(tmp_path / "lock").startswith(f"process {process} on ")
    os.close(held)


def test_a_file_system_without_locks_refuses_nobody(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _ in range(2):
        os.close(take(tmp_path / "lock"))
