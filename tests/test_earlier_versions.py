"""Runs that an earlier version made can be used, gone on with and exported."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import train as command
from supcon_tf.commands.flags import config_from, define_config, new_flags, parse
from supcon_tf.compare.comparison import grouped
from supcon_tf.compare.report import report
from supcon_tf.compare.runs import read_runs
from supcon_tf.data import load
from supcon_tf.export.run import export_run
from supcon_tf.export.settings import ExportSettings
from supcon_tf.models import load_model
from supcon_tf.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

ARCHIVE = Path(__file__).parent / "data_of_earlier_versions" / "before_rooms.tar.xz"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """What the archive holds."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def finished(earlier):
    return RunFolder(earlier / "finished")


def go_on(folder):
    """What `python train.py` does with the flags that a run folder keeps."""
    flagfile = f"--flagfile={folder.path / 'flags.txt'}"
    command.main(["train.py", flagfile, f"--run_dir={folder.path}"])


def test_its_config_and_its_flags_say_the_same(finished):
    config = finished.config()
    assert (config.model.width, config.ema_decay, config.batch_size) == (1, 0.9, 20)
    assert [(name, stage.epochs) for name, stage in config.stages()] == [
        ("pretrain", 1),
        ("finetune", 2),
    ]
    values = new_flags()
    define_config(values)
    lines = (finished.path / "flags.txt").read_text().splitlines()
    flags = [line for line in lines if not line.startswith("--run_dir=")]
    parse(values, ["train.py", *flags], "usage: tiny")
    assert config_from(values) == config


def test_its_config_has_every_key_that_it_had(finished):
    """What the earlier version wrote, this one writes as well."""
    before = json.loads(finished.config_file.read_text())
    now = json.loads(finished.config().to_json())
    assert before.keys() <= now.keys()
    for name, value in before.items():
        if isinstance(value, dict):
            assert value.items() <= now[name].items()
        else:
            assert value == now[name]


def test_its_models_answer_as_they_did(earlier, finished):
    images = load(finished.config().data).test.images.astype(np.float32) / 255
    with np.load(earlier / "logits.npz") as expected:
        for name in finished.config().models():
            logits = np.asarray(load_model(finished.model(name))(images))
            np.testing.assert_allclose(logits, expected[name], rtol=1e-3, atol=1e-3)


def test_a_finished_run_is_finished(finished, capsys):
    written = [finished.metrics_file, finished.robustness_file, finished.model_file]
    before = [path.read_bytes() for path in written]
    go_on(finished)
    output = capsys.readouterr().out
    assert "1/1: loss" not in output
    assert "| final    | fgsm " in output
    assert [path.read_bytes() for path in written] == before


def test_a_finished_run_is_compared(finished):
    (run,) = read_runs([str(finished.path)], "final")
    assert run.config == finished.config()
    assert "| finished | 1 |" in report(grouped([run]), "final")


def test_a_stopped_run_ends_as_one_that_was_not(earlier, finished, capsys):
    stopped = RunFolder(earlier / "stopped")
    go_on(stopped)
    output = capsys.readouterr().out
    assert "finetune: going on after epoch 1, step 1\n" in output
    lines, wanted = stopped.metrics(), finished.metrics()
    assert [(x["stage"], x["epoch"]) for x in lines] == [
        (x["stage"], x["epoch"]) for x in wanted
    ]
    assert lines[-1]["loss"] == pytest.approx(wanted[-1]["loss"], rel=1e-3)
    one, other = (
        load_model(folder.model_file).get_weights() for folder in (finished, stopped)
    )
    # Rounding depends on the processor; momentum that is lost makes a change of 0.01.
    for weights, same in zip(one, other, strict=True):
        np.testing.assert_allclose(weights, same, atol=1e-3)
    models = json.loads(stopped.robustness_file.read_text())["models"]
    assert [model["stage"] for model in models] == ["pretrain", "final"]


def test_a_finished_run_is_exported(finished, tmp_path):
    settings = ExportSettings(
        run_dir=str(finished.path), output=str(tmp_path / "served"), verify_images=8
    )
    version = export_run(settings)
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    assert [*card["recipe"]] == ["pretrain", "finetune"]
    assert card["evaluation"]["num_examples"] == 30
