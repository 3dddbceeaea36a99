import json
import shutil

import numpy as np
import pytest

from supcon_tf.attacks import PGD
from supcon_tf.config import EvaluationConfig
from supcon_tf.evaluation import evaluate
from supcon_tf.evaluation.finished_parts import FinishedParts

SUBJECT = {"seed": 0}


def with_a_part(folder):
    parts = FinishedParts(folder, SUBJECT)
    parts.part("fgsm/0", lambda: {"survived": np.array([True, False])})
    return parts


def never():
    pytest.fail("computed again")


def test_a_finished_part_is_not_computed_again(tmp_path):
    with_a_part(tmp_path / "parts")
    again = FinishedParts(tmp_path / "parts", SUBJECT)
    np.testing.assert_array_equal(again.part("fgsm/0", never)["survived"], [1, 0])


def test_parts_of_two_models_are_told_apart(tmp_path):
    parts = FinishedParts(tmp_path / "parts", SUBJECT)
    for name, value in (("pretrain", 1), ("final", 2)):
        parts.within(name).part("clean", lambda value=value: {"x": value})
    assert int(parts.within("pretrain").part("clean", never)["x"]) == 1
    assert int(parts.within("final").part("clean", never)["x"]) == 2


def test_parts_of_another_subject_are_removed(tmp_path):
    with_a_part(tmp_path / "parts")
    other = FinishedParts(tmp_path / "parts", {"seed": 1})
    assert int(other.part("fgsm/0", lambda: {"survived": 5})["survived"]) == 5


def test_parts_of_an_earlier_version_are_not_taken_for_these(tmp_path):
    """Their names had the number of the attack in the order of calls."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "subject.json").write_text(json.dumps(SUBJECT, indent=2) + "\n")
    np.savez_compressed(folder / "checks+gradient.npz", usable=np.zeros(3, bool))
    parts = FinishedParts(folder, SUBJECT).within("checks")
    assert int(parts.part("gradient", lambda: {"usable": 5})["usable"]) == 5


@pytest.mark.parametrize("written", [b"", b"{", b"\xff\xfe"])
def test_parts_of_nobody_knows_what_are_removed(tmp_path, written):
    with_a_part(tmp_path / "parts")
    (tmp_path / "parts" / "subject.json").write_bytes(written)
    again = FinishedParts(tmp_path / "parts", SUBJECT)
    assert int(again.part("fgsm/0", lambda: {"survived": 5})["survived"]) == 5


@pytest.mark.parametrize("size", [0, 40])
def test_a_damaged_part_is_computed_again(tmp_path, size):
    with_a_part(tmp_path / "parts")
    (part,) = (tmp_path / "parts").glob("*.npz")
    part.write_bytes(part.read_bytes()[:size])
    again = FinishedParts(tmp_path / "parts", SUBJECT)
    assert int(again.part("fgsm/0", lambda: {"survived": 5})["survived"]) == 5


def test_names_of_any_length_have_files_of_their_own(tmp_path):
    """FGSM's hold every epsilon, of which there may be a hundred."""
    parts = FinishedParts(tmp_path / "parts", SUBJECT)
    names = ["+".join(f"fgsm@{e}" for e in range(n)) for n in (1, 10, 30, 31, 1000)]
    for value, name in enumerate(names):
        parts.part(name, lambda value=value: {"x": value})
    assert [int(parts.part(name, never)["x"]) for name in names] == [0, 1, 2, 3, 4]


def test_discarded_parts_leave_nothing(tmp_path):
    with_a_part(tmp_path / "parts").discard()
    assert list(tmp_path.iterdir()) == []


def test_parts_of_another_subject_are_left_to_it(tmp_path):
    parts = with_a_part(tmp_path / "parts")
    FinishedParts(tmp_path / "parts", {"seed": 1}).discard_own()
    assert int(parts.part("fgsm/0", never)["survived"][0]) == 1
    parts.discard_own()
    assert not (tmp_path / "parts").exists()


def test_what_a_killed_process_was_removing_is_still_known(tmp_path, monkeypatch):
    parts = with_a_part(tmp_path / "parts")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        parts.discard()
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["subject.json"]
    parts.discard_own()
    assert not (tmp_path / "parts").exists()


def test_without_a_folder_nothing_is_kept():
    parts = FinishedParts()
    for value in (1, 2):
        assert int(parts.part("x", lambda value=value: {"x": value})["x"]) == value


class Stop(Exception):
    pass


@pytest.fixture
def attacks(monkeypatch):
    """The PGD attacks that ran to their end; after the `last` one, Stop is raised."""
    ended, original = [], PGD.survivors

    def survivors(self, *arguments, **keywords):
        if len(ended) == ended_at["last"]:
            raise Stop
        found = original(self, *arguments, **keywords)
        ended.append(self.epsilon)
        return found

    ended_at = {"last": None}
    monkeypatch.setattr(PGD, "survivors", survivors)
    return ended, ended_at


@pytest.mark.slow
def test_a_stopped_evaluation_goes_on_and_finds_the_same(
    honest, test_digits, tmp_path, attacks
):
    ended, ended_at = attacks
    config = EvaluationConfig(
        attacks=("fgsm", "pgd"), epsilons=(8.0, 16.0), pgd_steps=4, checks_limit=100
    )

    def run(parts=None):
        ended.clear()
        return evaluate(honest, test_digits, config, seed=1, parts=parts)

    def without_seconds(summary):
        rows = [{**row, "seconds": 0} for row in summary["attacks"]]
        return json.dumps({**summary, "attacks": rows})

    whole, all_attacks = run(), len(ended)
    # Two are the evaluation's own, the others the checks'.
    ended_at["last"] = 5
    with pytest.raises(Stop):
        run(FinishedParts(tmp_path / "parts", SUBJECT))
    ended_at["last"] = None
    resumed = run(FinishedParts(tmp_path / "parts", SUBJECT))
    assert len(ended) == all_attacks - 5
    assert without_seconds(resumed.summary) == without_seconds(whole.summary)
    assert resumed.outcomes.keys() == whole.outcomes.keys()
    for name, outcome in whole.outcomes.items():
        np.testing.assert_array_equal(resumed.outcomes[name], outcome)
