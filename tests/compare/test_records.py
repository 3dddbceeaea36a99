"""Records of runs, which take their place in comparisons."""

import json
from pathlib import Path

import pytest

from supcon_tf.compare.__main__ import main
from supcon_tf.compare.records import KEPT
from supcon_tf.config import Config
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.split_fingerprint import SplitFingerprint
from supcon_tf.errors import RunError, UserError
from supcon_tf.runs.run_folder import RunFolder
from tests.sweep.stand_in import evaluation


def fingerprint(images=3):
    names = {f"train/{number}": None for number in range(images)}
    splits = {
        "train": SplitFingerprint({"a": names}, "0" * 64, images),
        "test": SplitFingerprint({"a": {"test/0": 120}}, "1" * 64, 1),
    }
    return Fingerprint("digits", ("a",), splits)


@pytest.fixture
def write_run(tmp_path):
    """Writes the folder of an evaluated run."""

    def write(name, accuracy=0.5, data=None, **flags):
        folder = RunFolder(tmp_path / name)
        folder.begin(Config.from_flag_values(flags), data or fingerprint())
        result = evaluation(flags.get("seed", 0), accuracy)
        folder.robustness_file.write_text(json.dumps(result))
        folder.append_metrics({"stage": "finetune", "epoch": 1})
        folder.model_file.write_bytes(b"weights")
        return str(folder.path)

    return write


@pytest.fixture
def compare(tmp_path, capsys):
    """What a comparison prints."""

    def run(*words):
        main(["compare", *words, f"--output={tmp_path / 'out'}"])
        return capsys.readouterr().out

    return run


def test_records_give_the_table_of_their_runs(write_run, compare, tmp_path):
    runs = [
        write_run("runs/one", 0.5),
        write_run("runs/two", 0.6, seed=1),
        write_run("runs/wide", 0.7, width=8),
    ]
    records = tmp_path / "records"
    table = compare(*runs, f"--keep_records={records}")
    kept = [str(records / name) for name in ("one", "two", "wide")]
    assert compare(*kept) == table
    # Beside a run, too, a record is what it was made of.
    assert compare(kept[0], *runs[1:]) == table
    for record in kept:
        assert {path.name for path in Path(record).iterdir()} == set(KEPT)
    # Kept again, it is the new one.
    write_run("runs/one", 0.9)
    assert compare(*runs, f"--keep_records={records}") != table
    assert compare(*kept) != table


def test_records_name_no_image_and_no_place_of_this_machine(
    write_run, compare, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    flags = {"dataset": "folder", "data_dir": str(tmp_path / "my images")}
    flags |= {"init_from": str(tmp_path / "runs" / "before")}
    run = write_run("runs/one", **flags)
    compare(run, "--keep_records=records")
    record = RunFolder("records/one")
    assert record.config().data.data_dir == "my images"
    assert record.config().init_from == "runs/before"
    assert "--run_dir=runs/one\n" in (record.path / "flags.txt").read_text()
    for path in record.path.iterdir():
        text = path.read_text()
        assert str(tmp_path) not in text
        assert "train/0" not in text


def test_a_digest_tells_whether_images_are_the_same_and_not_which(
    write_run, compare, tmp_path
):
    compare(write_run("one"), f"--keep_records={tmp_path / 'records'}")
    file = tmp_path / "records" / "one" / "data.json"
    short, whole, other = (
        Fingerprint.from_json(file.read_text()),
        fingerprint(),
        fingerprint(4),
    )
    assert short.digest == whole.digest
    assert short.difference(whole) == whole.difference(short) == ""
    assert short.only("train").digest == whole.only("train").digest
    apart = "train: 3 images became 4 others, of which is kept no name"
    assert short.difference(other) == apart
    # It must not pass for a data set that has no images.
    assert len(short.splits["train"]) == 3
    for ask in (
        lambda: short.shared("test", whole, "train"),
        lambda: whole.shared("test", short, "train"),
    ):
        with pytest.raises(UserError, match="and not their names"):
            ask()


def test_runs_are_not_overwritten_by_their_records(write_run, compare, tmp_path):
    run, other = write_run("runs/one"), write_run("others/one", seed=1)
    for folder in (tmp_path / "runs", tmp_path / "others"):
        with pytest.raises(UserError, match="--keep_records must be a folder of rec"):
            compare(run, f"--keep_records={folder}")
    assert not (tmp_path / "out").exists()
    for path in (run, other):
        assert "train/0" in (Path(path) / "data.json").read_text()


def test_a_copy_that_would_be_compared_as_another_run_is_an_error(
    write_run, compare, tmp_path, monkeypatch
):
    whole = fingerprint(4).to_json()
    monkeypatch.setattr("supcon_tf.compare.records._digests", lambda *_: whole)
    with pytest.raises(RunError, match="is no record of"):
        compare(write_run("one"), f"--keep_records={tmp_path / 'records'}")
