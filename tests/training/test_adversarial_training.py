import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.data import load
from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import UserError
from supcon_tf.models import load_model
from supcon_tf.runs.history import history_lines, history_of
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.training import held_out
from supcon_tf.training.run import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow")]

FLAGS = {
    "pretrain_epochs": 0,
    "finetune_epochs": 3,
    "finetune_adversary": "nfgsm",
    "finetune_supcon_weight": 0.5,
    "finetune_label_smoothing": 0.2,
    "adversary_epsilon": 16.0,
    "ema_decay": 0.9,
}


def run(config, path):
    keras.utils.set_random_seed(config.seed)
    folder, data = RunFolder(path), load(config.data)
    train(config, data, folder, Workers(tf.distribute.get_strategy()))
    return folder


def lines(folder):
    return [json.loads(x) for x in folder.metrics_file.read_text().splitlines()]


@pytest.fixture
def with_accuracies(monkeypatch):
    """Lets each epoch of a run have a robust accuracy of the test's choice."""

    def set_to(accuracies):
        left = iter(accuracies)
        monkeypatch.setattr(
            held_out,
            "robust_accuracy",
            lambda *_: lambda after_batch: next(left),
        )

    return set_to


def test_epochs_tell_robust_accuracy_and_abnormal_images(
    small_config, tmp_path, capsys
):
    folder = run(small_config(**FLAGS), tmp_path)
    for line in lines(folder):
        assert 0 <= line["robust_accuracy"] <= line["val_accuracy"] + 0.1
        assert 0 <= line["abnormal"] <= 1
    assert f"under PGD {lines(folder)[0]['robust_accuracy']:.1%}" in (
        capsys.readouterr().out
    )


def test_the_model_of_the_best_epoch_is_kept(small_config, tmp_path, with_accuracies):
    """Stopped after that epoch, a run has the same model."""
    config = small_config(**FLAGS)
    with_accuracies([0.5, 0.5, 0.4])
    best = run(config, tmp_path / "best")
    assert len(lines(best)) == 3
    (line,) = history_lines(history_of(best, config))
    assert (
        "on images of nfgsm at 16/255, the model of epoch 2 (50.0% under PGD)"
    ) in line
    assert "label smoothing 0.2, weights averaged with decay 0.9" in line
    with_accuracies([0.2, 0.5, 0.1])
    collapsed = run(config, tmp_path / "collapsed")
    for one, other in zip(
        load_model(best.model_file).get_weights(),
        load_model(collapsed.model_file).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    with_accuracies([0.2, 0.3, 0.4])
    last = run(config, tmp_path / "last")
    weights = load_model(last.model_file).get_weights()
    differences = [
        np.abs(one - other).max()
        for one, other in zip(
            load_model(best.model_file).get_weights(), weights, strict=True
        )
    ]
    assert max(differences) > 0


def test_a_collapse_ends_the_stage_and_the_run_goes_on(
    small_config, tmp_path, with_accuracies, capsys
):
    flags = {**FLAGS, "pretrain_epochs": 3, "pretrain_adversary": "nfgsm"}
    with_accuracies([0.5, 0.2, 0.3, 0.3, 0.3])
    folder = run(small_config(**flags), tmp_path)
    epochs = [(line["stage"], line["epoch"]) for line in lines(folder)]
    assert epochs == [
        ("pretrain", 1),
        ("pretrain", 2),
        *(("finetune", epoch) for epoch in (1, 2, 3)),
    ]
    (warning,) = capsys.readouterr().err.splitlines()
    for words in (
        "pretrain has overfitted to its own attack (catastrophic overfitting)",
        "20.0% in epoch 2, after 50.0% in epoch 1",
        "--pretrain_adversary=pgd",
    ):
        assert words in warning


def test_without_an_adversary_the_average_is_the_model(small_config, tmp_path):
    """And it is neither the last weights nor the first ones."""
    flags = {**FLAGS, "finetune_adversary": "none", "finetune_epochs": 1}
    averaged = run(small_config(**flags), tmp_path / "averaged")
    plain = run(small_config(**flags | {"ema_decay": 0.0}), tmp_path / "plain")
    one, other = (load_model(f.model_file).get_weights() for f in (averaged, plain))
    assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) > 1e-3
    assert lines(averaged)[0]["loss"] == lines(plain)[0]["loss"]
    assert lines(averaged)[0]["val_cross_entropy"] != pytest.approx(
        lines(plain)[0]["val_cross_entropy"], rel=1e-6
    )


def test_adversaries_without_what_they_need_are_refused(small_config):
    for flags, words in (
        (
            {"finetune_cross_entropy_weight": 0.0},
            "--finetune_adversary follows the classifier",
        ),
        ({"adversary_epsilon": 0.0}, "--adversary_epsilon must be above 0"),
        ({"ema_decay": 1.0}, "--ema_decay must be at least 0 and below 1"),
        ({"finetune_adversary": "fgsm"}, "--finetune_adversary must be one of none"),
    ):
        with pytest.raises(UserError, match=words):
            small_config(**{**FLAGS, **flags})


def test_adversaries_without_validation_images_are_refused(small_config, tmp_path):
    config = small_config(**FLAGS, validation_share=0.0)
    with pytest.raises(UserError, match="--validation_share must be above 0"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
