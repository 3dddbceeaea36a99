"""Recipes are found by their name, wherever a command is given."""

import pytest

from supcon_tf.commands.flagfile import recipes_folder, with_flagfiles
from supcon_tf.errors import UserError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(name):
    return with_flagfiles([f"--flagfile={name}"])


def test_a_mere_name_that_is_no_file_is_that_of_a_recipe():
    for recipe in recipes_folder().glob("*.flags"):
        assert words_of(recipe.name) == words_of(recipe)
    assert "--dataset=digits" in words_of("digits.flags")


def test_recipes_name_each_other_without_a_folder():
    words = words_of("cifar100_robust.flags")
    assert "--dataset=cifar100" in words
    assert words.index("--ema_decay=0.998") < words.index(
        "--pretrain_supcon_weight=0.5"
    )


def test_a_flagfile_may_begin_with_a_recipe(elsewhere):
    (elsewhere / "mine").mkdir()
    (elsewhere / "mine" / "my.flags").write_text("--flagfile=digits.flags\n--width=2\n")
    assert words_of("mine/my.flags") == [*words_of("digits.flags"), "--width=2"]


def test_a_file_of_ones_own_comes_before_a_recipe(elsewhere):
    (elsewhere / "digits.flags").write_text("--seed=3\n")
    assert words_of("digits.flags") == ["--seed=3"]
    (elsewhere / "cifar100_ce.flags").write_text("--seed=4\n")
    # What the recipe says must not depend on where it is used.
    with pytest.raises(UserError, match="and is another beside the flagfile"):
        words_of("cifar100.flags")


def test_a_recipe_in_another_folder_is_not_found_but_pointed_out():
    for name in ("flags/digits.flags", "./digits.flags"):
        with pytest.raises(UserError) as error:
            words_of(name)
        assert str(error.value) == (
            f"--flagfile must be a readable file. Received: {name!r}; digits.flags is "
            "a recipe"
        )
    with pytest.raises(UserError, match=r"Received: 'digits'$"):
        words_of("digits")
