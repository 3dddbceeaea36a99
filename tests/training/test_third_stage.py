"""A third stage is one field of a config: trained, kept and judged as others are."""

from dataclasses import dataclass

import pytest
import tensorflow as tf

from supcon_tf.config import Config, StageConfig
from supcon_tf.data import load
from supcon_tf.distribution.workers import Workers
from supcon_tf.evaluation.run import evaluate_run
from supcon_tf.models import load_model
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.training.run import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow")]


@dataclass(frozen=True)
class ThreeStages(Config):
    """The usual two, then a support vector machine on the fixed features."""

    machine: StageConfig = StageConfig(  # noqa: RUF009
        epochs=0,
        learning_rate=0.01,
        augmentation="none",
        cross_entropy_weight=0.0,
        hinge_weight=1.0,
        freeze_encoder=True,
    )


@pytest.fixture(scope="module")
def finished(small_config, tmp_path_factory):
    """A run of the first stage and the third, its data and its config."""
    usual = small_config(limit_train=64, width=2, pretrain_epochs=1, finetune_epochs=0)
    config = ThreeStages.from_flag_values({**usual.flag_values(), "machine_epochs": 1})
    data = load(config.data)
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "three")
    train(config, data, folder, Workers(tf.distribute.get_strategy()))
    return folder, data, config


def test_a_third_stage_is_trained_as_its_settings_say(finished):
    folder, _, _ = finished
    lines = folder.metrics()
    assert [line["stage"] for line in lines] == ["pretrain", "machine"]
    assert lines[-1]["weights"] == {"hinge": 1.0}
    assert lines[-1]["learning_rate"] == pytest.approx(0.01)
    before, after = (
        load_model(folder.stage_model_file(name)) for name in ("pretrain", "machine")
    )
    for one, same in zip(before.encoder.weights, after.encoder.weights, strict=True):
        assert (one.numpy() == same.numpy()).all()
    assert (before.classifier.kernel.numpy() != after.classifier.kernel.numpy()).any()


def test_a_third_stage_goes_on_where_tensorboards_axis_was(finished):
    folder, data, _ = finished
    (events,) = (folder.tensorboard / "machine").glob("events*")
    steps = {event.step for event in tf.compat.v1.train.summary_iterator(str(events))}
    assert max(steps) == 2 * (len(data.train) // 32)


def test_a_third_stage_makes_the_final_model_of_the_report(finished):
    folder, data, config = finished
    assert folder.model_file.read_bytes() == (
        folder.stage_model_file("machine").read_bytes()
    )
    result = evaluate_run(folder, config, data)
    assert [model.stage for model in result.models] == ["pretrain", "final"]
    report = folder.report_file.read_text()
    assert "machine: 1 epoch: 1 hinge, encoder frozen" in report
