"""The whole chain of what made a model's weights, in its report and its card."""

import json

import pytest

from supcon_tf.config import Config
from supcon_tf.export.model_card import markdown, model_card
from supcon_tf.runs.history import (
    history_lines,
    history_of,
    history_sentence,
    record_origin,
)
from supcon_tf.runs.run_folder import RunFolder


@pytest.fixture
def write_run(tmp_path):
    """A run folder that looks trained; its path."""

    def write(name, **flags):
        config = Config.from_flag_values({"dataset": "digits", **flags})
        folder = RunFolder(tmp_path / name)
        folder.begin(config)
        record_origin(folder, config)
        for stage, _ in config.stages():
            folder.stage(stage).mkdir()
            folder.stage_model_file(stage).touch()
        folder.model_file.touch()
        return folder, config

    return write


@pytest.fixture
def chain(write_run):
    """A linear classifier on the encoder of a contrastive run, that began elsewhere."""
    first, _ = write_run("first", pretrain_epochs=3, finetune_epochs=0)
    second, _ = write_run(
        "second",
        init_from=str(first.path),
        pretrain_epochs=100,
        pretrain_cross_entropy_weight=0.0,
        pretrain_views=2,
        # What came after the pretrain stage has no part in what is taken from there.
        finetune_epochs=7,
    )
    return write_run(
        "third",
        init_from=str(second.path),
        pretrain_epochs=0,
        finetune_epochs=5,
        finetune_margin_weight=0.0,
        finetune_freeze_encoder=True,
    )


SENTENCE = (
    "pretrain of {0}/first on digits (3 epochs: 1 cross_entropy + 1 supcon), "
    "pretrain of {0}/second on digits (100 epochs: 1 supcon, 2 views), "
    "finetune (5 epochs: 1 cross_entropy, encoder frozen)"
)


def test_a_contrastive_encoder_of_another_run_is_told(chain, tmp_path):
    folder, config = chain
    history = history_of(folder, config)
    assert history_sentence(history) == SENTENCE.format(tmp_path)
    assert len(history_lines(history)) == 3
    card = model_card(folder, config, "final", ["a"], (32, 32, 3), True)
    assert card.init_from["recipe"]["pretrain"]["loss_weights"] == {"supcon": 1.0}
    assert card.init_from["init_from"]["recipe"]["pretrain"]["epochs"] == 3
    for line in history_lines(history):
        assert f"- {line}\n" in markdown(card)


def test_the_chain_is_kept_as_it_was_when_the_weights_were_taken(chain, tmp_path):
    folder, config = chain
    RunFolder(tmp_path / "second").config_file.unlink()
    record_origin(folder, config)
    assert history_sentence(history_of(folder, config)) == SENTENCE.format(tmp_path)


def test_a_run_of_before_the_record_is_told_as_far_as_it_is_known(chain, tmp_path):
    folder, config = chain
    (folder.path / "init_from.json").unlink()
    assert history_sentence(history_of(folder, config)) == SENTENCE.format(tmp_path)
    RunFolder(tmp_path / "second").config_file.unlink()
    history = history_of(folder, config)
    assert f"training of {tmp_path}/second (not known any more), fine" in (
        history_sentence(history)
    )


def test_folders_that_begin_from_each_other_have_an_end(write_run, tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    write_run("one")
    write_run("two", init_from=one)
    config = Config.from_flag_values({"init_from": two})
    RunFolder(one).config_file.write_text(config.to_json())
    for path in (one, two):
        RunFolder(path).path.joinpath("init_from.json").unlink(missing_ok=True)
    history = history_of(RunFolder(one), config)
    assert json.dumps(history).count("not known") == 0
    assert history_sentence(history).count("pretrain") == 3


def test_a_record_of_an_attempt_that_trained_nothing_is_replaced(write_run, tmp_path):
    write_run("first", pretrain_epochs=3)
    write_run("second", pretrain_epochs=4)
    folder = RunFolder(tmp_path / "new")
    for name, epochs in (("first", 3), ("second", 4)):
        config = Config.from_flag_values({"init_from": str(tmp_path / name)})
        folder.begin(config)
        record_origin(folder, config)
        begun = history_of(folder, config)["init_from"]
        assert begun["recipe"]["pretrain"]["epochs"] == epochs


def test_no_learning_rate_is_told_that_was_never_used(tmp_path):
    flags = {
        "pretrain_learning_rate": 0.3,
        "pretrain_schedule": "one_cycle",
        "finetune_learning_rate": 0.7,
        "finetune_schedule": "continue",
    }
    config = Config.from_flag_values(flags)
    text = " ".join(history_lines(history_of(RunFolder(tmp_path), config)))
    assert text.count("learning rate up to 0.3 (one_cycle over both stages)") == 2
    assert "0.7" not in text
    alone = Config.from_flag_values({**flags, "pretrain_epochs": 0})
    (line,) = history_lines(history_of(RunFolder(tmp_path), alone))
    assert "learning rate up to 0.3 (one_cycle)" in line
