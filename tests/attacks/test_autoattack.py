"""AutoAttack and its members: what they are made of, and the edges."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import (
    APGD,
    FAB,
    FGSM,
    PGD,
    AutoAttack,
    Square,
    Target,
    square_l2,
    streams,
)
from supcon_tf.attacks.objectives import Objective
from supcon_tf.attacks.wrong_classes import nearest_wrong_classes
from supcon_tf.errors import UserError

EPSILON = {"linf": 0.03, "l2": 0.4}


def short(attack):
    """The same ensemble with fewer steps."""
    ball = {"epsilon": attack.epsilon, "norm": attack.norm}
    attack.members = {
        "apgd_ce": APGD(steps=5, **ball),
        "apgd_t": APGD(loss="dlr_targeted", steps=5, **ball),
        "fab_t": FAB(steps=5, **ball),
        "square": Square(queries=10, schedule="raw", **ball),
    }
    return attack


def members_of(version):
    return AutoAttack(version=version).parameters()["members"]


def test_the_standard_version_is_the_published_one():
    shared = {"restarts": 1, "steps": 100, "seed": 0}
    assert members_of("standard") == [
        {"name": "apgd_ce", "loss": "ce", **shared},
        {"name": "apgd_t", "loss": "dlr_targeted", "targets": 9, **shared},
        {"name": "fab_t", "targets": 9, **shared},
        {
            "name": "square",
            "queries": 5000,
            "p_init": 0.8,
            "schedule": "raw",
            "seed": 0,
        },
    ]


def test_the_other_versions_are_the_published_ones():
    plus = {member["name"]: member for member in members_of("plus")}
    assert list(plus) == ["apgd_ce", "apgd_dlr", "fab", "square", "apgd_t", "fab_t"]
    assert [member.get("restarts") for member in plus.values()] == [5, 5, 5, None, 1, 1]
    assert plus["fab"]["targets"] is None
    rand = members_of("rand")
    assert [(m["name"], m["loss"], m["eot_iter"]) for m in rand] == [
        ("apgd_ce", "ce", 20),
        ("apgd_dlr", "dlr", 20),
    ]


@pytest.mark.slow
def test_each_member_attacks_what_the_ones_before_have_left(model, data):
    images, labels = data
    for norm, epsilon in EPSILON.items():
        attack = short(AutoAttack(epsilon=epsilon, norm=norm))
        target = Target(model, images)
        rows = np.flatnonzero(np.argmax(model(images), axis=1) == labels)
        for member in attack.members.values():
            survived = member.survivors(
                target, images[rows], labels[rows], indices=rows
            )
            rows = rows[survived]
        assert 0 < len(rows) < len(labels)
        np.testing.assert_array_equal(
            np.flatnonzero(attack.survivors(target, images, labels)), rows
        )
        left = np.arange(len(labels))
        for stage in attack.stages().values():
            stands = stage.survivors(target, images[left], labels[left], indices=left)
            left = left[stands]
        np.testing.assert_array_equal(left, rows)


@pytest.mark.slow
def test_autoattack_returns_what_fools_and_leaves_the_rest_as_it_was(model, data):
    images, labels = data
    for norm, epsilon in EPSILON.items():
        attack = short(AutoAttack(epsilon=epsilon, norm=norm))
        adversarial = attack(model, images, labels).numpy()
        survived = attack.survivors(model, images, labels)
        np.testing.assert_array_equal(adversarial[survived], images[survived])
        fooled = np.argmax(model(adversarial), axis=1) != labels
        np.testing.assert_array_equal(fooled, ~survived)


def test_a_strength_is_that_of_all_members(model, data):
    attack = AutoAttack(epsilon=0.1).with_epsilon(0.05)
    assert {m.epsilon for m in attack.members.values()} == {0.05} == {attack.epsilon}


def test_too_few_classes_are_refused_in_one_line(model, data):
    images, labels = data[0][:4], data[1][:4] % 2

    def three_logits(images):
        return model(images)[:, :3]

    for attack in (AutoAttack(), APGD(loss="dlr_targeted")):
        with pytest.raises(UserError, match=r"'dlr_targeted' needs at least 4 classes"):
            attack.survivors(three_logits, images, labels)
    assert FAB(steps=2).survivors(three_logits, images, labels).shape == (4,)


def test_settings_that_make_no_sense_are_refused():
    cases = (
        (lambda: AutoAttack(version="fast"), "version must be one of standard, plus"),
        (lambda: APGD(loss="hinge"), "loss must be one of ce, cw, dlr, dlr_targeted"),
        # Without targets of its own a descent on this loss would go nowhere.
        (lambda: PGD(loss="dlr_targeted"), "loss must be one of ce, cw, dlr. Received"),
        (lambda: FGSM(loss="cw_targeted"), "loss must be one of ce, cw, dlr. Received"),
        (lambda: APGD(targets=0), "targets must be a whole number of at least 1"),
        (lambda: FAB(steps=0), "steps must be a whole number of at least 1"),
        (lambda: Square(schedule="paper"), "schedule must be one of scaled, raw"),
    )
    for make, message in cases:
        with pytest.raises(UserError, match=message):
            make()


def attacks(norm):
    ball = {"epsilon": EPSILON[norm], "norm": norm}
    return [
        APGD(steps=5, **ball),
        APGD(steps=5, loss="dlr_targeted", **ball),
        FAB(steps=3, **ball),
        FAB(steps=3, targets=None, restarts=2, **ball),
        Square(queries=5, schedule="raw", **ball),
    ]


@pytest.mark.slow
def test_a_model_without_gradients_gives_numbers(model, data):
    images, labels = data[0][:8], data[1][:8]

    def flat(images):
        return model(tf.round(images))

    for norm in EPSILON:
        for attack in attacks(norm):
            adversarial = attack(flat, images, labels).numpy()
            assert np.isfinite(adversarial).all()
            hit = np.argmax(flat(adversarial), axis=1) == labels
            survived = attack.survivors(flat, images, labels)
            np.testing.assert_array_equal(survived, hit)


def test_logits_that_are_no_numbers_are_refused(model, data):
    images, labels = data[0][:8], data[1][:8]
    calls = []

    def breaks(images):
        calls.append(len(images))
        bad = tf.reduce_any(tf.abs(images - data[0][0]) > 0.01, axis=(1, 2, 3))
        return tf.where(bad[:, None] & (len(calls) > 1), np.nan, model(images))

    for attack in attacks("linf"):
        calls.clear()
        with pytest.raises(UserError, match="logits must be finite"):
            attack.survivors(breaks, images, labels)


def test_targeted_losses_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 6)).astype(np.float32)
    labels = rng.integers(0, 6, 50)
    targets = (labels + rng.integers(1, 6, 50)) % 6
    slow = {"cw_targeted": [], "dlr_targeted": []}
    for z, y, t in zip(logits.astype(float), labels, targets, strict=True):
        first, _, third, fourth, *_ = sorted(z, reverse=True)
        slow["cw_targeted"].append(z[t] - z[y])
        slow["dlr_targeted"].append(-(z[y] - z[t]) / (first - (third + fourth) / 2))
    for loss, expected in slow.items():
        values = (
            Objective(loss).values(*map(tf.constant, (logits, labels, targets))).numpy()
        )
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_wrong_classes_come_from_the_nearest_on():
    logits = np.array([[3.0, 1, 2, 0], [0, 1, 2, 3]])
    nearest = nearest_wrong_classes(logits, np.array([0, 1]), 9)
    assert nearest.tolist() == [[2, 1, 3], [3, 2, 0]]
    assert nearest_wrong_classes(logits, np.array([0, 1]), 2).shape == (2, 2)


@pytest.mark.slow
def test_fab_finds_the_distance_that_a_linear_model_has(linear, data):
    predict, weights = linear
    images = data[0][:16] * 0.1 + 0.45
    logits = np.float64(images).reshape(16, -1) @ weights
    labels = logits.argmax(axis=1)
    for norm, dual in (("l2", 2), ("linf", 1)):
        distances = [
            min(
                (row[y] - row[j])
                / np.linalg.norm(weights[:, y] - weights[:, j], ord=dual)
                for j in range(4)
                if j != y
            )
            for row, y in zip(logits, labels, strict=True)
        ]
        for targets in (3, None):
            attack = FAB(
                epsilon=1, norm=norm, targets=targets, steps=20, early_stop=False
            )
            change = (attack(predict, images, labels) - images).numpy()
            lengths = np.linalg.norm(
                change.reshape(16, -1), ord=2 if norm == "l2" else np.inf, axis=1
            )
            # From beyond the boundary, by a hair.
            assert np.all(lengths > np.array(distances) * 0.999)
            assert np.all(lengths < np.array(distances) * 1.02)


def test_no_image_that_fools_is_closer_than_one_that_is_wrong_as_it_is(model, data):
    images, labels = data[0][:8], (np.argmax(model(data[0][:8]), axis=1) + 1) % 4
    attack = FAB(epsilon=1, steps=3, early_stop=False)
    np.testing.assert_array_equal(attack(model, images, labels), images)


@pytest.mark.slow
def test_images_of_any_shape_are_searched():
    for shape in ((11, 6, 1), (5, 17, 3), (2, 9, 4), (1, 1, 3)):
        rng = np.random.default_rng(0)
        images = rng.random((6, *shape), np.float32)
        weights = rng.normal(size=(int(np.prod(shape)), 5)).astype(np.float32)

        def predict(images, weights=weights):
            return tf.reshape(images, [-1, len(weights)]) @ weights

        labels = np.argmax(predict(images), axis=1)
        for norm, epsilon in (("linf", 0.3), ("l2", 2.0)):
            for schedule in ("scaled", "raw"):
                attack = Square(
                    epsilon=epsilon, norm=norm, queries=40, schedule=schedule
                )
                survived = attack.survivors(predict, images, labels)
                assert survived.mean() < 1, (shape, norm, schedule)


def test_the_mean_of_equal_gradients_is_the_gradient(model, data):
    once, thrice = (
        APGD(epsilon=0.01, steps=5, eot_iter=n)(model, *data) for n in (1, 3)
    )
    np.testing.assert_allclose(once, thrice, atol=1e-5)


def test_a_model_that_answers_at_random_is_judged_once_more(model, data):
    images, labels = data[0][:8], data[1][:8]
    answers = []

    class Late(Target):
        """Right in its last answer, whatever it is asked."""

        def judge(self, images, labels, objective, **settings):
            answers.append(len(images))
            judged = super().judge(images, labels, objective, **settings)
            last = len(answers) in (2, 4)
            judged.fooled[:] = not last
            return judged

    attack = AutoAttack(version="rand")
    attack.members = {
        name: APGD(steps=1, loss=loss)
        for name, loss in (("apgd_ce", "ce"), ("apgd_dlr", "dlr"))
    }
    survived = attack.survivors(Late(model, images), images, labels, known_right=True)
    # Each member fools it at once, and then it isn't fooled after all.
    assert answers == [8, 8, 8, 8]
    assert survived.all()


def test_squares_shrink_as_in_the_reference():
    square = Square(queries=5000, schedule="raw")
    tries = np.array([1, 11, 12, 51, 52, 201, 501, 1001, 2001, 2002, 4001, 4002, 5000])
    sides = square._sides(tries, 32, 32).tolist()
    assert sides == [29, 29, 20, 20, 14, 14, 10, 7, 5, 4, 4, 3, 3]
    assert square.tries(10) == 5001
    assert Square(queries=500).tries(10) == 500
    l2 = Square(queries=5000, schedule="raw", norm="l2")
    assert l2._sides(tries, 32, 32).tolist() == [
        *(29, 29, 21, 21, 15, 15, 11, 7, 5, 5, 5, 3, 3)
    ]
    # The whole image, where it is that small.
    assert square._sides(np.array([1]), 1, 1).tolist() == [1]
    assert l2._sides(np.array([1]), 2, 2).tolist() == [2]


def test_l2_squares_move_length_and_make_none():
    shapes = ((8, 8, 3), (5, 7, 1), (3, 3, 3), (2, 9, 3))
    for shape in shapes:
        count = max(square_l2.draws_to_start(shape), square_l2.draws_to_move(shape))
        identities = np.arange(6)
        sides = np.minimum(np.array([3, 5, 3, 7, 3, 3]), min(shape[:2]))

        def drawn(number, used, identities=identities, count=count):
            tries = np.full(6, number)
            return streams.uniform(0, identities, tries, count)[:, :used]

        change = 0.5 * square_l2.start(shape, drawn(0, square_l2.draws_to_start(shape)))
        for number in range(1, 20):
            # As if clipping to [0, 1] had taken some of it away.
            change = square_l2.move(
                0.9 * change, 0.5, sides, drawn(number, square_l2.draws_to_move(shape))
            )
            lengths = np.linalg.norm(change.reshape(6, -1), axis=1)
            np.testing.assert_allclose(lengths, 0.5, rtol=1e-5)
