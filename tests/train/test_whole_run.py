"""`python train.py` as people meet it: one whole run, and its command given again."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import train
from supcon_tf.config import Config
from supcon_tf.distribution.workers import Workers
from supcon_tf.results.record import read_result
from tests.train.tiny import TINY, process, refusal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run of a process of its own: what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    done = process(*TINY, f"--run_dir={folder}", timeout=900)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_a_run_prints_its_data_its_epochs_a_table_and_where_the_report_is(finished):
    done, folder = finished
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "digits: 180 training, 20 validation and 40 test images of 10 classes",
        "batch: 32 images, 32 on each of 1 replica",
    ]
    assert [line.split(": ")[0] for line in lines[2:4]] == [
        "pretrain 1/1",
        "finetune 1/1",
    ]
    assert lines[-1] == f"report: {folder / 'report.md'}"
    table = [line for line in lines if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0] == ["stage", "attack", "clean", "4/255", "8/255"]
    assert [row[:2] for row in cells[2:]] == [
        [stage, name] for stage in ("pretrain", "final") for name in ("fgsm", "worst")
    ]
    assert "\n".join(table) in (folder / "report.md").read_text()


def test_a_run_folder_holds_the_config_the_epochs_and_the_model(finished):
    _, folder = finished
    config, _ = train.parse_flags(["train.py", *TINY])
    assert Config.from_json((folder / "config.json").read_text()) == config
    assert [(line["stage"], line["epoch"]) for line in metrics(folder)] == [
        ("pretrain", 1),
        ("finetune", 1),
    ]
    parts = [list(line["weights"]) for line in metrics(folder)]
    assert parts == [["cross_entropy", "supcon"], ["cross_entropy", "margin"]]
    assert (folder / "model.keras").is_file()
    assert (folder / "pretrain" / "model.keras").is_file()
    projector = folder / "tensorboard" / "projector"
    assert (projector / "projector_config.pbtxt").is_file()
    for name in ("pretrain-clean", "finetune-clean"):
        rows = (projector / f"{name}.tsv").read_text().splitlines()
        assert len(rows) == 20


def metrics(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_robustness_follows_its_schema(finished):
    _, folder = finished
    result = json.loads((folder / "robustness.json").read_text())
    top = {"schema", "dataset", "split", "num_examples", "seed", "versions", "models"}
    assert top <= result.keys()
    assert (result["schema"], result["dataset"], result["split"]) == (
        2,
        "digits",
        "test",
    )
    assert (result["num_examples"], result["seed"]) == (40, 0)
    assert {"tensorflow", "keras"} <= result["versions"].keys()
    assert [model["stage"] for model in result["models"]] == ["pretrain", "final"]
    attack = {
        *("name", "norm", "epsilon", "epsilon_255", "accuracy", "interval_95"),
        *("num_examples", "parameters", "seconds"),
    }
    embedding = {
        *("knn_accuracy", "intra_class_cosine", "inter_class_cosine", "margin_mean"),
    }
    for model, name in zip(result["models"], ("pretrain/", ""), strict=True):
        content = (folder / f"{name}model.keras").read_bytes()
        assert model["model_sha256"] == hashlib.sha256(content).hexdigest()
        assert {"clean_accuracy", "attacks", "embedding", "checks"} <= model.keys()
        assert embedding <= model["embedding"].keys()
        assert [row["epsilon_255"] for row in model["attacks"]] == [4, 8]
        for row in model["attacks"]:
            assert attack <= row.keys()
            assert row["epsilon"] == pytest.approx(row["epsilon_255"] / 255)
            low, high = row["interval_95"]
            assert 0 <= low <= row["accuracy"] <= high <= 1
            assert row["accuracy"] <= model["clean_accuracy"]
        assert [row["epsilon_255"] for row in model["worst"]] == [4, 8]
        for row, only in zip(model["worst"], model["attacks"], strict=True):
            assert row["attacks"] == ["fgsm"]
            assert row["accuracy"] == only["accuracy"]
    with np.load(folder / "robustness.npz") as outcomes:
        assert {outcomes[name].shape[-1] for name in outcomes.files} == {40}


def test_every_link_of_the_report_leads_somewhere(finished):
    _, folder = finished
    text = (folder / "report.md").read_text()
    figures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(figures) >= 5
    assert all(name.startswith("figures/") for name in figures)
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (folder / name).stat().st_size > 0


def test_the_same_command_again_trains_nothing_again(finished, command):
    done, folder = finished
    trained = [folder / "metrics.jsonl", *folder.rglob("*.keras")]
    before = {path: path.stat().st_mtime_ns for path in trained}
    code, output, _ = command(*TINY, f"--run_dir={folder}")
    assert code == 0
    assert "1/1: loss" in done.stdout
    assert "1/1: loss" not in output
    assert output.splitlines()[-1] == f"report: {folder / 'report.md'}"
    assert {path: path.stat().st_mtime_ns for path in trained} == before


def test_the_flags_of_a_run_describe_it_again(finished):
    _, folder = finished
    again = train.parse_flags(["train.py", f"--flagfile={folder / 'flags.txt'}"])
    assert again == train.parse_flags(["train.py", *TINY, f"--run_dir={folder}"])


def test_the_flags_of_a_run_go_on_with_what_is_left_of_it(
    finished, command, tmp_path, monkeypatch
):
    _, folder = finished
    shutil.copytree(folder, tmp_path / "stopped")
    stopped = tmp_path / "stopped"
    shutil.rmtree(stopped / "finetune")
    (stopped / "model.keras").unlink()
    result = read_result(folder / "robustness.json")
    monkeypatch.setattr("supcon_tf.evaluation.run.evaluate_run", lambda *_: result)
    # The folder was copied; nothing else of the flags is said again.
    code, output, _ = command(
        f"--flagfile={stopped / 'flags.txt'}", f"--run_dir={stopped}"
    )
    assert code == 0
    assert "pretrain 1/1" not in output
    assert "finetune 1/1" in output
    assert metrics(stopped)[0] == metrics(folder)[0]
    assert len(metrics(stopped)) == 2
    assert (stopped / "model.keras").is_file()


def test_a_changed_temperature_is_refused_on_resume(finished, command):
    _, folder = finished
    config = (folder / "config.json").read_bytes()
    code, _, error = command(*TINY, f"--run_dir={folder}", "--temperature=0.2")
    message = refusal(code, error)
    assert message.startswith(f"--temperature was 0.1 when the run in {folder} was")
    assert "Received: 0.2" in message
    assert (folder / "config.json").read_bytes() == config


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        # The lock names the process that had it last.
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def again(finished, command, tmp_path):
    """Runs the command of the finished run again, in a copy of its folder."""
    folder = Path(shutil.copytree(finished[1], tmp_path / "again"))

    def run(*words):
        return command(*TINY, f"--run_dir={folder}", *words)

    return run, folder


def test_a_run_does_not_go_on_with_other_images(again):
    run, folder = again
    data = json.loads((folder / "data.json").read_text())
    names = data["splits"]["test"]["examples"]
    # The labels of two classes are exchanged.
    names["3"], names["4"] = names["4"], names["3"]
    (folder / "data.json").write_text(json.dumps(data))
    before = contents(folder)
    code, _, error = run()
    message = refusal(code, error)
    assert message.startswith(f"the images are not those of the run in {folder}: test")
    assert "8 images of another class" in message
    assert "another --run_dir" in message
    assert contents(folder) == before


def test_a_run_that_is_older_than_data_json_goes_on_and_has_one_then(again):
    run, folder = again
    (folder / "data.json").unlink()
    code, output, error = run()
    assert (code, "1/1: loss" in output) == (0, False)
    assert f"note: {folder} has no data.json" in error
    data = json.loads((folder / "data.json").read_text())
    assert (data["held_out_by"], data["since_start"]) == ("order", False)
    assert "data.json" not in run()[2]


def test_the_same_command_is_finished_after_a_larger_evaluation(again):
    run, folder = again
    result = json.loads((folder / "robustness.json").read_text())
    result["settings"]["attacks"] = ["pgd", "fgsm", "noise"]
    (folder / "robustness.json").write_text(json.dumps(result))
    code, output, _ = run()
    assert code == 0
    assert output.splitlines()[-1] == f"report: {folder / 'report.md'}"
    assert json.loads((folder / "robustness.json").read_text()) == result


def test_a_refused_command_writes_nothing(again, finished, command, tmp_path):
    run, folder = again
    before = contents(folder)
    for words in (
        ["--split=validation"],
        ["--attacks=noise"],
        ["--attacks=transfer", "--transfer_from=nowhere"],
        ["--dataset=folder", "--data_dir=nowhere"],
    ):
        code, _, error = run(*words)
        assert refusal(code, error)
        assert contents(folder) == before
    new = tmp_path / "new"
    other = f"--init_from={finished[1]}"
    for words in (["--batch_size=1000"], [other, "--width=6"], ["--init_from=nowhere"]):
        code, _, error = command(*TINY, f"--run_dir={new}", *words)
        assert refusal(code, error)
        assert contents(new) == {}


def test_a_failed_evaluation_is_not_taken_for_a_lost_worker(
    finished, tmp_path, monkeypatch
):
    def fail(*_):
        raise tf.errors.InternalError(None, None, "broken kernel")

    folder = shutil.copytree(finished[1], tmp_path / "run")
    (folder / "robustness.json").unlink()
    two = Workers(tf.distribute.get_strategy(), index=0, count=2)
    monkeypatch.setattr("supcon_tf.distribution.workers.join_workers", lambda _: two)
    monkeypatch.setattr("supcon_tf.evaluation.run.evaluate_run", fail)
    with pytest.raises(tf.errors.InternalError, match="broken kernel"):
        train.main(["train.py", *TINY, f"--run_dir={folder}"])
