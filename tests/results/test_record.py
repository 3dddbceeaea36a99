"""robustness.json is read as it was written, by this version and by earlier ones."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import attack_row, check_row, evaluation_result, model_result, worst_row

from supcon_tf.config import Config, EvaluationConfig
from supcon_tf.errors import UserError
from supcon_tf.results.record import (
    CumulativeStep,
    EmbeddingFigures,
    EvaluationResult,
    read_result,
)

DATA = Path(__file__).with_name("data")


def test_a_file_of_this_schema_is_written_as_it_was_read():
    file = DATA / "schema2.json"
    result = read_result(file)
    assert result.to_json() == file.read_text()
    assert result.final.attacks[-1].members[1]["targets"] == 9
    assert [step.attack for step in result.final.attacks[-1].cumulative] == [
        *("apgd_ce", "apgd_t", "fab_t", "square"),
    ]


def test_a_file_of_schema_1_has_all_that_it_had():
    file = DATA / "schema1.json"
    result, values = read_result(file), json.loads(file.read_text())
    # It knew neither which model it was of, nor what withstands all attacks.
    assert {model.model_sha256 for model in result.models} == {None}
    assert {model.worst for model in result.models} == {None}
    assert result.data_digest is None
    for model in values["models"]:
        model["worst"] = None
    assert json.loads(result.to_json()) == values


numbers = st.floats(0, 1) | st.none()
rows = st.builds(
    attack_row,
    st.sampled_from(["fgsm", "autoattack", "of another time"]),
    st.floats(0.01, 255) | st.integers(1, 255),
    st.floats(0, 1),
    st.sampled_from(["linf", "l2"]),
    parameters=st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers() | st.floats(-1, 1)
    ),
    cumulative=st.none() | st.just((CumulativeStep("fab_t", 0.5),)),
)
models = st.builds(
    model_result,
    st.sampled_from(["pretrain", "final"]),
    attacks=st.none() | st.lists(rows).map(tuple),
    clean_accuracy=numbers,
    model_sha256=st.none() | st.just("0123"),
    worst=st.none() | st.just((worst_row(8.0, 0.25, "fgsm", "pgd"),)),
    checks=st.none() | st.just((check_row("one", None), check_row("two", False))),
    embedding=st.builds(
        EmbeddingFigures, knn_accuracy=numbers, linear_probe_accuracy=numbers
    ),
)


@given(st.lists(models, min_size=1))
def test_what_is_written_is_read_again(found):
    result = evaluation_result(*found)
    assert EvaluationResult.from_json(result.to_json()) == result


def test_the_strength_of_a_row_is_the_epsilon_of_the_command_line():
    for row, strength, text in (
        (attack_row("pgd", 8.0), 8.0, "8/255"),
        (attack_row("pgd", 0.12345678, norm="l2"), 0.12345678, "0.12345678 L2"),
        (worst_row(0.5, 0.1, "pgd"), 0.5, "0.5/255"),
    ):
        assert (row.strength, row.strength_text) == (strength, text)


def test_a_row_may_be_off_by_as_much_as_its_farthest_bound():
    row = attack_row("pgd", 8.0, 0.0, interval_95=(0.0, 0.06))
    assert row.farthest_bound == 0.06
    assert replace(row, accuracy=0.05).farthest_bound == 0.05


def test_settings_that_are_not_in_the_file_are_those_given():
    given = EvaluationConfig(pgd_steps=7, epsilons=(1.0,))
    result = evaluation_result(settings={"epsilons": [8.0, 4.0]})
    assert result.made_with(given) == replace(given, epsilons=(8.0, 4.0))
    assert evaluation_result().made_with(given) == given
    assert evaluation_result().made_with() == Config().evaluation
    with pytest.raises(UserError, match="settings are not those of an evaluation"):
        evaluation_result(settings={"colour": "red"}).made_with()


def changed(change):
    """The text of an evaluation, but for what `change` does to its values."""
    final = model_result(
        "final",
        attack_row("autoattack", cumulative=(CumulativeStep("fab_t", 0.5),)),
        worst=(worst_row(8.0, 0.5, "autoattack"),),
        checks=(check_row("one", True),),
    )
    values = json.loads(evaluation_result(final).to_json())
    change(values)
    return json.dumps(values)


def at(*path, value=None):
    """Puts a value at a place, or removes what is there if it is `...`."""

    def change(values):
        for key in path[:-1]:
            values = values[key]
        if value is ...:
            del values[path[-1]]
        else:
            values[path[-1]] = value

    return change


def test_a_file_of_another_form_is_refused_in_one_line_that_names_file_and_place(
    tmp_path,
):
    file = tmp_path / "robustness.json"
    first = ("models", 0)
    row = (*first, "attacks", 0)
    for text, said in (
        ("{torn", "it must be JSON: Expecting"),
        ("", "it must be JSON: Expecting value"),
        ("[" * 100_000, "it must be JSON: maximum recursion depth exceeded"),
        ("9" * 5000, "it must be JSON: Exceeds the limit"),
        ("\ufeff{}", "it must be JSON: Unexpected UTF-8 BOM"),
        ("[1]", "it must be an object. Received: [1]"),
        ("3", "it must be an object. Received: 3"),
        ("{}", "it must be of schema 1 or 2. Received: None"),
        ('{"schema": 3}', "it must be of schema 1 or 2. Received: 3"),
        ('{"schema": [2]}', "it must be of schema 1 or 2. Received: [2]"),
        ('{"schema": true}', "schema must be a whole number. Received: True"),
        (changed(at("split", value=...)), "split is missing"),
        (changed(at("models", value=[])), "models must not be empty"),
        (changed(at("models", value=3)), "models must be a list. Received: 3"),
        (changed(at(*first, value={})), "models[0].stage is missing"),
        (
            changed(at("seed", value=True)),
            "seed must be a whole number. Received: True",
        ),
        (changed(at("num_examples", value=9.5)), "num_examples must be a whole number"),
        (changed(at(*row, "accuracy")), "models[0].attacks[0].accuracy must be a num"),
        (
            changed(at(*row, "accuracy", value="0.5")),
            "must be a number. Received: '0.5",
        ),
        (
            changed(at(*row, "interval_95", value=[0.5])),
            "must be a list of 2. Received",
        ),
        (changed(at(*row, "parameters", value=[])), "parameters must be an object"),
        (
            changed(at(*row, "cumulative", 0, value=1)),
            "cumulative[0] must be an object",
        ),
        (
            changed(at(*first, "worst", 0, "norm", value=8)),
            "worst[0].norm must be a text",
        ),
        (changed(at(*first, "checks", 0, "passed", value=0)), "must be true or false"),
        (changed(at(*first, "embedding", value=None)), "embedding must be an object"),
        (changed(at("split", value="x" * 900)), None),
    ):
        file.write_text(text)
        if said is None:
            assert read_result(file).split == "x" * 900
            continue
        with pytest.raises(UserError) as refused:
            read_result(file)
        message = str(refused.value)
        assert message.startswith(f"{file} is not an evaluation of this program (")
        assert said in message
        assert "\n" not in message
        assert len(message) < len(str(file)) + 200


def test_a_file_that_can_not_be_read_is_refused_by_name(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe{}")
    for path in (tmp_path / "bytes", tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="is not an evaluation of this program"):
            read_result(path)


def test_keys_of_a_later_time_are_passed_over():
    text = changed(at("models", 0, "attacks", 0, "colour", value="red"))
    assert EvaluationResult.from_json(text).final.attacks[0].name == "autoattack"
