"""The accuracy table agrees, image by image, with attacking by hand."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import supcon_tf.attacks
from supcon_tf.attacks import FGSM, PGD
from supcon_tf.config import ATTACKS, EvaluationConfig
from supcon_tf.config.attacks import NAMED_ATTACKS, NamedAttack, attacks_by_option
from supcon_tf.data import Split
from supcon_tf.errors import UserError
from supcon_tf.evaluation import evaluate
from supcon_tf.evaluation import robustness as robustness_module
from supcon_tf.evaluation.attack_factory import make_attack
from supcon_tf.models.build import with_dtype_policy
from supcon_tf.results.intervals import wilson_interval
from supcon_tf.results.typed_json import plain_json

from .sessions import measured_on

CONFIG = EvaluationConfig(
    attacks=("fgsm", "pgd", "noise"), epsilons=(8.0, 40.0), pgd_steps=4
)


@pytest.fixture(scope="module")
def split(test_digits):
    """60 images, some of whose labels are wrong, so that the model is too."""
    labels = test_digits.labels[:60].copy()
    labels[::10] = (labels[::10] + 1) % 10
    return Split(test_digits.images[:60], labels)


@pytest.fixture(scope="module")
def measured(honest, split):
    return measured_on(honest, split, CONFIG, seed=3)


def predicted(model, images):
    return np.argmax(model(images, training=False), axis=1)


def test_outcomes_are_those_of_attacking_by_hand(honest, split, measured):
    images = split.pixels()
    clean = predicted(honest, images) == split.labels
    for epsilon in CONFIG.epsilons:
        for name, attack in (
            ("fgsm", FGSM(epsilon=epsilon / 255)),
            ("pgd", PGD(epsilon=epsilon / 255, steps=4, seed=3)),
        ):
            adversarial = attack(honest, images, split.labels)
            by_hand = clean & (predicted(honest, adversarial) == split.labels)
            outcome = measured.outcomes[f"{name}@{epsilon:g}"]
            np.testing.assert_array_equal(outcome, by_hand)
            assert 0 < by_hand.sum() < clean.sum() < len(split)


def test_clean_accuracy_is_that_of_all_images(honest, split, measured):
    images = split.pixels()
    by_hand = predicted(honest, images) == split.labels
    np.testing.assert_array_equal(measured.outcomes["clean"], by_hand)
    assert measured.clean_accuracy == by_hand.mean()


def test_rows_have_the_schema_of_the_design(split, measured):
    assert [(row.name, row.epsilon_255) for row in measured.rows] == [
        (name, epsilon) for name in CONFIG.attacks for epsilon in CONFIG.epsilons
    ]
    for row in json.loads(json.dumps([plain_json(row) for row in measured.rows])):
        outcome = measured.outcomes[f"{row['name']}@{row['epsilon_255']:g}"]
        assert list(row) == [
            "name",
            "norm",
            "epsilon",
            "epsilon_255",
            "accuracy",
            "interval_95",
            "num_examples",
            "parameters",
            "seconds",
        ]
        assert row["norm"] == "linf"
        assert row["epsilon"] == row["epsilon_255"] / 255
        assert row["accuracy"] == outcome.mean()
        assert row["interval_95"] == list(wilson_interval(outcome.sum(), 60))
        assert row["num_examples"] == len(split)
        assert row["seconds"] >= 0


def test_pgd_rows_say_how_pgd_was_run(measured):
    row = next(row for row in measured.rows if row.name == "pgd")
    assert row.parameters == {
        "steps": 4,
        "step_size": 8 / 255 / 4,
        "restarts": 1,
        "random_start": True,
        "loss": "ce",
        "targeted": False,
        "seed": 3,
    }


def test_l2_rows_carry_epsilon_in_pixel_units(honest, split):
    config = EvaluationConfig(norm="l2", epsilons=(0.5,))
    row = measured_on(honest, split, config).rows[0]
    assert (row.norm, row.epsilon, row.epsilon_255) == ("l2", 0.5, None)


def test_every_epsilon_starts_from_the_images_that_are_right_without_attack(
    honest, split, monkeypatch
):
    """Also the second one: nothing is carried from one epsilon to another."""
    seen = []

    def spying(self, model, images, labels, *, indices, **keywords):
        seen.append((round(255 * self.epsilon, 6), indices.tolist()))
        return inner(self, model, images, labels, indices=indices, **keywords)

    inner = PGD.survivors
    monkeypatch.setattr(PGD, "survivors", spying)
    config = EvaluationConfig(attacks=("pgd",), epsilons=(40.0, 8.0), pgd_steps=2)
    outcomes = measured_on(honest, split, config).outcomes
    correct = np.flatnonzero(outcomes["clean"]).tolist()
    assert seen == [(40.0, correct), (8.0, correct)]
    assert outcomes["pgd@40"].sum() < outcomes["pgd@8"].sum()


def test_the_order_and_the_company_of_epsilons_change_nothing(honest, split, measured):
    config = EvaluationConfig(attacks=("pgd",), epsilons=(40.0,), pgd_steps=4)
    alone = measured_on(honest, split, config, seed=3).outcomes["pgd@40"]
    np.testing.assert_array_equal(alone, measured.outcomes["pgd@40"])


def test_the_model_is_compiled_once_for_all_epsilons(honest, split):
    class Counting(keras.Model):
        calls = 0

        def call(self, images, training=False):
            Counting.calls += 1
            return honest(images, training=training)

    counted = []
    for epsilons in ((8.0,), (8.0, 16.0, 40.0)):
        config = dataclasses.replace(CONFIG, epsilons=epsilons)
        Counting.calls = 0
        measured_on(Counting(), split, config)
        counted.append(Counting.calls)
    assert counted[0] == counted[1]


def test_chunks_of_images_change_nothing(honest, split, measured, monkeypatch):
    monkeypatch.setattr(robustness_module, "CHUNK", 17)
    again = measured_on(honest, split, CONFIG, seed=3)
    for name, outcome in measured.outcomes.items():
        np.testing.assert_array_equal(again.outcomes[name], outcome)


def test_a_model_that_is_always_wrong_has_nothing_to_lose(honest, split):
    wrong = predicted(honest, split.pixels()) + 1
    measured = measured_on(honest, Split(split.images, wrong % 10), CONFIG)
    assert measured.clean_accuracy == 0
    assert [row.accuracy for row in measured.rows] == [0] * 6


def test_every_name_of_the_command_line_is_an_attack_with_its_settings(other_honest):
    config = EvaluationConfig(pgd_steps=7, pgd_restarts=3)
    options = attacks_by_option()
    assert list(options) == ["pgd_steps", "pgd_restarts"]
    for name in ATTACKS:
        attack = make_attack(name, 8.0, config, 5, other_honest)
        assert attack.epsilon == 8 / 255
        parameters = json.loads(json.dumps(attack.parameters()))
        assert parameters == attack.parameters()
        assert parameters.get("seed", 5) == 5
        assert ("seed" in parameters) == (name != "fgsm")
        for option in options:
            argument = options[option].get(name)
            value = getattr(config, option)
            assert argument is None or parameters[argument] == value
            changed = dataclasses.replace(config, **{option: 11})
            other = make_attack(name, 8.0, changed, 5, other_honest)
            assert (other.parameters() != parameters) == (argument is not None)


def test_an_attack_of_the_table_is_evaluated_like_any_other(honest, split, monkeypatch):
    """Its class, where attacks are exported, and its row are all that it needs."""

    class Another(PGD):
        pass

    monkeypatch.setattr(supcon_tf.attacks, "Another", Another, raising=False)
    row = NamedAttack("Another", {"restarts": 2}, {"steps": "pgd_steps"})
    monkeypatch.setitem(NAMED_ATTACKS, "another", row)
    config = EvaluationConfig(epsilons=(40.0,), pgd_steps=3)
    # The choices of the command line are those of the table when it was loaded.
    object.__setattr__(config, "attacks", ("another",))
    (measured,) = measured_on(honest, split, config).rows
    assert (measured.name, measured.strength) == ("another", 40.0)
    assert measured.parameters["restarts"] == 2
    assert measured.parameters["steps"] == 3
    assert attacks_by_option()["pgd_steps"]["another"] == "steps"


def test_transfer_needs_a_source():
    with pytest.raises(UserError, match="needs a source model"):
        make_attack("transfer", 8.0, EvaluationConfig())


def test_an_attack_that_there_is_not_is_no_other_one():
    with pytest.raises(UserError, match=r"must be one of fgsm, .* Received: 'pdg'"):
        make_attack("pdg", 8.0, EvaluationConfig())


def test_what_can_not_be_attacked_is_refused_before_anything_is(honest, split):
    settings = EvaluationConfig(attacks=("fgsm", "transfer"))
    with pytest.raises(UserError, match="--attacks=transfer: it needs a source"):
        evaluate(lambda images: 1 / 0, split, settings)


def test_foreign_models_are_attacked_as_they_are_but_in_full_precision(split):
    """Whatever the layers compute in, and whatever they keep beside their weights."""
    normalization = keras.layers.Normalization()
    normalization.adapt(split.pixels())
    layers = [normalization, keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    reduced = with_dtype_policy(model, "mixed_float16")
    settings = EvaluationConfig(epsilons=(2.0, 8.0), checks_limit=0)
    full, half = (evaluate(m, split, settings) for m in (model, reduced))
    images = split.pixels()
    clean = (predicted(model, images) == split.labels).mean()
    for found in (full, half):
        assert found.summary["clean_accuracy"] == clean
    for name, outcome in full.outcomes.items():
        np.testing.assert_array_equal(outcome, half.outcomes[name])


def test_epsilons_that_agree_to_six_digits_have_results_of_their_own(
    honest, test_digits
):
    epsilons = (20.0, 20.0000001, 60.0)
    config = EvaluationConfig(attacks=("fgsm",), epsilons=epsilons, checks_limit=0)
    found = evaluate(honest, test_digits, config)
    assert set(found.outcomes) == {
        *("clean", "fgsm@20", "fgsm@20.0000001", "fgsm@60"),
    }
    worst = found.summary["worst"]
    assert [entry["epsilon_255"] for entry in worst] == list(epsilons)
    attacks = found.summary["attacks"]
    assert [e["accuracy"] for e in worst] == [r["accuracy"] for r in attacks]


def test_wilson_interval_has_the_published_values():
    for successes, trials, low, high in (
        # The four examples of Newcombe 1998, Two-sided confidence intervals for the
        # single proportion, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # Mirrored: what survives is what does not fall.
        (20, 20, 0.8389, 1.0),
        (0, 0, 0.0, 1.0),
    ):
        found = wilson_interval(successes, trials)
        assert found == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_ends_exactly_at_0_and_at_1():
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0
