"""`python train.py` as people meet it: their mistakes, one whole run, the recipes."""

import hashlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from supcon_tf.commands.flags import run_command
from supcon_tf.config import Config
from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import UserError
from supcon_tf.results.record import read_result

REPOSITORY = Path(__file__).parents[1]
RECIPES = sorted((REPOSITORY / "flags").glob("*.flags"))
SECONDS_TO_REFUSE = 240
TINY = (
    "--dataset=digits",
    "--limit_train=200",
    "--limit_test=40",
    "--width=4",
    "--batch_size=32",
    "--pretrain_epochs=1",
    "--pretrain_augmentation=none",
    "--finetune_epochs=1",
    "--finetune_augmentation=none",
    "--epsilons=4,8",
    "--checks_limit=0",
    "--projector_images=20",
)


def train_module():
    spec = importlib.util.spec_from_file_location("train", REPOSITORY / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TRAIN = train_module()


def process(*words, timeout=SECONDS_TO_REFUSE):
    """`python train.py` with `words`, from the root of the repository."""
    return subprocess.run(
        [sys.executable, "train.py", *words],
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def command(capsys):
    """Exit code, output and errors of `train.py`, without the wait for TensorFlow."""

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run_command(TRAIN.main, ["train.py", *words])
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command, tmp_path):
    """The line that `train.py` ends with, without its `error: `."""

    def run(*words):
        code, _, error = command(f"--run_dir={tmp_path / 'run'}", *TINY, *words)
        return refusal(code, error)

    return run


def refusal(code, error):
    assert code == 2, error
    assert "Traceback" not in error
    line = error.splitlines()[-1]
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run of a process of its own: what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    done = process(*TINY, f"--run_dir={folder}", timeout=900)
    assert done.returncode == 0, done.stderr
    return done, folder


# Mistakes.


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "--temprature=0.2",
            "unknown flag --temprature. Did you mean --temperature? "
            "--help lists all flags",
        ),
        (
            "--flagfile=missing.flags",
            "--flagfile must be a readable file. Received: 'missing.flags'",
        ),
        ("--temperature=0", "--temperature must be above 0. Received: 0.0"),
        ("--dataset=", "--dataset must not be empty. Received: ''"),
        (
            "--limit_train=5",
            "--limit_train must be 0 (all) or at least 10, one image of each class. "
            "Received: 5",
        ),
        (
            "--batch_size=181",
            "--batch_size must be from 1 to the number of training images, 180. "
            "Received: 181",
        ),
        (
            "--classes_per_batch=16",
            "--classes_per_batch must be at most the number of classes, 10. "
            "Received: 16",
        ),
    ],
)
def test_a_wrong_flag_is_named_with_what_is_allowed(refused, word, message):
    assert refused(word) == message


def test_a_wrong_flag_ends_a_process_with_code_2_and_one_line():
    done = process("--temperature=-1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --temperature must be above 0. Received: -1.0\n"


def test_help_lists_the_flags_of_a_process():
    done = process("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python train.py --flagfile=")
    listed = set(re.findall(r"^  --(\w+) ", done.stdout, re.MULTILINE))
    assert listed == {"help", "flagfile", "run_dir", *Config().flag_values()}


def test_a_batch_that_replicas_cannot_share_ends_a_process(tmp_path):
    done = process(
        *("--virtual_devices=2", "--strategy=mirrored", "--batch_size=63"),
        f"--run_dir={tmp_path / 'run'}",
    )
    assert refusal(done.returncode, done.stderr) == (
        "--batch_size must be a multiple of the 2 replicas. Received: 63"
    )


def test_an_unknown_data_set_is_named_with_what_comes_close(refused):
    assert refused("--dataset=cifar_100").startswith(
        "--dataset must be digits, folder or a name that tensorflow-datasets knows. "
        "Received: 'cifar_100'; close: cifar100,"
    )


def test_data_that_is_not_there_and_cannot_be_fetched_is_named(
    refused, tmp_path, monkeypatch
):
    # No download, on a machine with a network either.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # urllib keeps the proxies that it finds at its first use; this test's shall go.
    monkeypatch.setattr(urllib.request, "_opener", None)
    empty = tmp_path / "empty"
    empty.mkdir()
    message = refused("--dataset=cifar100", f"--data_dir={empty}")
    assert message.startswith("--data_dir must hold the prepared cifar100 ")
    assert f"Received: '{empty}'" in message


@pytest.mark.parametrize("folders", [[], ["train"], ["train/cat", "train/dog"]])
def test_a_folder_without_images_is_named(refused, tmp_path, folders):
    root = tmp_path / "images"
    for name in ("", *folders):
        (root / name).mkdir(parents=True, exist_ok=True)
    message = refused("--dataset=folder", f"--data_dir={root}")
    assert message.startswith("--data_dir must hold train/CLASS/IMAGE. ")
    assert f"Received: no {'images below' if folders else 'folder'} {root}" in message


@pytest.mark.parametrize("kept", [0, 40, 1500])
def test_a_corrupt_image_is_named(refused, tmp_path, kept):
    root = tmp_path / "images"
    noise = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    for name in ("cat", "dog"):
        (root / "train" / name).mkdir(parents=True)
        for index in range(20):
            Image.fromarray(noise).save(root / "train" / name / f"{index}.png")
    broken = root / "train" / "dog" / "7.png"
    broken.write_bytes(broken.read_bytes()[:kept])
    message = refused("--dataset=folder", f"--data_dir={root}", "--limit_train=0")
    assert message.startswith("--data_dir has images that can't be decoded")
    assert str(broken) in message


def test_a_run_folder_that_is_a_file_is_named(command, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    code, _, error = command(*TINY, f"--run_dir={file}")
    message = refusal(code, error)
    assert message.startswith("--run_dir must be a folder that can be written. ")
    assert f"Received: {file}" in message
    assert file.read_text() == "mine"


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_without_a_model_cannot_be_started_from(refused, tmp_path, exists):
    other = tmp_path / "other"
    if exists:
        other.mkdir()
    assert refused(f"--init_from={other}") == (
        f"--init_from must be a run folder with a pretrained model. Received: {other}"
    )


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (
            ["--split=validation", "--validation_share=0"],
            "--split=validation needs --validation_share above 0. Received: 0",
        ),
        (["--attacks=transfer", "--transfer_from=nowhere"], "--transfer_from"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused_before_the_training(
    refused, monkeypatch, words, names
):
    def train(*_):
        raise AssertionError("trained for an evaluation that can't be made")

    monkeypatch.setattr("supcon_tf.training.run.train", train)
    assert names in refused(*words)


def test_a_refused_value_can_be_corrected(refused, tmp_path, monkeypatch):
    def reached(*_):
        raise UserError("training begins")

    assert "--batch_size" in refused("--batch_size=1000")
    monkeypatch.setattr("supcon_tf.training.run.train", reached)
    assert refused("--batch_size=64") == "training begins"


# One whole run.


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
    config, _ = TRAIN.parse_flags(["train.py", *TINY])
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
    again = TRAIN.parse_flags(["train.py", f"--flagfile={folder / 'flags.txt'}"])
    assert again == TRAIN.parse_flags(["train.py", *TINY, f"--run_dir={folder}"])


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
        TRAIN.main(["train.py", *TINY, f"--run_dir={folder}"])


# The recipes.

# Of own images, so that one is for many data sets.
OF_FOLDERS = ("folder", "imagenet")


def recipe(name, monkeypatch):
    """Config and run folder of a shipped flagfile."""
    # Flagfiles name each other from the root of the repository.
    monkeypatch.chdir(REPOSITORY)
    words = ["--data_dir=images"] if name in OF_FOLDERS else []
    return TRAIN.parse_flags(["train.py", f"--flagfile=flags/{name}.flags", *words])


def differences(one, other):
    other = other.flag_values()
    return {name for name, value in one.flag_values().items() if value != other[name]}


def test_all_promised_recipes_are_there():
    assert {file.stem for file in RECIPES} >= {
        *("digits", "cifar10", "cifar100", "cifar100_ce", "cifar100_scl"),
        *OF_FOLDERS,
    }


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_a_valid_config_and_tells_its_command(file, monkeypatch):
    config, run_dir = recipe(file.stem, monkeypatch)
    assert config != Config()
    name = f"{file.stem}-images" if file.stem in OF_FOLDERS else file.stem
    assert Path(run_dir) == Path("runs", name)
    header = list(
        itertools.takewhile(
            lambda line: line.startswith("#"), file.read_text().splitlines()
        )
    )
    assert any(f"python train.py --flagfile=flags/{file.name}" in s for s in header)


def test_recipes_that_are_compared_differ_in_loss_weights_only(monkeypatch):
    names = ("cifar100_ce", "cifar100_scl", "cifar100")
    configs = [recipe(name, monkeypatch)[0] for name in names]
    for one, other in itertools.combinations(configs, 2):
        changed = differences(one, other)
        assert changed
        assert all(
            name.endswith(("supcon_weight", "margin_weight")) for name in changed
        )
    parts = [[set(s.loss_weights) for _, s in config.stages()] for config in configs]
    assert parts == [
        [{"cross_entropy"}, {"cross_entropy"}],
        [{"cross_entropy", "supcon"}, {"cross_entropy", "supcon"}],
        [{"cross_entropy", "supcon"}, {"cross_entropy", "margin"}],
    ]


def test_cifar10_is_the_recipe_of_cifar100_on_other_images(monkeypatch):
    one, other = (recipe(name, monkeypatch)[0] for name in ("cifar10", "cifar100"))
    assert differences(one, other) == {"dataset"}


def test_digits_is_trained_in_float32(monkeypatch):
    config, _ = recipe("digits", monkeypatch)
    assert (config.data.dataset, config.dtype_policy) == ("digits", "float32")
