"""What every attack promises, as a table of attacks, norms and strengths."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import supcon_tf.attacks
from supcon_tf.attacks import (
    APGD,
    FAB,
    FGSM,
    PGD,
    RandomNoise,
    Square,
    Target,
    Transfer,
)
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
# Of the table's 28 rows the quick run makes those of L-inf.
ROWS = [
    pytest.param(
        make,
        {"epsilon": epsilon, "norm": norm},
        id=f"{name}-{norm}",
        marks=[pytest.mark.slow] if norm == "l2" else [],
    )
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
def test_images_stay_in_the_ball_and_in_range(make, strength, target, images, scale):
    strength = strength | {"epsilon": scale * strength["epsilon"]}
    adversarial = make(**strength)(target, images, np.arange(4)).numpy()
    assert adversarial.dtype == np.float32
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    # A float32 sum is off by up to half a unit in the last place, 6e-8 near 1.
    slack = 1e-7 if strength["norm"] == "linf" else 1e-6
    length = change(adversarial, images, strength["norm"])
    assert np.all(length <= strength["epsilon"] + slack)


@table
def test_the_same_seed_gives_the_same_bits(make, strength, target, data):
    first, second = (make(**strength)(target, *data, batch_size=40) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@table
def test_the_batch_size_does_not_matter(make, strength, target, data):
    images, labels = data[0][:12], data[1][:12]
    attack = make(**strength)
    whole = attack(target, images, labels)
    for batch_size in (1, 5):
        parts = attack(target, images, labels, batch_size=batch_size)
        np.testing.assert_allclose(parts, whole, atol=1e-6)


@table
def test_a_subset_with_its_indices_fares_as_in_the_whole(make, strength, target, data):
    images, labels = data
    attack = make(**strength)
    rows = np.array([3, 90, 41, 7])
    whole = attack(target, images, labels).numpy()
    part = attack(target, images[rows], labels[rows], indices=rows)
    np.testing.assert_allclose(part, whole[rows], atol=1e-6)


@table
def test_survivors_are_the_images_that_the_attack_fails_on(
    make, strength, model, target, data, predict
):
    images, labels = data
    attack = make(**strength)
    hit = predict(model, attack(target, images, labels)) == labels
    survived = attack.survivors(target, images, labels)
    np.testing.assert_array_equal(survived, ~hit if attack.targeted else hit)


@table
def test_an_image_that_is_wrong_without_an_attack_has_fallen(
    make, strength, model, target, data, predict
):
    """However the attack may move it: a wrong image is never made right."""
    images, predicted = data[0], predict(model, data[0])
    attack = make(**strength)
    if attack.targeted:
        labels, right = predicted, np.zeros(len(images), bool)
    else:
        labels = np.where(np.arange(len(images)) % 2, predicted, (predicted + 1) % 4)
        right = labels == predicted
    survived = attack.survivors(target, images, labels)
    assert not survived[~right].any()
    known = attack.survivors(
        target,
        images[right],
        labels[right],
        indices=right.nonzero()[0],
        known_right=True,
    )
    np.testing.assert_array_equal(survived[right], known)
    adversarial = attack(target, images, labels)
    hit = predict(model, adversarial) == labels
    assert hit.all() if attack.targeted else not hit[~right].any()


@table
def test_survivors_at_are_those_of_each_epsilon(make, strength, target, data):
    images, labels = data
    epsilons = [strength["epsilon"] * factor for factor in (0.5, 1, 0)]
    attack = make(**{**strength, "epsilon": 0.1})
    together = attack.survivors_at(target, images, labels, epsilons)
    assert together.shape == (3, len(images))
    for of_epsilon, epsilon in zip(together, epsilons, strict=True):
        alone = make(**{**strength, "epsilon": epsilon})
        np.testing.assert_array_equal(
            of_epsilon, alone.survivors(target, images, labels)
        )
        assert attack.with_epsilon(epsilon).parameters() == alone.parameters()


@table
def test_parameters_are_json(make, strength):
    parameters = make(**strength).parameters()
    assert json.loads(json.dumps(parameters)) == parameters


@table
def test_tensors_do_as_well_as_arrays(make, strength, target, data):
    images, labels = data[0][:8], data[1][:8]
    attack = make(**strength)
    from_tensors = attack(target, tf.constant(images), tf.constant(labels))
    np.testing.assert_array_equal(from_tensors, attack(target, images, labels))


@table
def test_no_images_are_no_trouble(make, strength, target, data):
    attack = make(**strength)
    assert attack(target, data[0][:0], data[1][:0]).shape == (0, 8, 8, 3)
    assert attack.survivors(target, data[0][:0], data[1][:0]).shape == (0,)


def test_seeds_differ(target, data):
    for make in (PGD, RandomNoise):
        one, two = (make(seed=seed)(target, *data).numpy() for seed in (0, 1))
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
        (np.zeros((2, 8, 8, 3)), [0, 2**32 + 1], "Received: 4294967297"),
        (np.zeros((2, 8, 8, 3)), np.uint64([0, 2**63]), "labels must be below 4"),
        (np.zeros((2, 8, 8, 3)), [0, np.nan], "Received: float64"),
        (np.zeros((2, 8, 8, 3)), [False, True], "Received: bool"),
    ],
)
def test_wrong_inputs_are_refused(images, labels, message, target):
    with pytest.raises(UserError, match=message):
        FGSM()(target, images, labels)
    with pytest.raises(UserError, match=message):
        FGSM().survivors_at(target, images, labels, [0.1])


def test_wrong_indices_and_batch_sizes_are_refused(target, data):
    with pytest.raises(UserError, match="indices must be integers"):
        FGSM()(target, *data, indices=[0, 1])
    with pytest.raises(UserError, match="batch_size must be a whole number"):
        FGSM()(target, *data, batch_size=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FGSM(epsilon=8), "8/255 for 8 grey levels. Received: 8"),
        (lambda: FGSM(epsilon=-0.1), "epsilon must be a number of at least 0"),
        (lambda: FGSM(epsilon=float("nan")), "Received: nan"),
        (lambda: FGSM(epsilon=True), "epsilon must be a number.* Received: True"),
        (lambda: FGSM(targeted="false"), "targeted must be True or False"),
        (lambda: PGD(early_stop="no"), "Received: 'no'"),
        (lambda: PGD(random_start=0), "random_start must be True or False"),
        (lambda: PGD(step_size=True), "step_size must be"),
        (lambda: FGSM().with_epsilon(8), "8/255 for 8 grey levels"),
        (lambda: Transfer("pgd", None), "attack must be an Attack. Received: 'pgd'"),
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


def test_transfer_tries_the_sources_images(model, target, data, linear, predict):
    images, labels = data
    source = linear[0]
    inner = PGD(epsilon=0.1, steps=3, early_stop=False)
    attack = Transfer(inner, source)
    made = inner(source, images, labels)
    right = predict(model, images) == labels
    np.testing.assert_array_equal(attack(target, images, labels)[right], made[right])
    np.testing.assert_array_equal(
        attack.survivors(target, images, labels),
        right & (predict(model, made) == labels),
    )
    assert attack.parameters()["attack"] == "PGD"


def test_transfer_needs_a_source_of_the_same_classes(target, data, linear):
    source = lambda images: linear[0](images)[:, :3]  # noqa: E731
    attack = Transfer(PGD(steps=2, early_stop=False), source)
    with pytest.raises(UserError, match=r"must have 4 classes.* Received: one of 3"):
        attack.survivors(target, *data)


def test_a_transfer_at_another_strength_makes_other_images(target, data, linear):
    attack = Transfer(PGD(epsilon=0.01, steps=3, early_stop=False), linear[0])
    weak, strong = attack.survivors_at(target, *data, [0.01, 0.3])
    assert strong.mean() < weak.mean()
    assert attack.epsilon == attack.attack.epsilon == 0.01


def test_batches_stay_full_while_images_wait(model, target, data):
    sizes = []

    def logits(images):
        sizes.append(len(np.asarray(images)))
        return model(images)

    target = Target(logits, data[0])
    sizes.clear()
    Square(epsilon=0.05, queries=30).survivors(target, *data, batch_size=16)
    assert sizes.count(16) > 6
    assert sizes == sorted(sizes, reverse=True)


def test_transfer_to_the_source_itself_is_the_attack(model, target, data):
    inner = PGD(epsilon=0.02, steps=5)
    np.testing.assert_array_equal(
        Transfer(inner, model).survivors(target, *data), inner.survivors(target, *data)
    )
