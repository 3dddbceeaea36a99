import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.apart import apart
from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.errors import UserError


def test_runs_take_turns_and_the_warm_up_does_not_count():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = alternating(runs, turns=3, warmup=2)
    assert order == ["a", "b"] * 5
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_the_ratio_is_the_median_of_the_turns_ratios():
    # The machine was ten times as slow in the second turn.
    seconds = {"ours": [1.0, 10.0, 1.0], "peer": [2.0, 30.0, 4.0]}
    row = speed_row("step", seconds, "peer", amount=8, goal=2.0)
    assert row.ratio == 3.0
    assert (row.ours, row.peer) == (8.0, 2.0)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(2.0, " reached"), (1.9, "NOT reached")]
)
def test_a_missed_goal_is_said_to_be(ratio, verdict):
    row = Row("step", 1.0, 2.0, "ms", ratio, goal=2.0)
    assert verdict in table([row])
    assert ("NOT" in table([row])) == (ratio < 2)


def test_the_table_is_put_between_its_marks_and_nothing_else_changes(
    tmp_path, monkeypatch
):
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{command.BEGIN}\nold\n{command.END}\nafter\n")
    monkeypatch.setattr(command, "DOCUMENT", document)
    command._write([Row("step", 1.0, 2.0, "ms", 2.0)])
    text = document.read_text()
    assert text.startswith(f"before\n{command.BEGIN}\n")
    assert text.endswith(f"{command.END}\nafter\n")
    assert "old" not in text
    assert "| step" in text


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Makes each benchmark one row of its name, and a document for the table."""
    monkeypatch.setattr(
        command, "_measured", lambda name, _: [Row(name, 1.0, 2.0, "ms", 2.0)]
    )
    document = tmp_path / "performance.md"
    document.write_text(f"{command.BEGIN}\nold\n{command.END}\n")
    monkeypatch.setattr(command, "DOCUMENT", document)
    return document


def test_all_benchmarks_end_in_one_table_that_is_written(measured, capsys):
    command.main(["benchmarks", "--run_dir=somewhere"])
    printed = capsys.readouterr().out
    assert printed.count("| what") == 1
    assert all(f"| {name} " in printed for name in command.BENCHMARKS.values())
    assert printed.split("written")[0].strip() in measured.read_text()


@pytest.mark.parametrize(
    "words", [("--only=losses,startup",), ("--run_dir=somewhere", "--nowrite")]
)
def test_a_part_of_the_table_or_an_unwanted_one_is_printed_only(
    measured, capsys, words
):
    command.main(["benchmarks", *words])
    assert "| loss_speed " in capsys.readouterr().out
    assert "old" in measured.read_text()


def test_a_benchmark_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="--only must be any of step, losses"):
        command.main(["benchmarks", "--only=speed"])


def test_every_benchmark_has_rows():
    import importlib

    for module in command.BENCHMARKS.values():
        assert callable(importlib.import_module(f"benchmarks.{module}").rows)


def test_turns_apart_are_of_one_process_with_tensorflow_as_it_comes(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    run = apart("tests.turns", "environment", "TF_ENABLE_ONEDNN_OPTS")
    assert [run(), run()] == [[1, None], [2, None]]


def test_a_peer_that_is_missing_apart_is_missing_here():
    with pytest.raises(ImportError, match="no such peer"):
        apart("tests.turns", "missing")


def test_a_turn_that_fails_apart_ends_the_benchmark():
    run = apart("tests.turns", "failing")
    with pytest.raises(RuntimeError, match=r"tests.turns.failing ended: exit code 1"):
        run()


def test_keras_peers_have_keras_own_layers():
    from benchmarks.export_speed import stock_encoder
    from supcon_tf.models import resnet18

    encoder = resnet18((8, 8, 3), width=2)
    twin = stock_encoder(encoder)
    assert not any("supcon_tf" in type(layer).__module__ for layer in twin.layers)
    images = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    np.testing.assert_allclose(twin(images), encoder(images), rtol=1e-4, atol=1e-6)
