"""What every attack promises, as a table of attacks, norms and strengths."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import supcon_tf.attacks
from supcon_tf.attacks import APGD, FAB, FGSM, PGD, RandomNoise, Square, Transfer
from supcon_tf.errors import UserError

# name: (constructor, norms)
ATTACKS = {
    "fgsm": (FGSM, ("linf", "l2")),
    "fgsm_targeted": (lambda **k: FGSM(targeted=True, **k), ("linf", "l2")),
    "pgd": (lambda **k: PGD(steps=5, **k), ("linf", "l2")),
    "pgd_cw": (lambda **k: PGD(steps=5, loss="cw", **k), ("linf", "l2")),
    "pgd_dlr": (lambda **k: PGD(steps=5, loss="dlr", **k), ("linf", "l2")),
    "pgd_targeted": (
        lambda **k: PGD(steps=5, loss="cw", targeted=True, **k),
        ("linf", "l2"),
    ),
    "pgd_restarts": (lambda **k: PGD(steps=3, restarts=3, **k), ("linf", "l2")),
    "pgd_full": (lambda **k: PGD(steps=5, early_stop=False, **k), ("linf", "l2")),
    "noise": (lambda **k: RandomNoise(trials=3, **k), ("linf", "l2")),
    "square": (lambda **k: Square(queries=15, **k), ("linf", "l2")),
    "apgd": (lambda **k: APGD(steps=5, restarts=2, **k), ("linf", "l2")),
    "apgd_t": (lambda **k: APGD(steps=3, loss="dlr_targeted", **k), ("linf", "l2")),
    "fab": (lambda **k: FAB(steps=3, **k), ("linf", "l2")),
    "fab_untargeted": (
        lambda **k: FAB(steps=2, targets=None, restarts=2, **k),
        ("linf", "l2"),
    ),
}
ROWS = [
    pytest.param(make, {"epsilon": epsilon, "norm": norm}, id=f"{name}-{norm}")
    for name, (make, norms) in ATTACKS.items()
    for norm in norms
    for epsilon in [0.02 if norm == "linf" else 0.3]
]
table = pytest.mark.parametrize(("make", "strength"), ROWS)


def change(adversarial, images, norm):
    flat = (np.float64(adversarial) - images).reshape(len(images), -1)
    return np.linalg.norm(flat, ord=np.inf if norm == "linf" else 2, axis=1)


def test_public_names():
    assert set(supcon_tf.attacks.__all__) == {
        "FGSM",
        "PGD",
        "RandomNoise",
        "Square",
        "APGD",
        "AutoAttack",
        "FAB",
        "ProbabilityOutputError",
        "Target",
        "Transfer",
    }


@table
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    images=arrays(np.float32, (4, 8, 8, 3), elements=st.floats(0, 1, width=32)),
    scale=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
)
def test_images_stay_in_the_ball_and_in_range(make, strength, model, images, scale):
    strength = strength | {"epsilon": scale * strength["epsilon"]}
    adversarial = make(**strength)(model, images, np.arange(4)).numpy()
    assert adversarial.dtype == np.float32
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    # A float32 sum is off by up to half a unit in the last place, 6e-8 near 1.
    slack = 1e-7 if strength["norm"] == "linf" else 1e-6
    length = change(adversarial, images, strength["norm"])
    assert np.all(length <= strength["epsilon"] + slack)


@table
def test_the_same_seed_gives_the_same_bits(make, strength, model, data):
    first, second = (make(**strength)(model, *data, batch_size=40) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@table
def test_the_batch_size_does_not_matter(make, strength, model, data):
    images, labels = data[0][:24], data[1][:24]
    attack = make(**strength)
    whole = attack(model, images, labels)
    for batch_size in (1, 7):
        parts = attack(model, images, labels, batch_size=batch_size)
        np.testing.assert_allclose(parts, whole, atol=1e-6)


@table
def test_a_subset_with_its_indices_fares_as_in_the_whole(make, strength, model, data):
    images, labels = data
    attack = make(**strength)
    rows = np.array([3, 90, 41, 7])
    whole = attack(model, images, labels).numpy()
    part = attack(model, images[rows], labels[rows], indices=rows)
    np.testing.assert_allclose(part, whole[rows], atol=1e-6)


@table
def test_survivors_are_the_images_that_the_attack_fails_on(
    make, strength, model, data, predict
):
    images, labels = data
    attack = make(**strength)
    hit = predict(model, attack(model, images, labels)) == labels
    survived = attack.survivors(model, images, labels)
    np.testing.assert_array_equal(survived, ~hit if attack.targeted else hit)


@table
def test_parameters_are_json(make, strength):
    parameters = make(**strength).parameters()
    assert json.loads(json.dumps(parameters)) == parameters


@table
def test_tensors_do_as_well_as_arrays(make, strength, model, data):
    images, labels = data[0][:8], data[1][:8]
    attack = make(**strength)
    from_tensors = attack(model, tf.constant(images), tf.constant(labels))
    np.testing.assert_array_equal(from_tensors, attack(model, images, labels))


@table
def test_no_images_are_no_trouble(make, strength, model, data):
    attack = make(**strength)
    assert attack(model, data[0][:0], data[1][:0]).shape == (0, 8, 8, 3)
    assert attack.survivors(model, data[0][:0], data[1][:0]).shape == (0,)


def test_seeds_differ(model, data):
    for make in (PGD, RandomNoise):
        one, two = (make(seed=seed)(model, *data).numpy() for seed in (0, 1))
        assert np.abs(one - two).max() > 1e-3


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.full((2, 8, 8, 3), 1.01, np.float32), [0, 1], "Received: values from 1.01"),
        (np.full((2, 8, 8, 3), -0.1), [0, 1], "must lie in"),
        (np.full((2, 8, 8, 3), np.nan), [0, 1], "finite"),
        (np.full((2, 8, 8, 3), 7, np.uint8), [0, 1], "Received: uint8"),
        (np.zeros((2, 8, 8)), [0, 1], "shape"),
        (np.zeros((2, 8, 8, 3)), [0, 1, 2], "labels must be integers of shape"),
        (np.zeros((2, 8, 8, 3)), [[0], [1]], "labels must be integers of shape"),
        (np.zeros((2, 8, 8, 3)), [0.0, 1.0], "Received: float64"),
        (np.zeros((2, 8, 8, 3)), [0, -1], "negative"),
        (np.zeros((2, 8, 8, 3)), [0, 4], "labels must be below 4"),
    ],
)
def test_wrong_inputs_are_refused(images, labels, message, model):
    with pytest.raises(UserError, match=message):
        FGSM()(model, images, labels)
    with pytest.raises(UserError, match=message):
        FGSM().survivors_at(model, images, labels, [0.1])


def test_wrong_indices_and_batch_sizes_are_refused(model, data):
    with pytest.raises(UserError, match="indices must be integers"):
        FGSM()(model, *data, indices=[0, 1])
    with pytest.raises(UserError, match="batch_size must be a whole number"):
        FGSM()(model, *data, batch_size=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FGSM(epsilon=8), "8/255 for 8 grey levels. Received: 8"),
        (lambda: FGSM(epsilon=-0.1), "epsilon must be a number of at least 0"),
        (lambda: FGSM(epsilon=float("nan")), "Received: nan"),
        (lambda: FGSM(norm="l1"), "norm must be one of linf, l2. Received: 'l1'"),
        (lambda: PGD(steps=0), "steps must be a whole number of at least 1"),
        (lambda: PGD(step_size=-1), "step_size must be"),
        (lambda: PGD(restarts=2, random_start=False), "needs random_start"),
        (lambda: PGD(loss="hinge"), "loss must be one of"),
        (lambda: PGD(seed=-1), "seed must be"),
        (lambda: Square(p_init=0), "p_init must be in"),
        (lambda: RandomNoise(trials=0), "trials must be"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_transfer_tries_the_sources_images(model, data, linear, predict):
    images, labels = data
    source = linear[0]
    inner = PGD(epsilon=0.1, steps=3, early_stop=False)
    attack = Transfer(inner, source)
    made = inner(source, images, labels)
    right = predict(model, images) == labels
    np.testing.assert_array_equal(attack(model, images, labels)[right], made[right])
    np.testing.assert_array_equal(
        attack.survivors(model, images, labels),
        right & (predict(model, made) == labels),
    )
    assert attack.parameters()["attack"] == "PGD"


def test_transfer_to_the_source_itself_is_the_attack(model, data):
    inner = PGD(epsilon=0.02, steps=5)
    np.testing.assert_array_equal(
        Transfer(inner, model).survivors(model, *data), inner.survivors(model, *data)
    )
