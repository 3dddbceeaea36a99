"""What the recipe with an adversary promises, with the network that it trains."""

from pathlib import Path

import keras
import pytest
import tensorflow as tf

from supcon_tf.attacks import PGD, Target
from supcon_tf.config import Config
from supcon_tf.data import load
from supcon_tf.distribution.workers import Workers
from supcon_tf.models import load_model
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.training.run import train
from train import parse_flags

FLAGS = Path(__file__).parents[2] / "flags"


@pytest.mark.slow
def test_the_robust_recipe_withstands_what_the_plain_one_does_not(tmp_path):
    """After a third of the epochs."""
    accuracies = {}
    for name in ("digits", "digits_robust"):
        recipe, _ = parse_flags(["train.py", f"--flagfile={FLAGS / name}.flags"])
        config = Config.from_flag_values(
            {
                **recipe.flag_values(),
                "pretrain_epochs": 3,
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
