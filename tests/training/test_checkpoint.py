import keras
import numpy as np
import pytest

from supcon_tf.errors import RunError
from supcon_tf.training.checkpoint import Checkpoints, Position


def variables(value=0.0):
    values = [np.full((2, 3), value, np.float32), np.int64(np.nan_to_num(value))]
    return [keras.Variable(v, dtype=v.dtype.name) for v in values]


@pytest.fixture
def checkpoints(tmp_path):
    warnings = []
    checkpoints = Checkpoints(tmp_path, warn=warnings.append)
    checkpoints.warnings = warnings
    return checkpoints


def names(checkpoints):
    return sorted(path.name for path in checkpoints.directory.iterdir())


def test_restore_gives_back_values_and_position(checkpoints):
    checkpoints.save(Position(2, 5), variables(7))
    fresh = variables()
    assert checkpoints.restore(fresh)[0] == Position(2, 5)
    np.testing.assert_array_equal(fresh[0], np.full((2, 3), 7))
    assert int(fresh[1]) == 7


def test_without_a_checkpoint_nothing_is_assigned(checkpoints):
    fresh = variables(3)
    assert checkpoints.restore(fresh)[0] == Position()
    assert int(fresh[1]) == 3


def test_the_last_two_are_kept_and_the_newest_is_used(checkpoints):
    for position in (Position(1), Position(1, 40), Position(2), Position(10)):
        checkpoints.save(position, variables(position.epoch))
    assert len(names(checkpoints)) == 2
    assert checkpoints.restore(variables())[0] == Position(10)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_checkpoint_is_skipped_with_a_warning(checkpoints, damage):
    checkpoints.save(Position(1), variables(1))
    checkpoints.save(Position(2), variables(2))
    newest = checkpoints.directory / names(checkpoints)[-1]
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        place = content.index(np.float32(2).tobytes())
        content[place] ^= 0xFF
    cut = {"truncated": len(content) // 2, "flipped": None, "empty": 0}[damage]
    newest.write_bytes(content[:cut])
    fresh = variables()
    assert checkpoints.restore(fresh)[0] == Position(1)
    assert int(fresh[1]) == 1
    assert len(checkpoints.warnings) == 1
    assert newest.name in checkpoints.warnings[0]


def test_checkpoint_of_another_network_is_skipped(checkpoints):
    checkpoints.save(Position(1), variables(1)[:1])
    assert checkpoints.restore(variables())[0] == Position()
    assert len(checkpoints.warnings) == 1


def test_nonfinite_weights_are_not_saved(checkpoints):
    checkpoints.save(Position(1), variables(1))
    with pytest.raises(RunError, match="no longer finite"):
        checkpoints.save(Position(2), variables(np.nan))
    assert checkpoints.restore(variables())[0] == Position(1)


def test_full_disk_keeps_the_earlier_checkpoint(checkpoints, monkeypatch):
    checkpoints.save(Position(1), variables(1))

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match="No space left on device"):
        checkpoints.save(Position(2), variables(2))
    monkeypatch.undo()
    assert len(names(checkpoints)) == 1
    assert checkpoints.restore(variables())[0] == Position(1)
