"""Reports say what robustness.json says; runs without a classifier have one too."""

import itertools
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from records import (
    attack_row,
    check_row,
    evaluation_result,
    model_result,
    worst_row,
)

from supcon_tf.config import Config
from supcon_tf.data import load
from supcon_tf.errors import UserError
from supcon_tf.evaluation.attacked_model import for_attacks
from supcon_tf.evaluation.findings import Findings
from supcon_tf.evaluation.model_evaluation import Evaluation
from supcon_tf.evaluation.preparation import chosen_split
from supcon_tf.evaluation.report import figures
from supcon_tf.evaluation.report import report as report_module
from supcon_tf.evaluation.report.content import Content, Picture
from supcon_tf.evaluation.report.figures import FIGURES, ReportFigure
from supcon_tf.evaluation.report.introduction import run_introduction
from supcon_tf.evaluation.report.report import write_report
from supcon_tf.evaluation.run import evaluate_run, finished_stages
from supcon_tf.models.build import build_classifier
from supcon_tf.results.accuracy import accuracy_table, headline
from supcon_tf.results.intervals import wilson_interval
from supcon_tf.results.markdown import markdown_table
from supcon_tf.results.record import EmbeddingFigures, read_result
from supcon_tf.results.typed_json import plain_json
from supcon_tf.runs.history import history_of
from supcon_tf.runs.run_folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow")]


def attack(name, epsilon, accuracy, norm="linf"):
    parameters = {"loss": "ce", "step_size": 0.1, "steps": 3}
    return attack_row(name, epsilon, accuracy, norm, parameters=parameters)


@pytest.fixture
def result():
    pretrain = [attack("fgsm", 8.0, 0.25), attack("fgsm", 2.0, 0.5)]
    final = [attack("fgsm", 8.0, 0.3), attack("pgd", 0.5, 0.1)]
    return evaluation_result(
        model_result("pretrain", *pretrain),
        model_result("final", *final),
        settings=plain_json(Config().evaluation),
    )


def with_final(result, **changes):
    """The same evaluation, but for this of its final model."""
    *others, final = result.models
    return replace(result, models=(*others, replace(final, **changes)))


@pytest.fixture
def report(tmp_path):
    def write(result):
        pictures = tuple(
            Picture(one.caption, tmp_path / "figures" / one.file, one.section)
            for one in FIGURES
        )
        folder = RunFolder(tmp_path)
        origin = ("model: M",)
        content = Content("digits", result, "What it is.", origin, pictures)
        write_report(folder, content)
        return folder.report_file.read_text()

    return write


def test_the_table_has_a_row_for_each_attack_and_a_column_for_each_epsilon(result):
    assert accuracy_table(result) == (
        ["stage", "attack", "clean", "0.5/255", "2/255", "8/255"],
        [
            ["pretrain", "fgsm", "75.0%", "-", "50.0%", "25.0%"],
            ["final", "fgsm", "75.0%", "-", "-", "30.0%"],
            ["final", "pgd", "75.0%", "10.0%", "-", "-"],
        ],
    )


def test_columns_have_a_unit_and_every_digit_of_their_epsilon():
    rows = [attack("pgd", epsilon, 0.1, "l2") for epsilon in (0.5, 0.12345678)]
    result = evaluation_result(model_result("final", *rows))
    header = ["stage", "attack", "clean", "0.12345678 L2", "0.5 L2"]
    assert accuracy_table(result)[0] == header


def test_each_model_has_a_row_of_what_withstands_every_attack(result):
    result = with_final(result, worst=(worst_row(8.0, 0.2, "fgsm", "pgd"),))
    assert accuracy_table(result)[1] == [
        ["pretrain", "fgsm", "75.0%", "-", "50.0%", "25.0%"],
        ["final", "fgsm", "75.0%", "-", "-", "30.0%"],
        ["final", "pgd", "75.0%", "10.0%", "-", "-"],
        ["final", "worst", "75.0%", "-", "-", "20.0%"],
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "worst": tuple(
                    worst_row(e, 1 / e, "fgsm", "pgd") for e in (4.0, 8.0, 16.0)
                )
            },
            "At 8/255 12.5 % of the test images withstand everything that was tried "
            "(fgsm, pgd); without an attack 75.0 % are classified correctly.",
        ),
        (
            {"worst": tuple(worst_row(e, 0.1, "pgd", norm="l2") for e in (0.25, 1.0))},
            "At 1 L2 10.0 % of the test images withstand everything that was tried "
            "(pgd); without an attack 75.0 % are classified correctly.",
        ),
        (
            {"attacks": None, "worst": None, "clean_accuracy": None},
            "Nothing was attacked: the classifier is untrained.",
        ),
        ({}, ""),
    ],
)
def test_the_first_sentence_is_the_robust_accuracy(result, report, changes, said):
    result = with_final(result, **changes)
    assert headline(result) == said
    text = report(result)
    assert text.split("\n\n")[1] == (said or "What it is.")


def test_weak_attacks_alone_are_said_to_be_no_evidence(result):
    for attacks, said in (
        (["fgsm"], "**FGSM alone is no evidence of robustness**"),
        (["noise", "fgsm"], "**Random noise and FGSM alone is no evidence"),
        (["fgsm", "pgd"], None),
        (["square"], None),
    ):
        worst = (worst_row(8.0, 0.5, *attacks),)
        sentences = headline(with_final(result, worst=worst))
        assert said in sentences if said else "no evidence" not in sentences


def test_the_first_sentences_tell_of_failed_checks(result):
    worst = (worst_row(8.0, 0.5, "pgd"),)
    for results, said in (
        ([True, None], None),
        ([False, None], "**1 masking check failed, so that it may be less.**"),
        ([False, False], "**2 masking checks failed, so that it may be less.**"),
    ):
        checks = tuple(check_row("one", passed) for passed in results)
        sentences = headline(with_final(result, worst=worst, checks=checks))
        assert said in sentences if said else "failed" not in sentences


def test_an_untrained_classifier_has_a_row_that_says_so(result):
    untrained = model_result("pretrain", attacks=None, clean_accuracy=None)
    result = replace(result, models=(untrained, result.final))
    assert accuracy_table(result)[1][0] == [
        "pretrain",
        "(classifier untrained)",
        "-",
        "-",
        "-",
    ]


def test_markdown_columns_line_up():
    assert markdown_table(["a", "long"], [["wide cell", "1"]]) == (
        "| a         | long |\n|-----------|------|\n| wide cell | 1    |"
    )


def test_the_report_has_table_interval_checks_settings_and_pictures(result, report):
    checks = (
        check_row("one", True, "fine"),
        check_row("two", False, "bad"),
        check_row("three", None, "no source"),
    )
    result = with_final(result, checks=checks)
    text = report(result)
    assert "What it is." in text
    assert markdown_table(*accuracy_table(result)) in text
    assert "within ± 3.0 points" in text
    assert "1 of 2 checks failed" in text
    assert "Not applicable (n/a): 1." in text
    assert "| two   | FAIL   | bad       |" in text
    assert "| three | n/a    | no source |" in text
    curves = "![Accuracy over attack strength](figures/robustness.png)\n\nAccuracy over"
    assert text.index(curves) < text.index("believed?")
    margins = "![Margins on the attacked images](figures/margins.png)"
    assert text.index(margins) > text.index("## Embedding")
    assert text.count("](figures/") == len(FIGURES) == 5
    assert (
        "- model: M\n- flags of evaluation: --attacks=fgsm --epsilons=1,2,4,8" in text
    )
    assert "- pgd: loss ce, steps 3\n" in text
    assert "\n\n\n" not in text


def test_a_section_is_a_function_in_the_list(result, report, monkeypatch):
    def more(content):
        return f"## More of {content.name}"

    monkeypatch.setattr(report_module, "SECTIONS", (*report_module.SECTIONS, more))
    assert report(result).endswith("\n\n## More of digits\n")


def test_a_figure_is_an_entry_in_the_list_and_drawn_if_there_is_something(
    monkeypatch, tmp_path
):
    def draw(findings, path):
        path.write_text(f"{findings.final.result.stage}")
        return True

    more = ReportFigure("More", "more.png", "accuracy", draw)
    monkeypatch.setattr(figures, "FIGURES", (*figures.FIGURES, more))
    untrained = model_result("final", attacks=None, clean_accuracy=None)
    evaluations = (Evaluation(untrained, {}, {}),)
    findings = Findings(Config(), None, None, (), evaluations, 0)
    path = tmp_path / "figures" / "more.png"
    drawn = figures.draw_figures(path.parent, findings)
    assert drawn == [Picture("More", path, "accuracy")]
    assert [file.name for file in path.parent.iterdir()] == ["more.png"]


def test_an_interval_counts_up_to_its_farthest_bound(result, report):
    row = attack_row("fgsm", 8.0, 0.0, interval_95=wilson_interval(0, 60))
    result = replace(result, models=(model_result("final", row),))
    # The interval of 0 of 60 goes up to 6.0 points, and its half is 3.0.
    assert "within ± 6.0 points" in report(result)


def with_embeddings(result, *figures):
    models = zip(result.models, itertools.cycle(figures), strict=False)
    return replace(result, models=tuple(replace(m, embedding=e) for m, e in models))


def test_figures_that_round_to_zero_have_no_sign(result, report):
    embedding = EmbeddingFigures(relative_margin_mean=-1e-7, margin_mean=-1e-7)
    result = with_embeddings(result, embedding)
    assert "-0.0" not in report(result)


def test_embedding_columns_that_no_stage_fills_are_left_out(result, report):
    assert "linear probe" not in report(result)
    plain = result.final.embedding
    probed = replace(plain, linear_probe_accuracy=0.625)
    text = report(with_embeddings(result, probed, plain))
    assert "| pretrain | 50.0%        | 62.5%        |" in text
    assert "| final    | 50.0%        | -            |" in text


def test_without_any_embedding_the_report_says_why(result, report):
    assert "Not measured" in report(with_embeddings(result, EmbeddingFigures()))


def test_checks_that_were_left_out_are_not_said_to_have_passed(result, report):
    text = report(result)
    assert "were not run (--checks_limit=0)" in text
    assert "No sign of masked gradients" not in text


def test_the_introduction_names_losses_and_images(result, tmp_path):
    config = Config.from_flag_values({"width": 8, "finetune_epochs": 0})
    history = history_of(RunFolder(tmp_path), config)
    part = " that it never saw."
    assert run_introduction(config, history, result, part) == (
        "ResNet-18 of width 8, trained in pretrain (10 epochs: 1 cross_entropy + 1 "
        "supcon), seed 0; attacked on 100 test images of digits that it never saw."
    )


@pytest.fixture
def run(small_config, tmp_path):
    """A run folder with an untrained network in each of its stages."""

    def build(**flags):
        config = small_config(image_size=16, **flags)
        data = load(config.data)
        folder = RunFolder(tmp_path / "run")
        folder.begin(config)
        mean, std = data.channel_statistics()
        network = build_classifier(
            config.model, data.image_shape, data.class_names, mean, std
        )
        folder.stage("pretrain").mkdir()
        network.save(folder.stage_model_file("pretrain"))
        network.save(folder.model_file)
        return folder, config, data

    return build


def test_a_stage_without_cross_entropy_is_probed_and_not_attacked(run):
    folder, config, data = run(pretrain_cross_entropy_weight=0.0)
    result = evaluate_run(folder, config, data)
    assert read_result(folder.robustness_file) == result
    pretrain, final = json.loads(folder.robustness_file.read_text())["models"]
    assert (pretrain["attacks"], pretrain["clean_accuracy"]) == (None, None)
    assert 0.2 < pretrain["embedding"]["linear_probe_accuracy"] <= 1
    assert 0.2 < pretrain["embedding"]["knn_accuracy"] <= 1
    assert pretrain["embedding"]["margin_mean"] is None
    assert [row["name"] for row in final["attacks"]] == ["fgsm"]
    assert "linear_probe_accuracy" not in final["embedding"]
    text = folder.report_file.read_text()
    assert "(classifier untrained)" in text
    assert "linear probe" in text
    outcomes = np.load(folder.robustness_file.with_suffix(".npz"))
    assert set(outcomes) == {"final/clean", "final/fgsm@8"}
    assert outcomes["final/clean"].mean() == final["clean_accuracy"]


def test_a_run_whose_classifier_was_never_trained_still_has_a_report(run):
    untrained = {"pretrain_cross_entropy_weight": 0.0, "finetune_epochs": 0}
    folder, config, data = run(**untrained)
    result = evaluate_run(folder, config, data)
    assert [model.attacks for model in result.models] == [None]
    text = folder.report_file.read_text()
    assert "There is nothing to check" in text
    assert "Accuracy over attack strength" not in text
    assert "adversarial.png" not in text
    assert not (folder.figures / "robustness.png").exists()


def test_a_run_without_a_final_model_is_refused(run):
    folder, config, _ = run()
    folder.model_file.unlink()
    with pytest.raises(UserError, match=r"finished model\.keras"):
        finished_stages(folder, config)


def test_a_limit_takes_the_same_share_of_every_class(small_config):
    config = small_config(limit=20)
    split = chosen_split(load(config.data), config)
    np.testing.assert_array_equal(np.bincount(split.labels), [2] * 10)
    larger = small_config(limit=30)
    more = chosen_split(load(larger.data), larger)
    assert {i.tobytes() for i in split.images} <= {i.tobytes() for i in more.images}


def test_a_validation_split_that_is_not_there_is_refused(small_config):
    config = small_config(split="validation", validation_share=0.0)
    with pytest.raises(UserError, match="--validation_share above 0"):
        chosen_split(load(config.data), config)


def test_models_of_reduced_precision_are_attacked_in_float32():
    """Their layers have a policy that the model itself does not show."""
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Flatten(dtype="mixed_float16"),
            keras.layers.Dense(10, dtype="mixed_float16"),
        ]
    )
    images = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    assert network(images).dtype == "float16"
    full = for_attacks(network)
    assert full(images).dtype == "float32"
    flat, kernel = images.reshape(4, -1), np.asarray(network.layers[-1].kernel)
    np.testing.assert_allclose(full(images), flat @ kernel, atol=1e-5)
    assert for_attacks(full) is full
