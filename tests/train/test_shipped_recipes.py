"""The flagfiles that are shipped."""

import itertools
from pathlib import Path

import pytest

import train
from supcon_tf.config import Config
from tests.train.tiny import REPOSITORY

RECIPES = sorted((REPOSITORY / "flags").glob("*.flags"))
# Of own images, so that one is for many data sets.
OF_FOLDERS = ("folder", "imagenet")


def recipe(name, monkeypatch):
    """Config and run folder of a shipped flagfile."""
    # Flagfiles name each other from the root of the repository.
    monkeypatch.chdir(REPOSITORY)
    words = ["--data_dir=images"] if name in OF_FOLDERS else []
    return train.parse_flags(["train.py", f"--flagfile=flags/{name}.flags", *words])


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


def test_recipes_with_an_adversary_differ_by_what_they_say(monkeypatch):
    def difference(*names):
        return differences(*(recipe(name, monkeypatch)[0] for name in names))

    assert difference("cifar100_robust", "cifar100_at") == {
        "pretrain_supcon_weight",
        "finetune_margin_weight",
    }
    assert difference("digits_robust", "digits") == {
        "pretrain_adversary",
        "finetune_adversary",
        "adversary_epsilon",
    }


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
