"""Comparisons of run folders that are written here, without any training."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import records
from PIL import Image
from records import model_result

from supcon_tf.commands.flags import run_command
from supcon_tf.compare.__main__ import main
from supcon_tf.config import Config
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.split_fingerprint import SplitFingerprint
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.visualization.curves import Curves, _curves_figure

REPOSITORY = Path(__file__).parents[2]


def attack_row(name, epsilon, accuracy, norm="linf", **parameters):
    radius = epsilon / 255 if norm == "linf" else epsilon
    if name == "pgd":
        parameters = {"steps": 20, "step_size": radius / 4, "seed": 0, **parameters}
    return {
        "name": name,
        "norm": norm,
        "epsilon": radius,
        "epsilon_255": epsilon if norm == "linf" else None,
        "accuracy": accuracy,
        "interval_95": [accuracy - 0.03, accuracy + 0.03],
        "num_examples": 100,
        "parameters": parameters,
        "seconds": 1.0,
    }


def model_entry(stage, clean, attacks, margin):
    embedding = {
        "knn_accuracy": 0.9,
        "margin_mean": 5.0,
        "relative_margin_mean": margin,
    }
    return {
        "stage": stage,
        "clean_accuracy": clean,
        "attacks": attacks,
        "embedding": embedding,
        "checks": None,
    }


@pytest.fixture
def write_run(tmp_path):
    """Writes an evaluated run folder and returns its path."""

    def write(name, clean=0.8, attacks=None, margin=0.3, result=None, **flags):
        if attacks is None:
            attacks = [attack_row("fgsm", 8.0, 0.4), attack_row("pgd", 8.0, 0.2)]
        RunFolder(tmp_path / name).begin(Config.from_flag_values(flags))
        values = {
            "schema": 1,
            "dataset": "digits",
            "split": "test",
            "num_examples": 100,
            "seed": flags.get("seed", 0),
            "versions": {},
            "models": [
                model_entry("pretrain", None, None, None),
                model_entry("final", clean, attacks, margin),
            ],
        }
        file = tmp_path / name / "robustness.json"
        file.write_text(json.dumps({**values, **(result or {})}))
        return str(tmp_path / name)

    return write


@pytest.fixture
def compare(tmp_path, capsys):
    """Exit code, standard output and error of the command, in this process."""

    def run(*words, output=f"--output={tmp_path / 'out'}"):
        with pytest.raises(SystemExit) as end:
            run_command(main, ["compare", *words, output])
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def refusal(compare, tmp_path):
    """The one line that a refused comparison ends with."""

    def run(*words, **options):
        code, out, error = compare(*words, **options)
        assert code == 2
        assert out == ""
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return error

    return run


def cells_of(text):
    """The cells of the first table, by row label and column title."""
    lines = [line for line in text.split("\n\n")[0].splitlines() if "---" not in line]
    header, *rows = ([c.strip() for c in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def test_runs_that_differ_by_seed_alone_share_a_row_of_mean_and_deviation(
    write_run, compare, tmp_path
):
    runs = [
        write_run(
            f"s{seed}",
            clean=clean,
            attacks=[attack_row("pgd", 8.0, pgd, seed=seed)],
            margin=margin,
            seed=seed,
        )
        for seed, clean, pgd, margin in [
            (0, 0.70, 0.10, 0.1),
            (1, 0.72, 0.20, 0.2),
            (2, 0.77, 0.60, 0.6),
        ]
    ]
    code, out, _ = compare(*runs)
    assert code == 0
    row = cells_of(out)["s0 +2"]
    # Deviations from the mean of 73: -3, -1, 4, so sqrt(26 / 2) = 3.606 points.
    assert row["clean"] == "73.0 ± 3.6%"
    assert row["pgd 8/255"] == "30.0 ± 26.5%"
    assert row["kNN"] == "90.0 ± 0.0%"
    assert row["relative margin"] == "0.3000 ± 0.2646"
    assert row["n"] == "3"
    assert "(n - 1) of n = 3 runs" in out
    assert "s0 (0), s1 (1), s2 (2)" in out
    assert "95 %" not in out
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    clean = record["rows"][0]["figures"][0]
    assert clean["name"] == "clean_accuracy"
    assert clean["standard_deviation"] == pytest.approx(math.sqrt(26 / 2) / 100)
    assert clean["values"] == [0.70, 0.72, 0.77]
    assert record["rows"][0]["seeds"] == [0, 1, 2]


def test_runs_of_other_configs_get_rows_and_the_flags_that_differ(write_run, compare):
    runs = [
        write_run("wide", width=64, seed=0),
        write_run("narrow", width=32, seed=0, finetune_margin_weight=2.0),
        write_run("wide_again", width=64, seed=1),
    ]
    code, out, _ = compare(*runs)
    assert code == 0
    assert list(cells_of(out)) == ["wide +1", "narrow"]
    assert cells_of(out)["narrow"]["n"] == "1"
    assert cells_of(out)["narrow"]["fgsm 8/255"] == "40.0%"
    flags = cells_of(out.split("differ between the rows:\n\n")[1])
    assert flags == {
        "--width": {"flag": "--width", "wide +1": "64", "narrow": "32"},
        "--finetune_margin_weight": {
            "flag": "--finetune_margin_weight",
            "wide +1": "1",
            "narrow": "2",
        },
        "--seed": {"flag": "--seed", "wide +1": "0,1", "narrow": "0"},
    }
    assert "within ± 3.0 points" in out


def fingerprint(test=("test/0",), train=("train/0",)):
    """Of data whose images have these names."""
    splits = {
        name: SplitFingerprint({"a": dict.fromkeys(names)}, "", len(names))
        for name, names in (("train", train), ("test", test))
    }
    return Fingerprint("digits", ("a",), splits)


def test_runs_are_compared_by_the_images_they_were_evaluated_on(
    write_run, compare, tmp_path
):
    moved = write_run("moved", seed=1, dataset="folder", data_dir="there")
    one = write_run("one", dataset="folder", data_dir="here")
    for run in (one, moved):
        (Path(run) / "data.json").write_text(fingerprint().to_json())
    assert list(cells_of(compare(one, moved)[1])) == ["one +1"]
    # Trained on more, they may share a table and not a row.
    grown = fingerprint(train=("train/0", "train/1"))
    (Path(moved) / "data.json").write_text(grown.to_json())
    _, out, _ = compare(one, moved)
    assert list(cells_of(out)) == ["one", "moved"]
    assert "The runs were trained on different images (data.json)." in out
    code, _, error = compare(one, moved, "--average")
    assert (code, "data.json: " in error) == (2, True)
    (Path(moved) / "data.json").write_text(fingerprint(test=("test/1",)).to_json())
    code, _, error = compare(one, moved)
    assert code == 2
    assert "must be evaluated on the same images. Received: " in error
    assert "test: 1 image fewer (test/0), 1 image more (test/1)" in error


def test_runs_without_data_json_are_compared_and_that_is_said(write_run, compare):
    runs = [write_run("one"), write_run("two", seed=1)]
    (Path(runs[1]) / "data.json").write_text(fingerprint().to_json())
    code, out, _ = compare(*runs)
    assert code == 0
    assert "can't be checked, since they have no data.json: one." in out


def test_flags_that_change_nothing_do_not_keep_seeds_apart(write_run, compare):
    one = write_run("one", seed=0, log_format="text", data_dir="here")
    two = write_run("two", seed=1, log_format="json", data_dir="there")
    assert list(cells_of(compare(one, two)[1])) == ["one +1"]


def test_two_runs_of_one_seed_are_no_sample_and_stay_apart(write_run, compare):
    runs = [write_run("one"), write_run("two"), write_run("other", seed=1)]
    code, out, _ = compare(*runs)
    assert code == 0
    assert list(cells_of(out)) == ["one", "two", "other"]


def test_the_order_of_epsilons_and_the_number_of_checks_keep_no_seeds_apart(
    write_run, compare
):
    def made_with(limit, **lists):
        return {"settings": {"checks_limit": limit, **lists}}

    forth = made_with(512, epsilons=[2.0, 8.0], attacks=["fgsm", "pgd"])
    back = made_with(0, epsilons=[8.0, 2.0], attacks=["pgd", "fgsm"])
    one = write_run("one", result=forth)
    two = write_run("two", result=back, seed=1)
    wide = write_run("wide", result=back, width=8)
    _, out, _ = compare(one, two, wide)
    assert list(cells_of(out)) == ["one +1", "wide"]
    flags = cells_of(out.split("differ between the rows:\n\n")[1])
    assert flags["--checks_limit"]["one +1"] == "512,0"
    assert "--epsilons" not in flags
    assert compare("--average", one, two)[0] == 0


def test_an_interval_counts_up_to_its_farthest_bound(write_run, compare, tmp_path):
    row = {**attack_row("fgsm", 8.0, 0.0), "interval_95": [0.0, 0.06]}
    _, out, _ = compare(write_run("one", attacks=[row]))
    assert "within ± 6.0 points" in out
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert record["largest_half_width_95"] == pytest.approx(0.06)


def test_a_figure_that_rounds_to_zero_has_no_sign(write_run, compare):
    _, out, _ = compare(write_run("one", margin=-1e-7))
    assert cells_of(out)["one"]["relative margin"] == "0.0000"


def test_epsilons_that_agree_to_six_digits_have_columns_of_their_own(
    write_run, compare
):
    rows = [attack_row("fgsm", 8.0, 0.4), attack_row("fgsm", 8.00000001, 0.3)]
    cells = cells_of(compare(write_run("one", attacks=rows))[1])["one"]
    assert (cells["fgsm 8/255"], cells["fgsm 8.00000001/255"]) == ("40.0%", "30.0%")


def test_runs_of_two_norms_share_a_table_and_no_axis(write_run, compare, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "supcon_tf.visualization.curves.robustness_curves",
        lambda curves, path, title: drawn.update(curves),
    )
    runs = [write_run("linf", attacks=[attack_row("fgsm", 8.0, 0.4)], width=8)]
    for seed in (0, 1):
        rows = [attack_row("pgd", 0.5, 0.2, norm="l2")]
        runs.append(write_run(f"l2_{seed}", attacks=rows, seed=seed))
    _, out, _ = compare(*runs)
    assert cells_of(out)["l2_0 +1"]["pgd 0.5 L2"] == "20.0 ± 0.0%"
    figure = _curves_figure(drawn)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "epsilon (1/255)",
        "epsilon (L2)",
    ]
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]


def test_a_comparison_is_not_written_into_a_run(write_run, compare):
    one, two = write_run("one"), write_run("two", seed=1)
    before = sorted(Path(two).iterdir())
    code, out, error = compare(one, two, output=f"--output={two}")
    assert (code, out) == (2, "")
    assert (
        error == f"error: --output must not be the folder of a run. Received: {two}\n"
    )
    assert sorted(Path(two).iterdir()) == before


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("*bold*_", r"\*bold\*\_"),
        ("`code`", r"\`code\`"),
        ("two\nlines", r"two\\nlines"),
        (os.fsdecode(b"caf\xe9"), r"caf\\xe9"),
        ("$5_$6", r"\$5\_\$6"),
        ("__init", r"\_\_init"),
    ],
)
def test_folders_of_any_name_can_be_compared(write_run, compare, tmp_path, name, shown):
    runs = [tmp_path / f"{name}{n}" for n in (0, 1)]
    for seed, run in enumerate(runs):
        Path(write_run("written", seed=seed)).rename(run)
    code, out, _ = compare(*map(str, runs))
    assert code == 0
    label = f"{shown}0 +1"
    assert list(cells_of(out)) == [label]
    assert f"- {label}: mean ±" in out
    assert out.strip() in (tmp_path / "out" / "comparison.md").read_text()


def test_an_epsilon_that_a_run_lacks_leaves_a_dash(write_run, compare):
    few = write_run("few", attacks=[attack_row("fgsm", 8.0, 0.4)], width=8)
    rows = [attack_row("pgd", 4.0, 0.5), attack_row("fgsm", 2.0, 0.7)]
    more = write_run("more", attacks=[*rows, attack_row("fgsm", 8.0, 0.3)])
    _, out, _ = compare(few, more)
    cells = cells_of(out)
    assert list(cells["few"]) == [
        "run",
        "n",
        "clean",
        "fgsm 2/255",
        "fgsm 8/255",
        "pgd 4/255",
        "kNN",
        "relative margin",
    ]
    assert cells["few"]["fgsm 2/255"] == cells["few"]["pgd 4/255"] == "-"
    assert cells["more"]["fgsm 2/255"] == "70.0%"


def test_seeds_with_other_epsilons_in_their_results_are_not_averaged(
    write_run, compare, refusal
):
    one = write_run("one", attacks=[attack_row("fgsm", 8.0, 0.4)])
    two = write_run("two", attacks=[attack_row("fgsm", 4.0, 0.4)], seed=1)
    error = refusal(one, two, "--average")
    assert f"'fgsm 8/255' in {one}, 'fgsm 4/255' in {two}" in error
    assert list(cells_of(compare(one, two)[1])) == ["one", "two"]


def test_an_untrained_classifier_has_dashes_and_still_its_embedding(write_run, compare):
    code, out, _ = compare(write_run("run"), "--stage=pretrain")
    assert code == 0
    cells = cells_of(out)["run"]
    assert cells["clean"] == cells["relative margin"] == "-"
    assert cells["kNN"] == "90.0%"
    assert "pretrain model" in out


def test_a_failed_masking_check_is_said_under_the_table(write_run, compare):
    entry = model_entry("final", 0.8, [attack_row("fgsm", 8.0, 0.4)], 0.3)
    names = {"pgd_converged": False, "rescaled_logits": True, "square": None}
    entry["checks"] = [
        {"name": name, "passed": p, "detail": ""} for name, p in names.items()
    ]
    _, out, _ = compare(write_run("run", result={"models": [entry]}))
    assert "too good: pgd_converged (run).\n" in out
    assert "rescaled_logits" not in out
    assert "square" not in out


def test_folders_of_one_name_are_told_apart_by_their_parents(write_run, compare):
    runs = [write_run(name, width=8 + n) for n, name in enumerate(["a/r", "b/r", "c"])]
    _, out, _ = compare(*runs)
    assert list(cells_of(out)) == ["a/r", "b/r", "c"]


def test_the_table_is_printed_and_written_beside_the_figure(
    write_run, compare, tmp_path
):
    code, out, error = compare(write_run("one"), write_run("two", width=8))
    assert (code, error) == (0, "")
    folder = tmp_path / "out"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["comparison.json", "comparison.md", "robustness.png"]
    text = (folder / "comparison.md").read_text()
    assert out.strip() in text
    assert "](robustness.png)" in text
    with Image.open(folder / "robustness.png") as image:
        assert min(image.size) > 300
    record = json.loads((folder / "comparison.json").read_text())
    assert record["schema"] == 1
    assert record["differing_flags"] == {"width": [64, 8]}
    assert record["largest_half_width_95"] == pytest.approx(0.03)
    figures = {
        (figure["name"], figure.get("attack")): figure["mean"]
        for figure in record["rows"][1]["figures"]
    }
    assert figures["accuracy", "pgd"] == 0.2
    assert figures["margin_mean", None] == 5.0


def test_an_attack_keeps_its_line_style_where_a_run_lacks_another():
    both = [records.attack_row("fgsm", 8.0, 0.4), records.attack_row("pgd", 8.0, 0.2)]
    models = {
        "both": Curves.of(model_result("final", *both)),
        "pgd only": Curves.of(model_result("final", *both[1:])),
    }
    fgsm, pgd, only = _curves_figure(models).axes[0].lines
    assert only.get_linestyle() == pgd.get_linestyle() != fgsm.get_linestyle()
    assert only.get_color() != pgd.get_color() == fgsm.get_color()


def test_averaging_other_configs_is_refused_with_the_flag_and_both_values(
    write_run, refusal
):
    one = write_run("one", width=64, temperature=0.1)
    two = write_run("two", width=32, temperature=0.5, seed=1)
    error = refusal(one, two, "--average")
    assert f"--width 64 in {one}, 32 in {two}" in error
    assert "differ in their seed alone" in error


def test_averaging_another_evaluation_setting_is_refused(write_run, refusal):
    one, two = write_run("one", pgd_restarts=1), write_run("two", pgd_restarts=2)
    assert "--pgd_restarts 1 in" in refusal(one, two, "--average")


def test_the_settings_that_a_run_was_evaluated_with_are_compared(write_run, refusal):
    one = write_run("one", pgd_restarts=1)
    later = {"settings": {"pgd_restarts": 3, "attacks": ["fgsm", "pgd"]}}
    two = write_run("two", pgd_restarts=1, result=later, seed=1)
    error = refusal(one, two, "--average")
    assert f"--attacks ('fgsm',) in {one}, ('fgsm', 'pgd') in {two}" in error


def test_averaging_a_seed_with_itself_is_refused(write_run, refusal):
    one, two = write_run("one", seed=3), write_run("two", seed=3)
    error = refusal(one, two, "--average")
    assert f"--seed 3 in {one} and in {two}" in error


def test_averaging_one_run_is_refused(write_run, refusal):
    assert "at least two runs" in refusal(write_run("one"), "--average")


def test_averaging_seeds_gives_their_one_row(write_run, compare):
    runs = [write_run("one", seed=0), write_run("two", seed=1)]
    code, out, _ = compare("--average", *runs)
    assert code == 0
    assert list(cells_of(out)) == ["one +1"]


def test_runs_evaluated_on_other_images_are_refused(write_run, refusal):
    one = write_run("one")
    for changed, named in (
        ({"dataset": "cifar10"}, "dataset 'digits' in"),
        ({"split": "validation"}, "split 'test' in"),
        ({"num_examples": 50}, "num_examples 100 in"),
    ):
        error = refusal(one, write_run(f"other {named}", result=changed))
        assert named in error
        assert "evaluated alike" in error


def test_runs_whose_images_were_chosen_by_another_seed_are_refused(write_run, refusal):
    one, two = write_run("one"), write_run("two", split_seed=7)
    assert f"--split_seed 0 in {one}, 7 in {two}" in refusal(one, two)


def test_attacks_of_other_strength_are_refused(write_run, refusal):
    fgsm = write_run("fgsm", attacks=[attack_row("fgsm", 8.0, 0.4)])
    one = write_run("one", attacks=[attack_row("pgd", 8.0, 0.2)])
    for other, named in (
        (attack_row("pgd", 8.0, 0.2, steps=40), "pgd steps 20 in"),
        (attack_row("pgd", 8.0, 0.2, step_size=0.001), "pgd step_size/epsilon 0.25 in"),
        (attack_row("pgd", 8.0, 0.2, norm="l2"), "pgd norm 'linf' in"),
        (attack_row("pgd", 8.0, 0.2, restarts=5), "pgd restarts None in"),
    ):
        two = write_run(f"other {named.replace('/', ' ')}", attacks=[other])
        assert named in refusal(fgsm, one, two)


def test_attacks_of_another_epsilon_or_seed_may_share_a_table(write_run, compare):
    one = write_run("one", attacks=[attack_row("pgd", 8.0, 0.2)])
    two = write_run("two", attacks=[attack_row("pgd", 3.0, 0.2, seed=5)], seed=5)
    assert compare(one, two)[0] == 0


def test_a_folder_that_was_not_evaluated_is_refused(write_run, refusal, tmp_path):
    (tmp_path / "empty").mkdir()
    error = refusal(write_run("one"), str(tmp_path / "empty"))
    assert "robustness.json is needed" in error
    assert str(tmp_path / "empty") in error


def test_a_file_of_another_form_is_refused(write_run, refusal):
    run = write_run("one")
    file = Path(run, "robustness.json")
    for text, named in (
        ('{"schema": 3}', "must be of schema 1 or 2. Received: 3"),
        ('{"schema": 1, "models": [{}]}', "not an evaluation of this program"),
        ("[1]", "not an evaluation of this program"),
        ("{torn", "not an evaluation of this program"),
    ):
        file.write_text(text)
        error = refusal(run)
        assert named in error
        assert str(file) in error


def test_runs_of_an_attack_that_is_no_more_are_compared_and_that_is_said(
    write_run, compare
):
    settings = {"attacks": ["autoattack_art", "fgsm"]}
    rows = [attack_row("autoattack_art", 8.0, 0.1), attack_row("fgsm", 8.0, 0.4)]
    code, out, _ = compare(
        write_run("old", attacks=rows, result={"settings": settings})
    )
    assert code == 0
    header = list(cells_of(out)["old"])
    assert header.index("fgsm 8/255") < header.index("autoattack_art 8/255")
    assert "autoattack_art is not the standard AutoAttack." in out


def test_a_run_without_its_config_is_refused(write_run, refusal):
    run = write_run("one")
    Path(run, "config.json").unlink()
    assert "config.json" in refusal(run)


def test_a_stage_that_was_not_evaluated_is_refused(write_run, refusal):
    only_final = [model_entry("final", 0.8, [], 0.3)]
    run = write_run("one", result={"models": only_final})
    assert "final. Received: 'pretrain'" in refusal(run, "--stage=pretrain")


def test_one_run_given_twice_is_refused(write_run, refusal):
    run = write_run("one")
    assert "twice" in refusal(run, f"{run}/../one")


def test_wrong_command_lines_are_refused(write_run, refusal, tmp_path):
    run = write_run("one")
    assert "run folders are needed" in refusal()
    assert "--output must be a folder" in refusal(run, output="--stage=final")
    assert "--stage must be one of final, pretrain" in refusal(run, "--stage=middle")
    assert "unknown flag --averge" in refusal(run, "--averge")
    file = tmp_path / "file"
    file.touch()
    assert "can be written" in refusal(run, output=f"--output={file}")


@pytest.mark.parametrize("words", [["--help"], ["RUN", "--output=OUT"]])
def test_neither_help_nor_a_comparison_loads_tensorflow(write_run, tmp_path, words):
    names = {"RUN": write_run("one"), "--output=OUT": f"--output={tmp_path / 'out'}"}
    words = [names.get(word, word) for word in words]
    heavy = {"tensorflow", "keras", "sklearn"}
    if "--help" in words:
        heavy |= {"numpy", "matplotlib"}
    script = (
        "import sys\nfrom supcon_tf.compare.__main__ import main\n"
        f"try:\n    main(['compare', *{words!r}])\n"
        f"finally:\n    assert not {heavy!r} & set(sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "--average" in process.stdout or "| one" in process.stdout
