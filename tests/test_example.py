"""The model in examples/ is the one of its records, and commands work on it."""

from pathlib import Path

import numpy as np
import pytest

from supcon_tf.attacks import PGD, Target
from supcon_tf.data import load
from supcon_tf.evaluation.finished_parts import file_digest
from supcon_tf.export.run import export_run
from supcon_tf.export.settings import ExportSettings
from supcon_tf.models import load_model
from supcon_tf.results.record import read_result
from supcon_tf.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

FOLDER = RunFolder(Path(__file__).parents[1] / "examples" / "digits_robust")


@pytest.fixture(scope="module")
def data():
    data = load(FOLDER.config().data)
    FOLDER.check_data(data.fingerprint)
    return data


def test_its_figures_are_those_that_its_records_say(data):
    (recorded,) = read_result(FOLDER.robustness_file).models
    assert recorded.model_sha256 == file_digest(FOLDER.model_file)
    assert FOLDER.model_file.stat().st_size < 4_000_000
    images, labels = data.test.pixels(), data.test.labels
    target = Target(load_model(FOLDER.model_file), images)
    logits = target.logits(images)
    # Rounding differs from one processor to the next.
    apart = abs(np.mean(np.argmax(logits, axis=1) == labels) - recorded.clean_accuracy)
    assert apart < 0.01
    (pgd,) = (
        row
        for row in recorded.attacks
        if row.name == "pgd" and round(row.epsilon_255) == 16
    )
    assert pgd.accuracy > 0.9
    withstood = PGD(epsilon=16 / 255, steps=10).survivors(target, images, labels)
    assert withstood.mean() == pytest.approx(pgd.accuracy, abs=0.03)


def test_it_is_exported_with_the_card_that_lies_beside_it(tmp_path):
    served = export_run(ExportSettings(run_dir=str(FOLDER.path), output=str(tmp_path)))
    card = (served / "assets.extra" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card == (FOLDER.path / "MODEL_CARD.md").read_text(encoding="utf-8")
