"""What the recipes with an adversary promise, with the network that they train."""

from pathlib import Path

import keras
import pytest
import tensorflow as tf

from supcon_tf.attacks import PGD, Target
from supcon_tf.commands.flags import config_from, define_config, new_flags, parse
from supcon_tf.config import Config
from supcon_tf.data import load
from supcon_tf.distribution.workers import Workers
from supcon_tf.models import load_model
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.training.run import train


@pytest.mark.slow
def test_the_robust_recipe_withstands_what_the_plain_one_does_not(tmp_path):
    """After half of the epochs."""
    accuracies = {}
    for name in ("digits", "digits_robust"):
        config = Config.from_flag_values(
            {
                **recipe(name),
                "pretrain_epochs": 5,
                "finetune_epochs": 1,
                "projector_images": 0,
            }
        )
        keras.utils.set_random_seed(config.seed)
        folder, data = RunFolder(tmp_path / name), load(config.data)
        train(config, data, folder, Workers(tf.distribute.get_strategy()))
        split = data.test
        images, labels = split.pixels(slice(200)), split.labels[:200]
        target = Target(load_model(folder.model_file), images)
        attack = PGD(epsilon=16 / 255, steps=20)
        accuracies[name] = attack.survivors(target, images, labels).mean()
    assert accuracies["digits_robust"] > accuracies["digits"] + 0.25


def recipe(name):
    """The flags of a shipped recipe."""
    values = new_flags()
    define_config(values)
    file = Path(__file__).parents[2] / "flags" / f"{name}.flags"
    parse(values, ["train.py", f"--flagfile={file}"], "usage")
    return config_from(values).flag_values()


def test_recipes_differ_by_what_they_say():
    def difference(one, other):
        one, other = recipe(one), recipe(other)
        return {name for name in one if one[name] != other[name]}

    assert difference("cifar100_robust", "cifar100_at") == {
        "pretrain_supcon_weight",
        "finetune_margin_weight",
    }
    assert difference("digits_robust", "digits") == {
        "pretrain_adversary",
        "finetune_adversary",
        "adversary_epsilon",
    }
