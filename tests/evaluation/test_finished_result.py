"""An evaluation in a run folder counts only if it is the one that was asked for."""

import json
import os

import numpy as np
import pytest
from records import model_result

from supcon_tf.config import Config
from supcon_tf.data import ImageData, Split
from supcon_tf.evaluation.findings import Findings, ModelFile
from supcon_tf.evaluation.finished_result import finished_result
from supcon_tf.evaluation.model_evaluation import Evaluation
from supcon_tf.runs.run_folder import RunFolder

CONFIG = Config.from_flag_values({"epsilons": (8.0,), "seed": 3})
SPLIT = Split(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4))
DATA = ImageData("digits", tuple("0123"), SPLIT, None, SPLIT)


@pytest.fixture
def folder(tmp_path):
    """A run folder with an evaluation of the two models in it."""
    folder = RunFolder(tmp_path)
    paths = {
        "pretrain": folder.stage_model_file("pretrain"),
        "final": folder.model_file,
    }
    folder.stage("pretrain").mkdir()
    for stage, path in paths.items():
        path.write_text(stage)
    files = (ModelFile(path, "", stage, "") for stage, path in paths.items())
    found = (Evaluation(model_result(stage), {}, {}) for stage in paths)
    findings = Findings(CONFIG, DATA, SPLIT, tuple(files), tuple(found), 0)
    folder.robustness_file.write_text(findings.result().to_json())
    folder.report_file.touch()
    return folder


def found_again(folder, config):
    return finished_result(folder, config, DATA, len(SPLIT))


def with_flags(**values):
    return Config.from_flag_values({**CONFIG.flag_values(), **values})


def test_the_evaluation_of_these_models_is_found_again(folder):
    result = found_again(folder, CONFIG)
    assert result.schema == 2
    assert len({model.model_sha256 for model in result.models}) == 2
    assert found_again(folder, with_flags(data_dir="elsewhere", cache_gib=1.0))


@pytest.mark.parametrize("flag", ["seed", "dataset", "epsilons", "checks_limit"])
def test_another_evaluation_is_not_taken_for_it(folder, flag):
    other = {"seed": 4, "dataset": "mnist", "epsilons": (4.0,), "checks_limit": 900}
    assert found_again(folder, with_flags(**{flag: other[flag]})) is None


@pytest.mark.parametrize("stage", ["pretrain", "final"])
def test_the_evaluation_of_another_model_is_not_taken_for_it(folder, stage):
    path = folder.model_file if stage == "final" else folder.stage_model_file(stage)
    path.write_text("trained anew")
    assert found_again(folder, CONFIG) is None
    path.unlink()
    assert found_again(folder, CONFIG) is None


def test_an_evaluation_of_schema_1_counts_if_it_came_after_its_models(folder):
    result = json.loads(folder.robustness_file.read_text())
    for model in result["models"]:
        del model["model_sha256"]
    older = {**result, "schema": 1}
    folder.robustness_file.write_text(json.dumps(older))
    assert json.loads(found_again(folder, CONFIG).to_json()) == older
    later = folder.robustness_file.stat().st_mtime + 5
    os.utime(folder.model_file, (later, later))
    assert found_again(folder, CONFIG) is None
