"""The rules on evidence made up by hand: what is exactly allowed passes."""

import dataclasses

import numpy as np
import pytest
from records import attack_row

from supcon_tf.evaluation.checks import rules as check_rules
from supcon_tf.evaluation.checks.evidence import Evidence, _most_telling
from supcon_tf.results.record import CumulativeStep

COUNT = 100


def first(count: int) -> np.ndarray:
    """The first `count` of 100 images."""
    return np.arange(COUNT) < count


@pytest.fixture
def evidence() -> Evidence:
    """90 clean, 40 under PGD, nobody at the whole range; 10 classes."""
    return Evidence(
        compared=first(100),
        clean=first(90),
        curve={4.0: first(70), 8.0: first(40), 255.0: first(0)},
        epsilon=8.0,
        epsilon_text="epsilon 8/255",
        fgsm_only=first(0),
        pgd_doubled=first(40),
        margin_losses={"pgd_cw": first(40), "pgd_dlr": first(40)},
        stands_gradients=first(40),
        rescaled={10: first(40), 100: first(40)},
        noise=first(88),
        transfer=first(60),
        square=first(40),
        gradient_usable=first(100),
        logits=np.zeros((COUNT, 10)),
        logits_again=np.zeros((COUNT, 10)),
    )


def test_square_is_judged_by_autoattack_where_that_was_made(evidence):
    def row(accuracies, epsilon=8):
        names = ("apgd_ce", "apgd_t", "fab_t", "square")
        steps = map(CumulativeStep, names, accuracies)
        return attack_row(
            "autoattack", epsilon, num_examples=1000, cumulative=tuple(steps)
        )

    # On the sample it would fail.
    evidence = dataclasses.replace(evidence, square=first(0))
    plain = attack_row("pgd", num_examples=1000)
    honest = [plain, row((0.5, 0.45, 0.44, 0.438))]
    check = check_rules.square_not_stronger(evidence, honest)
    assert (check.passed, check.value, check.threshold) == (True, 0.002, 0.002)
    masked = [*honest, row((0.5, 0.45, 0.44, 0.437), 4)]
    check = check_rules.square_not_stronger(evidence, masked)
    assert check.passed is False
    assert "0.30% of 1000 images" in check.detail
    assert "AutoAttack at 4/255" in check.detail
    assert check_rules.square_not_stronger(evidence, [plain]).passed is False


AT_THE_LIMIT_AND_BEYOND = [
    ("pgd_not_weaker_than_fgsm", {"fgsm_only": first(1)}, {"fgsm_only": first(2)}),
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
        {"margin_losses": {"pgd_cw": first(40), "pgd_dlr": first(35)}},
        {"margin_losses": {"pgd_cw": first(34), "pgd_dlr": first(40)}},
    ),
    (
        "rescaled_logits",
        {"rescaled": {10: first(38), 100: first(90)}},
        {"rescaled": {10: first(40), 100: first(37)}},
    ),
    (
        "input_gradient_nonzero",
        {"gradient_usable": first(95)},
        {"gradient_usable": first(94)},
    ),
]


@pytest.mark.parametrize(("name", "allowed", "refused"), AT_THE_LIMIT_AND_BEYOND)
def test_a_check_passes_at_its_limit_and_fails_beyond(name, allowed, refused, evidence):
    rule = getattr(check_rules, name)
    assert rule(evidence).passed is True
    assert rule(dataclasses.replace(evidence, **allowed)).passed is True
    beyond = rule(dataclasses.replace(evidence, **refused))
    assert beyond.passed is False
    assert beyond.name == name
    assert ": " in beyond.detail


def test_weaker_attacks_on_rescaled_logits_are_honest(evidence):
    weaker = dataclasses.replace(evidence, rescaled={10: first(90), 100: first(90)})
    assert check_rules.rescaled_logits(weaker).passed is True


def test_a_changed_prediction_fails_however_close_the_logits(evidence):
    logits = np.zeros((COUNT, 10))
    logits[0, 5] = 1e-9
    changed = dataclasses.replace(evidence, logits_again=logits)
    assert check_rules.predictions_repeat(changed, False).passed is False


def test_the_figures_are_those_of_the_compared_images(evidence):
    half = dataclasses.replace(evidence, compared=first(80))
    assert half.accuracy(half.pgd) == 0.5


def test_the_epsilon_is_where_half_of_the_clean_images_stand():
    assert _most_telling({1.0: 90, 2.0: 50, 4.0: 10, 8.0: 0}, 90) == 2.0


def test_of_equally_telling_epsilons_the_strongest_is_taken():
    assert _most_telling({1.0: 90, 2.0: 90, 4.0: 90}, 90) == 4.0
