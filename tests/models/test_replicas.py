"""A step on several replicas equals the step on one: proven, not assumed."""

import pickle

import numpy as np
import pytest

pytestmark = pytest.mark.slow

OBJECTIVES = ("cross_entropy", "supcon", "margin", "hinge", "pretrain", "finetune")


@pytest.fixture(scope="module")
def outcomes(run_module, tmp_path_factory):
    """`outcomes(replicas)` is what `replicas.py` found in a process of its own."""

    def found(replicas):
        file = tmp_path_factory.mktemp("replicas") / "outcomes.pickle"
        done = run_module("tests.models.replicas", file, replicas)
        assert done.returncode == 0, done.stderr
        return pickle.loads(file.read_bytes())

    return found


@pytest.fixture(scope="module")
def on_two(outcomes):
    """The outcomes of 1 and 2 replicas."""
    return outcomes(2)


@pytest.fixture(scope="module")
def on_four(outcomes):
    return outcomes(4)


def assert_equal(one, other, tolerance, metrics=()):
    """Metrics of each step, gradient of the first, weights and statistics after all."""
    for step, same in zip(one["metrics"], other["metrics"], strict=True):
        # A replica looks for the nearest neighbour among its own samples.
        for name in set(metrics or step) - {"contrastive_accuracy"}:
            assert step[name] == pytest.approx(same[name], abs=tolerance), name
    for part in ("gradient", "variables"):
        for value, same in zip(one[part], other[part], strict=True):
            np.testing.assert_allclose(value, same, rtol=0, atol=tolerance)
    assert max(np.abs(g).max() for g in one["gradient"]) > 0.01


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_five_steps_on_two_replicas_equal_those_on_one(on_two, objective, views):
    found = on_two["resnet"]
    assert_equal(found[1, views, objective], found[2, views, objective], 1e-8)


def test_five_steps_on_attacked_images_equal_on_two_replicas(on_two):
    one, two = on_two["attacked"][1], on_two["attacked"][2]
    assert {"supcon", "margin", "abnormal"} <= one["metrics"][0].keys()
    assert_equal(one, two, 1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_five_steps_on_four_replicas_equal_those_on_one(on_two, on_four, objective):
    one = on_two["resnet"][1, 2, objective]
    assert_equal(one, on_four["resnet"][4, 2, objective], 1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_float32_step_equals_to_rounding_where_the_network_is_shallow(
    on_two, objective
):
    found = on_two["layers"]
    assert_equal(found[1, objective], found[2, objective], 1e-5)


@pytest.mark.parametrize("objective", ["supcon", "margin", "pretrain", "finetune"])
def test_without_the_gather_a_step_differs(on_two, objective):
    one, alone = on_two["layers"][1, objective], on_two["alone"][objective]
    assert abs(one["metrics"][0]["loss"] - alone["metrics"][0]["loss"]) > 0.001
    pairs = zip(one["gradient"], alone["gradient"], strict=True)
    assert max(np.abs(g - h).max() for g, h in pairs) > 0.01


@pytest.mark.parametrize("objective", ["cross_entropy", "hinge"])
def test_losses_that_compare_no_pairs_need_no_gather(on_two, objective):
    one, alone = on_two["layers"][1, objective], on_two["alone"][objective]
    assert_equal(one, alone, 1e-5, metrics=("loss", objective))


def assert_plain_losses_are_means_over_replicas(found, replicas):
    for name in ("cross_entropy", "keras", "supcon", "margin", "hinge"):
        pairs = zip(
            found[replicas, name], found["expected", replicas, name], strict=True
        )
        for value, expected in pairs:
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    # That of Keras, which compares no pairs, is the same on any number of replicas.
    for value, expected in zip(
        found[replicas, "cross_entropy"], found[replicas, "keras"], strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_a_plain_keras_loss_is_the_mean_over_one_or_two_replicas(on_two):
    for replicas in (1, 2):
        assert_plain_losses_are_means_over_replicas(on_two["plain"], replicas)


def test_a_plain_keras_loss_is_the_mean_over_four_replicas(on_four):
    assert_plain_losses_are_means_over_replicas(on_four["plain"], 4)


@pytest.mark.parametrize("inside", [True, False], ids=["compile", "first step"])
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("jit_compile", "jit_compile must be False with more than one replica"),
        ("steps_per_execution", "steps_per_execution must be 1 with more than one"),
        ("gradient_accumulation_steps", "gradient_accumulation_steps must be None"),
    ],
)
def test_what_replicas_cannot_do_is_refused_by_name(on_two, argument, message, inside):
    kind, text = on_two["refusals"][argument, inside]
    assert kind == "ValueError"
    assert message in text


def test_replicas_with_unequal_shares_are_refused(on_two):
    kind, text = on_two["refusals"]["an uneven batch", True]
    assert kind == "InvalidArgumentError"
    assert "all replicas must hold equally many images" in text


def test_a_label_that_is_none_on_one_replica_stops_both(on_two):
    kind, text = on_two["refusals"]["no label", True]
    assert kind == "InvalidArgumentError"
    assert "y_true must be integers from 0" in text


def test_fit_works_on_two_replicas(on_two):
    assert on_two["refusals"]["nothing", True] is None
    assert on_two["refusals"]["nothing", False] is None


def test_a_run_that_was_stopped_has_the_metrics_of_a_whole_one(on_two):
    """To the last bit: each replica goes on with its own part of the sums."""
    (whole, state), (again, same) = on_two["resumed"]
    assert again == whole
    for value, other in zip(state, same, strict=True):
        np.testing.assert_array_equal(value, other)


def test_a_step_that_overflows_on_the_second_replica_is_skipped_on_both(on_two):
    (before, after, scales), (_, later, same_scales) = on_two["overflow"]
    assert scales == same_scales == [2.0**14, 2.0**14]
    for value, same in zip(before, after, strict=True):
        np.testing.assert_array_equal(value, same)
    assert all(np.isfinite(value).all() for value in later)
    assert not np.array_equal(after[0], later[0])
