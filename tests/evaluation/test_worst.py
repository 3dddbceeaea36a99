"""The worst of all attacks, image by image, against a loop."""

import numpy as np
import pytest

from supcon_tf.config import EvaluationConfig
from supcon_tf.evaluation import evaluate
from supcon_tf.results.accuracy import outcome_name
from supcon_tf.results.worst import worst_cases


def row(name, epsilon, norm="linf"):
    in_255 = norm == "linf"
    return {
        "name": name,
        "norm": norm,
        "epsilon": epsilon / 255 if in_255 else epsilon,
        "epsilon_255": epsilon if in_255 else None,
    }


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_is_right_if_it_withstands_every_attack_of_an_epsilon(norm):
    rng = np.random.default_rng(0)
    rows = [row(name, e, norm) for name in ("fgsm", "pgd") for e in (4.0, 8.0)]
    rows.append(row("square", 8.0, norm))
    outcomes = {
        outcome_name(r["name"], r[KEY[norm]]): rng.random(50) < 0.7 for r in rows
    }
    found = worst_cases(rows, outcomes)
    assert [entry["attacks"] for entry in found] == [
        ["fgsm", "pgd"],
        ["fgsm", "pgd", "square"],
    ]
    for entry, epsilon in zip(found, (4.0, 8.0), strict=True):
        right = 0
        for image in range(50):
            right += all(outcomes[f"{n}@{epsilon:g}"][image] for n in entry["attacks"])
        assert entry["accuracy"] == right / 50
        assert entry[KEY[norm]] == epsilon
        assert entry["norm"] == norm
        low, high = entry["interval_95"]
        assert low < entry["accuracy"] < high


KEY = {"linf": "epsilon_255", "l2": "epsilon"}


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
