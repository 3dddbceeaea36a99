"""The worst of all attacks, image by image, against a loop."""

import numpy as np
import pytest
from records import attack_row

from supcon_tf.results.strength import outcome_name
from supcon_tf.results.worst import worst_cases


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_is_right_if_it_withstands_every_attack_of_an_epsilon(norm):
    rng = np.random.default_rng(0)
    rows = [
        attack_row(name, e, norm=norm) for name in ("fgsm", "pgd") for e in (4.0, 8.0)
    ]
    rows.append(attack_row("square", 8.0, norm=norm))
    outcomes = {
        outcome_name(row.name, row.strength): rng.random(50) < 0.7 for row in rows
    }
    found = worst_cases(rows, outcomes)
    assert [entry.attacks for entry in found] == [
        ("fgsm", "pgd"),
        ("fgsm", "pgd", "square"),
    ]
    for entry, epsilon in zip(found, (4.0, 8.0), strict=True):
        right = 0
        for image in range(50):
            right += all(outcomes[f"{n}@{epsilon:g}"][image] for n in entry.attacks)
        assert entry.accuracy == right / 50
        assert getattr(entry, KEY[norm]) == epsilon
        assert entry.norm == norm
        low, high = entry.interval_95
        assert low < entry.accuracy < high


KEY = {"linf": "epsilon_255", "l2": "epsilon"}
