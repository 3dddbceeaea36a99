import collections
import json
import math
import os
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import (
    LegacyEventFileLoader,
)

from supcon_tf.data import load
from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import RunError, UserError
from supcon_tf.models import load_model
from supcon_tf.runs.history import history_of
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.sweep.plan import PlannedRun
from supcon_tf.sweep.sharing import take_stages
from supcon_tf.training import held_out
from supcon_tf.training import stage as stage_module
from supcon_tf.training.checkpoint import Position
from supcon_tf.training.health import refuse_nonfinite, warn_of_divergence
from supcon_tf.training.run import train
from supcon_tf.training.state import TrainingState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("shallow", "sigterm_restored"),
]


def run(config, path):
    """Trains in `path` as a fresh process would."""
    keras.utils.set_random_seed(config.seed)
    folder = RunFolder(path)
    folder.begin(config)
    train(config, load(config.data), folder, Workers(tf.distribute.get_strategy()))
    return folder


def weights(folder):
    return load_model(folder.model_file).get_weights()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_config):
    """A finished run of both stages, and its config."""
    config = small_config(pretrain_warmup_epochs=0.0)
    return run(config, tmp_path_factory.mktemp("run")), config


def test_run_folder_holds_what_the_contract_says(finished):
    folder, config = finished
    assert folder.config() == config
    assert "--width=4" in (folder.path / "flags.txt").read_text()
    assert folder.stage_model_file("pretrain").exists()
    assert folder.stage_model_file("finetune").exists()
    assert any(folder.tensorboard.rglob("events*"))


def test_the_output_of_an_evaluation_is_no_run_folder(small_config, tmp_path):
    folder = RunFolder(tmp_path)
    folder.robustness_file.write_text("{}")
    with pytest.raises(UserError, match="must not be the --output of another model"):
        folder.check(small_config())


def test_metrics_have_a_line_for_each_epoch(finished):
    folder, _ = finished
    lines = [json.loads(x) for x in folder.metrics_file.read_text().splitlines()]
    epochs = [(line["stage"], line["epoch"]) for line in lines]
    assert epochs == [("pretrain", 1), ("pretrain", 2), ("finetune", 1)]
    assert {"cross_entropy", "supcon", "accuracy", "val_accuracy"} <= set(lines[0])
    assert {"cross_entropy", "margin"} <= set(lines[2])
    assert "supcon" not in lines[2]
    for line in lines:
        total = sum(w * line[part] for part, w in line["weights"].items())
        assert line["loss"] == pytest.approx(total, rel=1e-4)
        assert line["images_per_second"] > 0
        assert 0 < line["learning_rate"] <= 0.1


def test_final_model_is_the_finetuned_one(finished):
    folder, _ = finished
    last = load_model(folder.stage_model_file("finetune")).get_weights()
    for one, other in zip(last, weights(folder), strict=True):
        np.testing.assert_array_equal(one, other)


def test_finished_run_is_not_trained_again(finished, monkeypatch):
    folder, config = finished
    monkeypatch.setattr(
        "supcon_tf.training.run.StageTrainer",
        lambda *_: pytest.fail("trained again"),
    )
    run(config, folder.path)


def test_run_stopped_between_stages_ends_with_the_same_weights(finished, tmp_path):
    folder, config = finished
    other = RunFolder(tmp_path)
    other.begin(config)
    other.stage("pretrain").mkdir()
    other.stage_model_file("pretrain").write_bytes(
        folder.stage_model_file("pretrain").read_bytes()
    )
    run(config, tmp_path)
    for one, same in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_run_that_begins_with_another_ones_stage_ends_as_if_it_were_its_own(
    finished, tmp_path
):
    folder, config = finished
    donor, other = RunFolder(tmp_path / "donor"), RunFolder(tmp_path / "run")
    shutil.copytree(folder.path, donor.path)
    shutil.rmtree(donor.stage("finetune"))
    other.path.mkdir()
    runs = [PlannedRun(f.path.name, f, config, ()) for f in (donor, other)]
    assert take_stages(runs[1], runs) == "pretrain of donor"
    run(config, other.path)
    for one, same in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)
    assert any((other.tensorboard / "pretrain").glob("events*"))
    assert [line.get("run") for line in other.metrics()] == ["donor", "donor", None]
    for line, same in zip(folder.metrics(), other.metrics(), strict=True):
        assert line["val_accuracy"] == same["val_accuracy"]


def test_sigterm_saves_and_the_same_command_goes_on(finished, tmp_path, monkeypatch):
    folder, config = finished
    steps = []
    original = stage_module.Progress.step

    def stop_in_second_epoch(self, done, metrics):
        original(self, done, metrics)
        steps.append(done)
        if len(steps) == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(stage_module.Progress, "step", stop_in_second_epoch)
    with pytest.raises(SystemExit) as stopped:
        run(config, tmp_path)
    assert stopped.value.code == 143
    assert len(steps) == 8
    monkeypatch.undo()
    other = run(config, tmp_path)
    for one, same in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)
    kept = ("loss", "accuracy", "learning_rate", "val_accuracy")
    for line, same in zip(folder.metrics(), other.metrics(), strict=True):
        assert [line[key] for key in kept] == [same[key] for key in kept]


def test_sigterm_during_validation_does_not_wait_for_its_end(
    finished, tmp_path, monkeypatch
):
    folder, config = finished
    original = held_out.validation

    def interrupted(*arguments):
        validate = original(*arguments)

        def run(after_batch):
            os.kill(os.getpid(), signal.SIGTERM)
            validate(after_batch)
            pytest.fail("the validation came to its end")

        return run

    monkeypatch.setattr(held_out, "validation", interrupted)
    with pytest.raises(SystemExit) as stopped:
        run(config, tmp_path)
    assert stopped.value.code == 143
    monkeypatch.undo()
    other = run(config, tmp_path)
    for one, same in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)
    kept = ("loss", "accuracy", "contrastive_accuracy", "val_accuracy")
    for line, same in zip(folder.metrics(), other.metrics(), strict=True):
        assert [line[key] for key in kept] == [same[key] for key in kept]


def test_sigterm_while_the_last_model_is_written_is_not_swallowed(
    finished, tmp_path, monkeypatch
):
    folder, config = finished
    original = stage_module.save_model

    def interrupted(model, path):
        if "finetune" in str(path):
            os.kill(os.getpid(), signal.SIGTERM)
        original(model, path)

    monkeypatch.setattr(stage_module, "save_model", interrupted)
    with pytest.raises(SystemExit) as stopped:
        run(config, tmp_path)
    assert stopped.value.code == 143
    monkeypatch.undo()
    other = run(config, tmp_path)
    for one, same in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_closed_pipe_does_not_cost_the_epoch(finished, tmp_path, monkeypatch):
    folder, config = finished

    def closed(self):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(stage_module.Progress, "print_epoch", closed)
    with pytest.raises(BrokenPipeError):
        run(config, tmp_path)
    (checkpoint,) = (tmp_path / "pretrain").iterdir()
    assert checkpoint.name == "checkpoint-00001-0000000.npz"
    assert [line["epoch"] for line in RunFolder(tmp_path).metrics()] == [1]
    monkeypatch.undo()
    other = run(config, tmp_path)
    assert [line["epoch"] for line in other.metrics()] == [1, 2, 1]
    for one, same in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_run_whose_checkpoints_are_unusable_keeps_its_metrics(finished, tmp_path):
    folder, config = finished
    shutil.copytree(folder.stage("pretrain"), tmp_path / "pretrain")
    shutil.copy(folder.metrics_file, tmp_path)
    stage_model = tmp_path / "pretrain/model.keras"
    whole = stage_model.read_bytes()
    stage_model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut short .* from its last checkpoint$"):
        run(config, tmp_path)
    stage_model.unlink()
    for checkpoint in (tmp_path / "pretrain").glob("*.npz"):
        checkpoint.write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"none of the checkpoints in .* can be used"):
        run(config, tmp_path)
    assert RunFolder(tmp_path).metrics() == folder.metrics()


def test_checkpoints_are_also_made_within_an_epoch(small_config, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        stage_module.TrainingState,
        "save",
        lambda self, position: saved.append(position),
    )
    run(small_config(checkpoint_steps=2, pretrain_epochs=0), tmp_path)
    # 180 images in batches of 32: 5 steps.
    assert [(p.epoch, p.step) for p in saved] == [(0, 2), (0, 4), (1, 0)]


def test_what_a_killed_process_left_half_written_is_removed(finished, tmp_path):
    _, config = finished
    folder = RunFolder(tmp_path)
    for path in ("pretrain/.making-7-model.keras", ".making-7-config.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"half")
    folder.begin(config)
    assert list(tmp_path.rglob(".making-*")) == []


@pytest.mark.parametrize(("found", "warned"), [(2.0, False), (3.4, False), (4.0, True)])
def test_an_epoch_worse_than_guessing_is_said_to_diverge(capsys, found, warned):
    metrics = {"cross_entropy": found}
    warn_of_divergence("finetune", 2, metrics, 10)
    line = capsys.readouterr().err
    assert ("finetune diverges: cross-entropy is 4 in epoch 2" in line) == warned
    assert bool(line) == warned


def test_a_run_that_diverges_says_so_within_an_epoch(small_config, tmp_path, capsys):
    config = small_config(
        pretrain_epochs=0,
        finetune_epochs=1,
        finetune_learning_rate=30.0,
        finetune_warmup_epochs=0.0,
    )
    run(config, tmp_path)
    assert "warning: finetune diverges" in capsys.readouterr().err


def test_nonfinite_loss_stops_the_run_and_names_the_part(small_config, tmp_path):
    config = small_config(
        pretrain_epochs=0,
        finetune_learning_rate=1e30,
        finetune_warmup_epochs=0.0,
        finetune_epochs=3,
    )
    with pytest.raises(RunError, match=r"no longer finite") as error:
        run(config, tmp_path)
    assert "\n" not in str(error.value)
    assert not RunFolder(tmp_path).model_file.exists()


def test_only_the_broken_part_is_named():
    metrics = {"loss": math.nan, "cross_entropy": 1.0, "supcon": math.nan}
    with pytest.raises(RunError, match="the supcon loss of pretrain") as error:
        refuse_nonfinite(
            "pretrain",
            Position(0, 3),
            metrics,
            {"cross_entropy": 1.0, "supcon": 1.0},
            Path("R/pretrain"),
        )
    assert "epoch 1, step 4" in str(error.value)


def test_another_value_that_changes_weights_is_refused(finished, small_config):
    folder, config = finished
    changed = type(config).from_flag_values(
        {**config.flag_values(), "temperature": 0.2, "epsilons": (3.0,)}
    )
    with pytest.raises(UserError, match=r"--temperature was 0\.1 .* Received: 0\.2"):
        folder.begin(changed)


def test_other_attacks_and_data_folders_are_not_refused(finished):
    folder, config = finished
    changed = type(config).from_flag_values(
        {**config.flag_values(), "epsilons": (3.0,), "data_dir": "elsewhere"}
    )
    folder.begin(changed)
    folder.begin(config)


def test_init_from_starts_at_the_pretrained_weights(finished, tmp_path, small_config):
    folder, config = finished
    values = {
        **config.flag_values(),
        "init_from": str(folder.path),
        "pretrain_epochs": 0,
    }
    other = run(type(config).from_flag_values(values), tmp_path)
    # The second stage of the other run, from the same weights in the same order.
    for one, same in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, same)
    # Where they came from is kept, whatever becomes of the first run.
    assert (tmp_path / "init_from.json").is_file()
    begun = history_of(other, other.config())["init_from"]
    assert (begun["run"], list(begun["recipe"])) == (str(folder.path), ["pretrain"])


def test_init_from_another_width_is_refused(finished, tmp_path):
    folder, config = finished
    values = {**config.flag_values(), "init_from": str(folder.path), "width": 8}
    with pytest.raises(UserError, match=r"--init_from=.* holds another network"):
        run(type(config).from_flag_values(values), tmp_path)


def test_init_from_an_empty_folder_is_refused(tmp_path, small_config):
    config = small_config(init_from=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="--init_from must be a run folder"):
        run(config, tmp_path / "run")


def test_warmup_longer_than_the_stage_is_cut_with_a_line(
    small_config, tmp_path, capsys
):
    run(small_config(pretrain_epochs=0, finetune_warmup_epochs=5.0), tmp_path)
    assert "--finetune_warmup_epochs=5 is cut" in capsys.readouterr().out


def test_frozen_encoder_trains_only_the_classifier(small_config, tmp_path):
    config = small_config(
        finetune_freeze_encoder=True, finetune_margin_weight=0.0, pretrain_epochs=1
    )
    folder = run(config, tmp_path)
    before = load_model(folder.stage_model_file("pretrain"))
    after = load_model(folder.model_file)
    for one, same in zip(
        before.encoder.get_weights(), after.encoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(before.classifier.kernel, after.classifier.kernel)


def test_json_log_is_one_object_an_epoch(small_config, tmp_path, capsys):
    run(small_config(log_format="json", pretrain_epochs=0), tmp_path)
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("{")]
    assert [json.loads(x)["epoch"] for x in lines] == [1]


def steps_in_tensorboard(folder):
    """Of each scalar: the steps that it has a value for."""
    steps = collections.defaultdict(list)
    for path in folder.tensorboard.rglob("events.out*"):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                steps[path.parent.name, value.tag].append(event.step)
    return {name: sorted(found) for name, found in steps.items()}


def test_an_epoch_that_is_run_again_is_written_once(
    finished, tmp_path, small_config, monkeypatch
):
    """The process ends between the epoch's line and its checkpoint."""
    whole, config = finished
    save, ended = TrainingState.save, []

    def killed(self, position):
        if position == Position(2) and not ended:
            ended.append(position)
            raise KeyboardInterrupt
        save(self, position)

    monkeypatch.setattr(TrainingState, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path)
    assert [line["epoch"] for line in RunFolder(tmp_path).metrics()] == [1, 2]
    again = run(config, tmp_path)
    assert [line["epoch"] for line in again.metrics()] == [1, 2, 1]
    steps = steps_in_tensorboard(again)
    assert steps == steps_in_tensorboard(whole)
    assert len(steps["pretrain", "epoch/loss"]) == 2
