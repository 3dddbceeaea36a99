"""Stages are data: a config with one more of them is a run with one more of them."""

import json
from dataclasses import dataclass

import pytest

from supcon_tf.config import FINAL, STAGES, Config, StageConfig
from supcon_tf.config.config import SharedSchedule
from supcon_tf.errors import UserError
from supcon_tf.runs.history import history_of
from supcon_tf.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Polished(Config):
    polish: StageConfig = StageConfig(epochs=0, hinge_weight=1.0)  # noqa: RUF009


def polished(**flags):
    return Polished.from_flag_values({"polish_epochs": 2, **flags})


def test_the_stages_are_the_fields_of_a_config_that_describe_one():
    assert Config.stage_names() == STAGES == ("pretrain", "finetune")
    assert Polished.stage_names() == ("pretrain", "finetune", "polish")
    assert [name for name, _ in polished().stages()] == list(Polished.stage_names())
    assert [name for name, _ in polished(finetune_epochs=0).stages()] == [
        "pretrain",
        "polish",
    ]


def test_a_run_of_before_a_stage_was_added_has_none_of_it():
    before = Polished.from_json(Config().to_json())
    assert [name for name, _ in before.stages()] == ["pretrain", "finetune"]
    assert before.models() == Config().models()
    assert before.schedule_of("finetune") == Config().schedule_of("finetune")


def test_a_new_stage_has_flags_of_its_own():
    config = polished(polish_epochs=7, polish_augmentation="none")
    assert (config.polish.epochs, config.polish.augmentation) == (7, "none")
    assert config.polish.hinge_weight == 1.0
    theirs = {n for n in polished().flag_values() if n.startswith("polish_")}
    wanted = {n for n in Config().flag_values() if n.startswith("finetune_")}
    assert theirs == {n.replace("finetune_", "polish_") for n in wanted}
    assert Polished.from_json(config.to_json()) == config
    assert polished().changed_weight_fields(config) == [
        "polish_epochs",
        "polish_augmentation",
    ]


def test_a_mistake_in_a_new_stage_names_its_flag():
    for flags, message in [
        ({"polish_views": 3}, "--polish_views must be at least 1 and at most 2. "),
        (
            {f"{name}_epochs": 0 for name in Polished.stage_names()},
            "--pretrain_epochs, --finetune_epochs or --polish_epochs must be above 0. "
            "Received: 0 and 0 and 0",
        ),
        (
            {"polish_freeze_encoder": True, "polish_margin_weight": 2.0},
            "--polish_freeze_encoder leaves --polish_margin_weight nothing to train",
        ),
        (
            {
                "polish_adversary": "pgd",
                "polish_cross_entropy_weight": 0.0,
                "polish_hinge_weight": 0.0,
                "polish_margin_weight": 1.0,
            },
            "--polish_adversary follows the classifier, which needs "
            "--polish_cross_entropy_weight or --polish_hinge_weight above 0. "
            "Received: pgd and both 0",
        ),
    ]:
        with pytest.raises(UserError) as error:
            polished(**flags)
        assert str(error.value).startswith(message)


def test_each_model_is_of_a_stage_and_the_last_one_is_final():
    assert Config.model_names() == (FINAL, "pretrain")
    assert Polished.model_names() == (FINAL, "pretrain", "finetune")
    for config, models in [
        (Config(), {"pretrain": "pretrain", FINAL: "finetune"}),
        (Config.from_flag_values({"finetune_epochs": 0}), {FINAL: "pretrain"}),
        (Config.from_flag_values({"pretrain_epochs": 0}), {FINAL: "finetune"}),
        (
            polished(),
            {"pretrain": "pretrain", "finetune": "finetune", FINAL: "polish"},
        ),
        (polished(polish_epochs=0), {"pretrain": "pretrain", FINAL: "finetune"}),
    ]:
        assert config.models() == models
        assert list(config.models()) == [*models]


def test_the_epochs_before_a_stage_are_those_of_all_earlier_ones():
    config = polished(pretrain_epochs=3, finetune_epochs=4)
    before = [config.epochs_before(name) for name in Polished.stage_names()]
    assert before == [0, 3, 7]


def test_a_stage_may_continue_the_schedule_of_the_one_before():
    epochs = {"pretrain_epochs": 3, "finetune_epochs": 4}
    for going_on, expected in [
        ((), [("pretrain", 0, 3, 1), ("finetune", 0, 4, 1), ("polish", 0, 2, 1)]),
        (
            ("finetune",),
            [("pretrain", 0, 7, 2), ("pretrain", 3, 7, 2), ("polish", 0, 2, 1)],
        ),
        (
            ("polish",),
            [("pretrain", 0, 3, 1), ("finetune", 0, 6, 2), ("finetune", 4, 6, 2)],
        ),
        (
            ("finetune", "polish"),
            [("pretrain", 0, 9, 3), ("pretrain", 3, 9, 3), ("pretrain", 7, 9, 3)],
        ),
    ]:
        flags = {f"{name}_schedule": "continue" for name in going_on}
        config = polished(**epochs, **flags)
        found = [config.schedule_of(name) for name in Polished.stage_names()]
        assert found == [SharedSchedule(*values) for values in expected]


def test_a_skipped_stage_has_no_share_of_a_schedule_but_may_lead_it():
    config = polished(
        pretrain_epochs=0, finetune_epochs=4, finetune_schedule="continue"
    )
    assert config.schedule_of("finetune") == SharedSchedule("pretrain", 0, 4, 1)


def test_a_classifier_is_trained_once_a_stage_has_a_loss_on_its_logits():
    contrastive = {"cross_entropy_weight": 0.0, "supcon_weight": 1.0}
    config = polished(
        **{
            f"{stage}_{name}": value
            for stage in ("pretrain", "finetune")
            for name, value in contrastive.items()
        }
    )
    trained = {name: config.classifier_trained(name) for name in config.models()}
    assert trained == {"pretrain": False, "finetune": False, FINAL: True}
    # TensorBoard's projector calls the last model by its stage.
    assert config.classifier_trained("polish")


def test_a_run_folder_and_the_history_of_a_model_know_every_stage(tmp_path):
    config = polished(finetune_schedule="continue", polish_schedule="continue")
    folder = RunFolder(tmp_path / "run")
    folder.begin(config)
    folder.append_metrics({"stage": "polish", "epoch": 1})
    folder.check(config)
    with pytest.raises(UserError, match="--polish_epochs was 2 when the run"):
        folder.check(
            Polished.from_flag_values({**config.flag_values(), "polish_epochs": 3})
        )
    assert folder.model(FINAL) == folder.path / "model.keras"
    assert folder.model("finetune") == folder.path / "finetune" / "model.keras"
    assert json.loads(folder.config_file.read_text())["polish"]["hinge_weight"] == 1.0
    recipes = {name: history_of(folder, config, name)["recipe"] for name in STAGES}
    assert [[*recipe] for recipe in recipes.values()] == [
        ["pretrain"],
        ["pretrain", "finetune"],
    ]
    recipe = history_of(folder, config)["recipe"]
    assert [*recipe] == ["pretrain", "finetune", "polish"]
    assert {part["schedule"] for part in recipe.values()} == {"cosine over 3 stages"}
