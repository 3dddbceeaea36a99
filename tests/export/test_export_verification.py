"""The verification of an export: by a stranger, and before it counts."""

import importlib.util
import subprocess
import sys

import keras
import numpy as np
import pytest

from supcon_tf.errors import RunError
from supcon_tf.export.archive import write_saved_model
from supcon_tf.export.run import export_run
from supcon_tf.export.settings import ExportSettings
from supcon_tf.export.verification import PROCESS, verify
from supcon_tf.export.verify_process import check_logits
from supcon_tf.models import ContrastiveClassifier, load_model
from supcon_tf.models.folding import fold_batch_norm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(run_dir):
    return load_model(run_dir / "model.keras")


def test_export_prints_how_far_each_signature_is_off(run_dir, tmp_path, command):
    finished = command(
        f"--run_dir={run_dir}",
        f"--output={tmp_path}",
        "--stage=pretrain",
        "--model_version=41",
    )
    assert finished.returncode == 0, finished.stderr
    for name in ("serving_default", "classify_uint8", "classify_encoded", "embed"):
        assert f"{name}: " in finished.stdout
    assert "batches of 1, 3, 64" in finished.stdout
    assert "/41" in finished.stdout.splitlines()[-1]


@pytest.mark.parametrize("package", ["supcon_tf", "keras_cv", "export"])
def test_verifying_process_cannot_import(package):
    assert importlib.util.find_spec(package)
    code = (
        f"import sys; sys.path[:0] = {[str(PROCESS.parent), *sys.path]!r}; "
        "import verify_process as v; sys.meta_path.insert(0, v._Blocker()); "
        f"import {package}"
    )
    finished = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert f"{package} is blocked" in finished.stderr


def check(saved_model, model, digits, exact=True, names=None):
    names = names or model.class_names
    verify(saved_model, model, names, digits.test.images[:8], exact)


def test_an_unfolded_export_may_differ_by_less():
    wanted = np.array([[0.5, 0]], np.float32)
    found = wanted + np.float32([0, 5e-5])
    check_logits(found, wanted, False, "serve")
    with pytest.raises(SystemExit, match="serve: logits differ by 5e-05, above 1e-05"):
        check_logits(found, wanted, True, "serve")


def test_other_weights_are_found(unfolded, model, digits):
    other = fold_batch_norm(model)
    bias = np.asarray(other.classifier.bias)
    other.classifier.bias.assign(bias + np.float32(1e-3) * np.arange(10))
    with pytest.raises(RunError, match=r"logits differ by .*above 0\.00"):
        check(unfolded, other, digits, exact=False)


def test_wrong_class_names_are_found(unfolded, model, digits):
    with pytest.raises(RunError, match="labels are not the names"):
        check(unfolded, model, digits, names=model.class_names[::-1])


def test_folder_that_is_no_saved_model_is_found(tmp_path, model, digits):
    with pytest.raises(RunError, match="failed its verification"):
        check(tmp_path, model, digits)


def test_failed_verification_publishes_nothing(run_dir, tmp_path, monkeypatch):
    def wrong(folder, model, *rest):
        twin = keras.models.clone_model(model)
        write_saved_model(folder, twin, *rest)

    monkeypatch.setattr("supcon_tf.export.archive.write_saved_model", wrong)
    wanted = ExportSettings(run_dir=str(run_dir), output=str(tmp_path))
    with pytest.raises(RunError, match=r"not published.*--nofold_batch_norm"):
        export_run(wanted)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_in_reduced_precision_is_exported_in_float32():
    """Its own policy, which the classifier's does not show."""
    from supcon_tf.export.run import _as_float32

    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(dtype="mixed_float16")]
    )
    model = ContrastiveClassifier(encoder, 2)
    assert model.dtype_policy.name == "float32"
    exported = _as_float32(model)
    assert exported.encoder.layers[-1].compute_dtype == "float32"
    assert _as_float32(exported) is exported


def test_what_rounding_may_change_grows_with_the_logits():
    for size, off, passes in (
        (0.1, 9e-5, True),
        (0.1, 2e-4, False),
        (50, 4e-3, True),
        (50, 6e-3, False),
    ):
        wanted = np.array([[size, 0]], np.float32)
        found = wanted + np.float32([0, off])
        if passes:
            check_logits(found, wanted, False, "serve")
            continue
        with pytest.raises(SystemExit, match="serve: logits differ by"):
            check_logits(found, wanted, False, "serve")
