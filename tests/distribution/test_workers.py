"""What workers tell each other, with the other worker played by a list of numbers."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import RunError, UserError


class OtherWorker:
    """A strategy whose sums have, one after the other, the given second terms."""

    num_replicas_in_sync = 2

    def __init__(self, *terms):
        self.terms = list(terms)

    def reduce(self, operation, value, axis):
        return value + self.terms.pop(0)


def second(*chief_says):
    return Workers(OtherWorker(*chief_says), index=1, count=2)


def chief(*other_says):
    return Workers(OtherWorker(*other_says), index=0, count=2)


ALONE = Workers(tf.distribute.get_strategy())


def test_rows_divide_the_global_batch():
    rows = [Workers(None, index, 3).rows(12) for index in range(3)]
    assert rows == [(0, 4), (4, 8), (8, 12)]
    assert ALONE.rows(12) == (0, 12)


def test_the_chief_decides_and_any_worker_may_object():
    assert second(7).chief_says(3) == 7
    assert chief(0).chief_says(3) == 3
    assert second(0).any_says(True)
    assert chief(1).any_says(False)
    assert not chief(0).any_says(False)


def test_values_come_from_the_chief_whatever_the_others_hold():
    value = np.full(3, 5.0)
    np.testing.assert_array_equal(chief(np.zeros(3)).from_chief(value), value)
    np.testing.assert_array_equal(second(value).from_chief(value * np.nan), value)


def test_a_failure_of_the_chief_ends_the_others():
    def fail():
        raise UserError("--batch_size is wrong")

    with pytest.raises(UserError, match="--batch_size is wrong"):
        chief(0).on_chief(fail)
    with pytest.raises(RunError, match="the chief stopped"):
        second(1).on_chief(fail)
    assert second(0).on_chief(fail) is None
    assert ALONE.on_chief(lambda: 3) == 3


def test_workers_with_other_flags_are_refused():
    same = tf.constant(907060870, tf.int64)
    second(same, 0).refuse_difference("flags", b"hello")
    with pytest.raises(UserError, match="all workers must have the same flags"):
        second(same, 0).refuse_difference("flags", b"other")


@pytest.mark.parametrize("kind", [tf.errors.UnavailableError, tf.errors.AbortedError])
def test_a_lost_worker_is_one_line(kind, capsys):
    error = kind(None, None, "Graph error:\nCollective ops is aborted by: gone\nmore")

    def story():
        with second().session():
            print("a worker that is not the chief is quiet")
            raise error

    with pytest.raises(RunError, match="another worker is gone") as told:
        story()
    assert str(told.value).endswith("Collective ops is aborted by: gone")
    assert capsys.readouterr().out == ""


def test_alone_a_tensorflow_error_stays_what_it_is():
    with pytest.raises(tf.errors.UnavailableError), ALONE.session():
        raise tf.errors.UnavailableError(None, None, "a device")
