import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import RunError
from supcon_tf.training.checkpoint import Checkpoints, Position
from supcon_tf.training.state import TrainingState, divided

RUN = {"--seed": 0, "--epsilons": (1.0, 2.0), "images": "abc"}


def variables(value=0.0):
    values = [np.full((2, 3), value, np.float32), np.int64(np.nan_to_num(value))]
    return [keras.Variable(v, dtype=v.dtype.name) for v in values]


@pytest.fixture
def folder(tmp_path):
    """Saves and restores as a run would, and keeps what it was warned of."""
    return Folder(tmp_path)


class Folder:
    def __init__(self, path):
        self.path, self.warnings = path, []

    def checkpoints(self, run):
        return Checkpoints(self.path, run, 20, 50, self.warnings.append)

    def state(self, variables, run):
        alone = Workers(tf.distribute.get_strategy())
        return TrainingState(variables, self.checkpoints(run), alone)

    def save(self, position, variables, run=RUN):
        self.state(variables, run).save(position)
        return max(self.path.glob("*.npz"))

    def restored(self, run=RUN):
        """Position and the int variable, which is the value that all were given."""
        fresh = variables(-1)
        position = self.state(fresh, run).restore()
        return position, int(fresh[1])

    def names(self):
        return sorted(path.name for path in self.path.iterdir())


def rewrite(path, **changes):
    """A checkpoint with other contents, as sound an archive as before."""
    with np.load(path) as file:
        content = dict(file)
    header = json.loads(str(content["header"]))
    for name, value in changes.items():
        if name in content:
            content[name] = value
        else:
            header[name] = value
    if "header" not in changes:
        content["header"] = np.array(json.dumps(header))
    with path.open("wb") as file:
        np.savez(file, **content)


def test_restore_gives_back_values_and_position(folder):
    folder.save(Position(2, 5), variables(7))
    fresh = variables()
    assert folder.state(fresh, RUN).restore() == Position(2, 5)
    np.testing.assert_array_equal(fresh[0], np.full((2, 3), 7))
    assert int(fresh[1]) == 7


def test_without_a_checkpoint_nothing_is_assigned(folder):
    assert folder.restored() == (Position(), -1)


def test_the_last_two_are_kept_and_the_newest_is_used(folder):
    for position in (Position(1), Position(1, 40), Position(2), Position(10)):
        folder.save(position, variables(position.epoch))
    assert len(folder.names()) == 2
    assert folder.restored() == (Position(10), 10)


UNUSABLE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "empty": lambda path: path.write_bytes(b""),
    "no header": lambda path: rewrite(path, header=np.array("epoch 2")),
    "a list as header": lambda path: rewrite(path, header=np.array("[2, 0]")),
    "numbers as header": lambda path: rewrite(path, header=np.arange(3)),
    "another shape": lambda path: rewrite(path, **{"00000": np.zeros(6, "float32")}),
    "another dtype": lambda path: rewrite(path, **{"00000": np.zeros((2, 3))}),
    "an axis too many": lambda path: rewrite(
        path, **{"00000": np.zeros((1, 2, 3), "float32")}
    ),
    "infinite": lambda path: rewrite(
        path, **{"00000": np.full((2, 3), np.inf, "float32")}
    ),
    "epoch 77 of 20": lambda path: rewrite(path, epoch=77),
    "step 51 of 50": lambda path: rewrite(path, step=51),
    "a step after the end": lambda path: rewrite(path, epoch=20, step=1),
    "half an epoch": lambda path: rewrite(path, epoch=1.5),
    "a negative epoch": lambda path: rewrite(path, epoch=-1),
    "another seed": lambda path: rewrite(path, run={"--seed": 3}),
    "other images": lambda path: rewrite(path, run={"images": "abd"}),
}


def flipped(path):
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(2).tobytes())] ^= 0xFF
    path.write_bytes(content)


def test_an_unusable_checkpoint_is_set_aside_and_the_one_before_used(tmp_path):
    for name, damage in {**UNUSABLE, "flipped": flipped}.items():
        folder = Folder(tmp_path / name)
        folder.save(Position(1), variables(1))
        newest = folder.save(Position(2), variables(2))
        damage(newest)
        assert folder.restored() == (Position(1), 1), name
        (warning,) = folder.warnings
        assert warning.startswith(f"skipping the unusable checkpoint {newest}: ")
        assert "\n" not in warning
        assert f"{newest.name}.unusable" in folder.names()
        assert folder.restored() == (Position(1), 1)
        assert len(folder.warnings) == 1


def test_no_byte_of_a_checkpoint_can_be_damaged_into_a_traceback(folder):
    folder.save(Position(1), variables(1))
    newest = folder.save(Position(2), variables(2))
    sound = newest.read_bytes()
    rng = np.random.default_rng(0)
    for place in range(0, len(sound), 7):
        content = bytearray(sound)
        content[place] ^= int(rng.integers(1, 256))
        newest.write_bytes(content)
        # What is not read (times, attributes) may change without harm.
        assert folder.restored() in [(Position(1), 1), (Position(2), 2)]


def test_what_was_just_written_is_never_deleted(folder):
    """Two unusable checkpoints of higher names, as a run of more steps may leave."""
    old = folder.save(Position(1), variables(1))
    for position in (Position(8), Position(9)):
        folder.path.joinpath(old.name.replace("00001", f"{position.epoch:05d}")).touch()
    folder.save(Position(1, 10), variables(3))
    assert folder.restored() == (Position(1, 10), 3)
    folder.save(Position(2), variables(4))
    assert folder.restored() == (Position(2), 4)


def test_where_no_checkpoint_can_be_used_the_run_is_refused(folder):
    for position in (Position(1), Position(2)):
        newest = folder.save(position, variables(1))
        rewrite(newest, run={"--seed": 3})
    before = folder.names()
    for _ in range(2):
        with pytest.raises(RunError) as refused:
            folder.restored()
        assert str(refused.value) == (
            f"none of the checkpoints in {folder.path} can be used ({newest.name}: it "
            "is of another run, where --seed was 3, not 0). Give a new --run_dir, or "
            "remove them to begin the stage again"
        )
    assert folder.names() == before


def test_a_checkpoint_that_does_not_say_of_what_run_it_is_is_used(folder):
    newest = folder.save(Position(2), variables(2), run={})
    rewrite(newest, run={"--an_option_that_is_gone": 1})
    assert folder.restored() == (Position(2), 2)


def test_a_checkpoint_of_another_network_is_refused(folder):
    folder.save(Position(1), variables(1)[:1])
    with pytest.raises(RunError, match="it holds other variables"):
        folder.restored()


def test_nonfinite_weights_are_not_saved(folder):
    folder.save(Position(1), variables(1))
    with pytest.raises(RunError, match="no longer finite"):
        folder.save(Position(2), variables(np.nan))
    assert folder.restored() == (Position(1), 1)


def test_full_disk_keeps_the_earlier_checkpoint(folder, monkeypatch):
    folder.save(Position(1), variables(1))

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match="No space left on device"):
        folder.save(Position(2), variables(2))
    monkeypatch.undo()
    assert len(folder.names()) == 1
    assert folder.restored() == (Position(1), 1)


def test_a_checkpoint_is_an_archive_that_numpy_reads_alone(folder):
    newest = folder.save(Position(2), variables(2))
    assert zipfile.is_zipfile(newest)
    with np.load(newest, allow_pickle=False) as file:
        assert json.loads(str(file["header"]))["run"] == {
            **RUN,
            "--epsilons": [1.0, 2.0],
        }


def test_parts_of_a_sum_are_kept_or_added_up_for_other_replicas():
    value, parts = np.array([1.0, 4.0]), np.array([[1.0, 3.0], [0.0, 1.0]])
    np.testing.assert_array_equal(divided(parts, (2,), 2), parts)
    np.testing.assert_array_equal(divided(parts, (2,), 1), value)
    np.testing.assert_array_equal(divided(value, (2,), 1), value)
    zeros = np.zeros(2)
    np.testing.assert_array_equal(divided(parts, (2,), 3), [value, zeros, zeros])
    np.testing.assert_array_equal(divided(value, (2,), 2), [value, zeros])
    assert divided(np.float32(3), (), 1).shape == ()
