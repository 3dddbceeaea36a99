"""The rules on outcomes made up by hand: what is exactly allowed passes."""

import dataclasses

import numpy as np
import pytest
from records import attack_row

from supcon_tf.evaluation.checks import rules as check_rules
from supcon_tf.evaluation.checks.attacked_sample import _most_telling
from supcon_tf.evaluation.checks.outcomes import Outcomes
from supcon_tf.results.record import CumulativeStep

COUNT = 100


def first(count: int) -> np.ndarray:
    """The first `count` of 100 images."""
    return np.arange(COUNT) < count


@pytest.fixture
def outcomes() -> Outcomes:
    """90 clean, 40 under PGD, nobody at the whole range; 10 classes."""
    return Outcomes(
        norm="linf",
        correct=first(90),
        compared=first(100),
        gradient_usable=first(100),
        logits=np.zeros((COUNT, 10)),
        logits_again=np.zeros((COUNT, 10)),
        curve={4.0: first(70), 8.0: first(40), 255.0: first(0)},
        strength=8.0,
        survived={
            "fgsm": first(60),
            "pgd_where_fgsm_breaks": first(0),
            "pgd_cw": first(40),
            "pgd_dlr": first(40),
            "pgd_doubled": first(40),
            "pgd_on_logits_by_10": first(40),
            "pgd_on_logits_by_100": first(40),
            "noise": first(88),
            "transfer": first(60),
            "square": first(40),
        },
    )


def changed(outcomes, **fields):
    """The outcomes with other fields, or other survivors of a planned attack."""
    survived = {k: v for k, v in fields.items() if k in outcomes.survived}
    others = {k: v for k, v in fields.items() if k not in survived}
    return dataclasses.replace(
        outcomes, survived={**outcomes.survived, **survived}, **others
    )


def test_square_is_judged_by_autoattack_where_that_was_made(outcomes):
    def row(accuracies, epsilon=8):
        names = ("apgd_ce", "apgd_t", "fab_t", "square")
        steps = map(CumulativeStep, names, accuracies)
        return attack_row(
            "autoattack", epsilon, num_examples=1000, cumulative=tuple(steps)
        )

    # On the sample it would fail.
    outcomes = changed(outcomes, square=first(0))
    plain = attack_row("pgd", num_examples=1000)
    honest = (plain, row((0.5, 0.45, 0.44, 0.438)))
    check = check_rules.square_not_stronger(changed(outcomes, rows=honest))
    assert (check.passed, check.value, check.threshold) == (True, 0.002, 0.002)
    masked = (*honest, row((0.5, 0.45, 0.44, 0.437), 4))
    check = check_rules.square_not_stronger(changed(outcomes, rows=masked))
    assert check.passed is False
    assert "0.30% of 1000 images" in check.detail
    assert "AutoAttack at 4/255" in check.detail
    alone = changed(outcomes, rows=(plain,))
    assert check_rules.square_not_stronger(alone).passed is False


AT_THE_LIMIT_AND_BEYOND = [
    (
        "pgd_not_weaker_than_fgsm",
        {"pgd_where_fgsm_breaks": first(1)},
        {"pgd_where_fgsm_breaks": first(2)},
    ),
    ("pgd_not_weaker_than_fgsm", {"fgsm": first(39)}, {"fgsm": first(38)}),
    ("pgd_converged", {"pgd_doubled": first(39)}, {"pgd_doubled": first(38)}),
    (
        "pgd_falls_with_epsilon",
        {"curve": {4.0: first(39), 8.0: first(40)}},
        {"curve": {4.0: first(38), 8.0: first(40)}},
    ),
    (
        "pgd_reaches_chance",
        {"curve": {8.0: first(40), 255.0: first(10)}},
        {"curve": {8.0: first(40), 255.0: first(11)}},
    ),
    (
        "whitebox_not_weaker_than_transfer",
        {"transfer": first(39)},
        {"transfer": first(38)},
    ),
    ("transfer_not_weaker_than_noise", {"noise": first(59)}, {"noise": first(58)}),
    ("whitebox_not_weaker_than_noise", {"noise": first(39)}, {"noise": first(38)}),
    ("square_not_stronger", {"square": first(39)}, {"square": first(38)}),
    (
        "ce_not_weaker_than_margin_losses",
        {"pgd_dlr": first(35)},
        {"pgd_cw": first(34)},
    ),
    (
        "rescaled_logits",
        {"pgd_on_logits_by_10": first(38), "pgd_on_logits_by_100": first(90)},
        {"pgd_on_logits_by_100": first(37)},
    ),
    (
        "input_gradient_nonzero",
        {"gradient_usable": first(95)},
        {"gradient_usable": first(94)},
    ),
]


def test_a_check_passes_at_its_limit_and_fails_beyond(outcomes):
    for name, allowed, refused in AT_THE_LIMIT_AND_BEYOND:
        rule = getattr(check_rules, name)
        assert rule(outcomes).passed is True
        assert rule(changed(outcomes, **allowed)).passed is True, name
        beyond = rule(changed(outcomes, **refused))
        assert beyond.passed is False, name
        assert beyond.name == name
        assert ": " in beyond.detail
    tried = {name for name, _, _ in AT_THE_LIMIT_AND_BEYOND}
    rules = {rule.__name__ for rule in check_rules.CHECKS}
    assert rules - tried == {"predictions_repeat"}


def test_weaker_attacks_on_rescaled_logits_are_honest(outcomes):
    names = "pgd_on_logits_by_10", "pgd_on_logits_by_100"
    weaker = changed(outcomes, **dict.fromkeys(names, first(90)))
    assert check_rules.rescaled_logits(weaker).passed is True


def test_a_changed_prediction_fails_however_close_the_logits(outcomes):
    logits = np.zeros((COUNT, 10))
    logits[0, 5] = 1e-9
    again = changed(outcomes, logits_again=logits)
    assert check_rules.predictions_repeat(again).passed is False


def test_the_figures_are_those_of_the_compared_images(outcomes):
    half = changed(outcomes, compared=first(80))
    assert half.accuracy(half.pgd) == 0.5


def test_the_epsilon_is_where_half_of_the_clean_images_stand():
    assert _most_telling({1.0: 90, 2.0: 50, 4.0: 10, 8.0: 0}, 90) == 2.0


def test_of_equally_telling_epsilons_the_strongest_is_taken():
    assert _most_telling({1.0: 90, 2.0: 90, 4.0: 90}, 90) == 4.0
