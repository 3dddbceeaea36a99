"""Every check passes an honest model and fails one that masks its gradients."""

import dataclasses

import keras
import pytest

from supcon_tf.attacks import ProbabilityOutputError
from supcon_tf.config import EvaluationConfig
from supcon_tf.config.attacks import NAMED_ATTACKS
from supcon_tf.evaluation.checks import attacked_sample, run
from supcon_tf.evaluation.checks.outcomes import Outcomes
from supcon_tf.evaluation.checks.plan import CURVE, PLAN, PlannedAttack
from supcon_tf.evaluation.checks.rules import CHECKS
from supcon_tf.evaluation.checks.verdicts import judged
from supcon_tf.evaluation.finished_parts import FinishedParts
from supcon_tf.results.record import CheckRow

from .bar import Bar
from .masked_models import (
    LEVEL,
    Bump,
    FlatFarAway,
    Noisy,
    Quantised,
    Scaled,
    grey_images,
)
from .sessions import checked

pytestmark = pytest.mark.slow

CONFIG = EvaluationConfig(epsilons=(8.0, 24.0, 48.0), pgd_steps=10, checks_limit=60)


@pytest.fixture(scope="module", autouse=True)
def square_of_few_queries():
    """Of 500, its own number, most of the time of these tests was spent."""
    few = dataclasses.replace(NAMED_ATTACKS["square"], constants={"queries": 100})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NAMED_ATTACKS, "square", few)
        yield


def failed(checks):
    return [check for check in checks if check.passed is False]


def failures(model, split, config=CONFIG, **arguments):
    return {c.name for c in failed(checked(model, split, config, **arguments))}


@pytest.fixture(scope="module")
def honest_checks(honest, other_honest, test_digits):
    return checked(honest, test_digits, CONFIG, source=other_honest)


@pytest.fixture(scope="module")
def saturated_failures(honest, test_digits):
    return failures(Scaled(honest, 300.0), test_digits, source=honest)


@pytest.fixture(scope="module")
def quantised_failures(honest, test_digits):
    return failures(Quantised(honest), test_digits)


@pytest.fixture(scope="module")
def flat_failures():
    config = dataclasses.replace(CONFIG, epsilons=(8.0, 32.0))
    return failures(FlatFarAway(), grey_images(), config)


def test_an_honest_model_passes_every_check(honest_checks):
    assert [c.passed for c in honest_checks] == [True] * len(CHECKS), failed(
        honest_checks
    )


def test_a_check_says_its_figure_its_threshold_and_a_sentence(honest_checks):
    for check in honest_checks:
        assert check.value <= check.threshold
        assert len(check.detail.split()) > 5


def test_without_a_source_transfer_checks_do_not_apply(honest, test_digits):
    config = dataclasses.replace(CONFIG, epsilons=(24.0,))
    checks = {c.name: c for c in checked(honest, test_digits, config)}
    assert checks["whitebox_not_weaker_than_transfer"].passed is None
    assert checks["transfer_not_weaker_than_noise"].passed is None
    assert checks["whitebox_not_weaker_than_noise"].passed is True


def test_an_honest_model_passes_in_l2(honest, test_digits):
    config = dataclasses.replace(CONFIG, norm="l2", epsilons=(1.0,), pgd_steps=40)
    checks = {c.name: c for c in checked(honest, test_digits, config)}
    assert not failed(list(checks.values()))
    assert checks["square_not_stronger"].passed is True


def test_limit_zero_runs_no_checks(honest, test_digits):
    config = dataclasses.replace(CONFIG, checks_limit=0)
    assert checked(honest, test_digits, config) == ()


def test_large_logits_fail_the_check_of_rescaled_logits(saturated_failures):
    assert "rescaled_logits" in saturated_failures


def test_large_logits_fail_the_check_against_margin_losses(saturated_failures):
    assert "ce_not_weaker_than_margin_losses" in saturated_failures


def test_a_masked_model_that_falls_to_transfer_fails(saturated_failures):
    assert "whitebox_not_weaker_than_transfer" in saturated_failures


def test_huge_logits_fail_the_gradient_check(honest, test_digits):
    assert "input_gradient_nonzero" in failures(Scaled(honest, 1e4), test_digits)


def test_a_quantised_input_fails_the_gradient_check(quantised_failures):
    assert "input_gradient_nonzero" in quantised_failures


def test_a_quantised_input_that_falls_to_square_fails(quantised_failures):
    assert "square_not_stronger" in quantised_failures


def test_a_model_that_withstands_any_change_fails(quantised_failures, flat_failures):
    assert "pgd_reaches_chance" in quantised_failures
    assert "pgd_reaches_chance" in flat_failures


def test_accuracy_that_rises_with_epsilon_fails(flat_failures):
    assert "pgd_falls_with_epsilon" in flat_failures


def test_a_model_that_only_fgsm_breaks_fails():
    config = dataclasses.replace(CONFIG, epsilons=(8.0,))
    found = failures(Bump(8 * LEVEL), grey_images(), config)
    assert "pgd_not_weaker_than_fgsm" in found


def test_pgd_of_too_few_steps_fails(honest, test_digits):
    config = dataclasses.replace(CONFIG, pgd_steps=1)
    assert "pgd_converged" in failures(honest, test_digits, config)


def test_random_output_fails(honest, test_digits):
    assert "predictions_repeat" in failures(Noisy(honest, 0.01), test_digits)


def test_the_last_bits_count_only_where_determinism_was_asked_for(honest, test_digits):
    model = Noisy(honest, 3e-7)
    assert "predictions_repeat" not in failures(model, test_digits)
    assert "predictions_repeat" in failures(model, test_digits, deterministic=True)


def test_probabilities_are_refused(honest, test_digits):
    model = keras.Sequential([honest, keras.layers.Softmax()])
    with pytest.raises(ProbabilityOutputError, match="logits"):
        checked(model, test_digits, CONFIG)


def test_the_same_seed_gives_the_same_figures(
    honest, other_honest, test_digits, honest_checks
):
    again = checked(honest, test_digits, CONFIG, source=other_honest)
    assert again == honest_checks


def test_planned_attacks_have_names_of_their_own_and_checks_too(honest_checks):
    names = [planned.name for planned in (CURVE, *PLAN)]
    assert len(set(names)) == len(names)
    assert [check.name for check in honest_checks] == [rule.__name__ for rule in CHECKS]
    assert len(CHECKS) == 12


def test_each_planned_attack_is_made_once_and_counted(
    honest, test_digits, monkeypatch, tmp_path
):
    monkeypatch.setattr(attacked_sample, "tqdm", Bar)
    config = dataclasses.replace(CONFIG, pgd_steps=1, checks_limit=20)
    parts = FinishedParts(tmp_path / "parts", {})
    checked(honest, test_digits, config, parts=parts)
    made = [path.stem.split("@") for path in (tmp_path / "parts").glob("*@*.npz")]
    planned = [planned.name for planned in PLAN if planned.applies(10, False)]
    # PGD at each epsilon and over the whole range, and all else at one epsilon.
    assert sorted(name for name, _ in made) == sorted([*planned, *["pgd"] * 4])
    assert len({strength for _, strength in made}) == 4
    assert Bar.made[-1].done == Bar.made[-1].total == len(made)


def test_attacks_that_a_model_does_not_admit_are_not_planned():
    names = {planned.name for planned in PLAN}
    for classes, has_source, left_out in (
        (10, True, set()),
        (10, False, {"transfer"}),
        (2, True, {"pgd_dlr"}),
    ):
        planned = {p.name for p in PLAN if p.applies(classes, has_source)}
        assert names - planned == left_out


def test_a_check_is_a_planned_attack_and_a_rule(honest, test_digits, monkeypatch):
    """Nothing else has to know of it."""

    def noise_breaks_little(found: Outcomes) -> CheckRow:
        broken = float((found.correct & ~found["noise_on_all"]).mean())
        fact = f"noise breaks {broken:.1%} at {found.strength_text}"
        return judged("noise_breaks_little", broken, 0.5, fact, "it is no model")

    another = PlannedAttack("noise_on_all", "noise", among=lambda found: found.correct)
    monkeypatch.setattr(attacked_sample, "PLAN", (*PLAN, another))
    monkeypatch.setattr(run, "CHECKS", (noise_breaks_little,))
    config = dataclasses.replace(CONFIG, pgd_steps=1, checks_limit=20, epsilons=(8.0,))
    (check,) = checked(honest, test_digits, config)
    assert check.passed is True
    assert check.detail.endswith("at epsilon 8/255")
