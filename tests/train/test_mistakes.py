"""`python train.py` as people meet it: their mistakes."""

import re
import urllib.request

import numpy as np
import pytest
from PIL import Image

from supcon_tf.config import Config
from supcon_tf.errors import UserError
from tests.train.tiny import TINY, process, refusal


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


@pytest.mark.slow
def test_a_batch_that_replicas_cannot_share_ends_a_process(run_module, tmp_path):
    done = run_module(
        *("supcon_tf.train", "--virtual_devices=2", "--strategy=mirrored"),
        "--batch_size=63",
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
