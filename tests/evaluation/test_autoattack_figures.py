"""AutoAttack in an evaluation: its figures, its progress, and how it goes on."""

import numpy as np
import pytest
from records import attack_row, evaluation_result, model_result

import supcon_tf.attacks
from supcon_tf.attacks import APGD, FAB, AutoAttack, Square
from supcon_tf.config import Config, EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.errors import UserError
from supcon_tf.evaluation import robustness as robustness_module
from supcon_tf.evaluation.completeness import refuse_to_shrink
from supcon_tf.evaluation.finished_parts import FinishedParts
from supcon_tf.evaluation.report.autoattack import autoattack
from supcon_tf.evaluation.report.content import Content
from supcon_tf.results.record import CumulativeStep
from supcon_tf.runs.run_folder import RunFolder

from .bar import Bar
from .sessions import measured_on

CONFIG = EvaluationConfig(attacks=("fgsm", "autoattack"), epsilons=(8.0, 24.0))
MEMBERS = ("apgd_ce", "apgd_t", "fab_t", "square")


def short(**ball):
    attack = AutoAttack(**ball)
    attack.members = {
        "apgd_ce": APGD(steps=3, **ball),
        "apgd_t": APGD(loss="dlr_targeted", steps=3, **ball),
        "fab_t": FAB(steps=3, **ball),
        "square": Square(queries=5, schedule="raw", **ball),
    }
    return attack


@pytest.fixture
def split(test_digits):
    return Split(test_digits.images[:60], test_digits.labels[:60])


@pytest.fixture
def shortened(monkeypatch):
    monkeypatch.setattr(supcon_tf.attacks, "AutoAttack", short)


@pytest.mark.slow
def test_its_figures_are_those_of_one_attack_after_the_other(
    honest, split, shortened, monkeypatch
):
    monkeypatch.setattr(robustness_module, "tqdm", Bar)
    monkeypatch.setattr(robustness_module, "_COSTLY", 1)
    monkeypatch.setattr(robustness_module, "_FEWEST", 16)
    measured = measured_on(honest, split, CONFIG)
    images = split.pixels()
    by_hand = short(epsilon=24 / 255).survivors(honest, images, split.labels)
    np.testing.assert_array_equal(measured.outcomes["autoattack@24"], by_hand)
    for row in measured.rows[2:]:
        names = [step.attack for step in row.cumulative]
        left = [step.accuracy for step in row.cumulative]
        assert names == list(MEMBERS)
        assert left == sorted(left, reverse=True)
        assert left[-1] == row.accuracy
        targets = [m.get("targets") for m in row.members]
        assert targets == [None, 9, 9, None]
    assert measured.rows[3].accuracy < measured.rows[2].accuracy
    assert measured.rows[0].cumulative is None
    # What is left to do shrinks as images fall, and all of it was done.
    assert Bar.made[-1].done == Bar.made[-1].total > 0


@pytest.mark.slow
def test_a_stopped_one_goes_on_after_its_last_part(
    honest, split, shortened, monkeypatch, tmp_path
):
    parts = FinishedParts(tmp_path / "parts", {})
    whole = measured_on(honest, split, CONFIG)
    run = FAB.run

    def stopped(self, *arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(FAB, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        measured_on(honest, split, CONFIG, parts=parts)
    monkeypatch.setattr(FAB, "run", run)
    ran = []

    def noted(self, *arguments, **settings):
        ran.append((self.loss, 255 * self.epsilon))
        return APGD_RUN(self, *arguments, **settings)

    APGD_RUN = APGD.run
    monkeypatch.setattr(APGD, "run", noted)
    again = measured_on(honest, split, CONFIG, parts=parts)
    assert [epsilon for _, epsilon in ran] == pytest.approx([24, 24])
    for name, outcome in whole.outcomes.items():
        np.testing.assert_array_equal(again.outcomes[name], outcome)


def row(epsilon, targets, norm="linf"):
    accuracies = zip(MEMBERS, (0.5, 0.25, 0.2, 0.2), strict=True)
    return attack_row(
        "autoattack",
        epsilon,
        0.2,
        norm,
        cumulative=tuple(CumulativeStep(*step) for step in accuracies),
        parameters={"members": [{"name": "apgd_t", "targets": targets}]},
    )


def section(*rows):
    final = model_result("final", *rows, clean_accuracy=0.7)
    untrained = model_result("pretrain", attacks=None, clean_accuracy=None)
    content = Content("digits", evaluation_result(untrained, final), "What it is.")
    return " ".join(autoattack(content).split())


def test_the_report_has_the_accuracy_after_each_attack():
    text = section(row(8.0, 9))
    assert "| stage | epsilon | clean | apgd_ce | apgd_t | fab_t | square |" in text
    assert "| final | 8/255 | 70.00% | 50.00% | 25.00% | 20.00% | 20.00% |" in text
    assert "wrong classes" not in text
    text = section(row(0.5, 5, norm="l2"))
    assert "| final | 0.5 L2 | 70.00% |" in text
    assert "aim at 5 wrong classes, all there are, and not at 9" in text
    assert section(attack_row("fgsm")) == ""


@pytest.mark.slow
def test_a_model_of_six_classes_has_five_targets(honest, split, shortened):
    few = Split(split.images, split.labels % 6)

    def six_logits(images, training=False):
        return honest(images, training=training)[:, :6]

    config = EvaluationConfig(attacks=("apgd_t",), epsilons=(1.0,))
    measured = measured_on(six_logits, few, config)
    assert measured.rows[0].parameters["targets"] == 5


def test_an_evaluation_by_a_retired_attack_is_not_replaced_by_one_without(tmp_path):
    settings = {"attacks": ["autoattack_art"], "epsilons": [8.0]}
    model = model_result("final", attack_row("autoattack_art"))
    result = evaluation_result(model, num_examples=60, settings=settings)
    folder = RunFolder(tmp_path)
    folder.config_file.write_text(Config().to_json())
    folder.robustness_file.write_text(result.to_json())
    with pytest.raises(UserError, match="--attacks lacks autoattack_art"):
        refuse_to_shrink(folder, EvaluationConfig(), 60)


def test_a_run_that_names_a_retired_attack_can_still_be_read():
    old = Config().to_json().replace('"fgsm"', '"fgsm", "autoattack_art"')
    assert Config.from_json(old) == Config()
    only = Config().to_json().replace('"fgsm"', '"autoattack_art"')
    assert Config.from_json(only) == Config()
