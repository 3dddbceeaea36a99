"""What a grid says, and what its runs are called."""

import pytest

from supcon_tf.errors import UserError
from supcon_tf.sweep.grid import combinations, parse_grid
from supcon_tf.sweep.names import LONGEST, run_name


def test_commas_separate_values_unless_semicolons_do():
    for text, values in (
        ("seed=0,1, 2", ("0", "1", "2")),
        ("epsilons=1,2;4,8", ("1,2", "4,8")),
        ("epsilons=1,2;", ("1,2",)),
        ("init_from=,runs/a", ("", "runs/a")),
        ("data_dir=a=b", ("a=b",)),
    ):
        assert parse_grid([text])[0].values == values


def test_the_last_axis_varies_fastest():
    axes = parse_grid(["seed=0,1", "width=4,8"])
    assert [tuple(values.values()) for values in combinations(axes)] == [
        ("0", "4"),
        ("0", "8"),
        ("1", "4"),
        ("1", "8"),
    ]


def test_a_grid_that_is_none_is_refused_in_words():
    for texts, named in (
        ([], "--grid=FLAG=V1,V2,... must say what the runs differ by"),
        (["sed=0,1"], "Did you mean seed? Received: 'sed=0,1'"),
        (["output=a,b"], "of a flag that python train.py --help lists"),
        (["run_dir=a,b"], "of a flag that python train.py --help lists"),
        (["=0,1"], "of a flag that python train.py --help lists"),
        (["seed="], "--grid=seed=V1,V2,... must have values"),
        (["seed"], "--grid=seed=V1,V2,... must have values"),
        (["seed=,;"], "--grid=seed=V1,V2,... must have values"),
        (["seed=0", "width=4", "seed=1"], "seed in 'seed=0' and in 'seed=1'"),
    ):
        with pytest.raises(UserError) as refusal:
            parse_grid(texts)
        assert named in str(refusal.value)


def test_a_name_says_what_differs_in_the_order_of_the_flags():
    for differing, name in (
        ({"finetune_margin_weight": 1.0, "seed": 0}, "seed=0,finetune_margin_weight=1"),
        ({"temperature": 0.001}, "temperature=0.001"),
        ({"weight_decay": 1e-05}, "weight_decay=1e-05"),
        ({"deterministic": False}, "deterministic=false"),
        ({"epsilons": (1.0, 2.5)}, "epsilons=1+2.5"),
        ({"flagfile": "flags/cifar100_at.flags"}, "flagfile=cifar100_at"),
        ({"init_from": ""}, "init_from="),
    ):
        assert run_name(differing) == name


def test_names_of_values_that_differ_differ_in_safe_characters():
    texts = ["runs/a", "runs-a", "Runs/a", "runs a", "../a", "a" * 300, "b" * 300]
    texts += ["a" * 299 + "b", "é", "\udce9", "a,width=4", "a/b=c;d'\"$(e)\n"]
    names = [run_name({"init_from": text, "seed": 0}) for text in texts]
    assert len({name.casefold() for name in names}) == len(texts)
    for name in names:
        assert len(name.encode()) <= LONGEST
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._+-=,")
