"""Tools and runtimes that no one here wrote read the export."""

import json

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.models import load_model

pytestmark = pytest.mark.slow


@pytest.fixture
def cli(run_module):
    """What TensorFlow's `saved_model_cli` prints."""

    def run(*words):
        finished = run_module("tensorflow.python.tools.saved_model_cli", *words)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run


def test_saved_model_cli_shows_the_signatures(cli, folded):
    shown = cli("show", "--dir", folded, "--all")
    for name in ("serving_default", "classify_uint8", "classify_encoded", "embed"):
        assert f"signature_def['{name}']" in shown
    assert "shape: (-1, 32, 32, 3)" in shown


def test_saved_model_cli_runs_it(cli, folded, run_dir, digits, tmp_path):
    images = digits.test.pixels(slice(20))
    np.save(tmp_path / "images.npy", images)
    cli(
        *("run", "--dir", folded, "--tag_set", "serve"),
        *("--signature_def", "serving_default"),
        *("--inputs", f"images={tmp_path / 'images.npy'}"),
        *("--outdir", tmp_path / "out"),
    )
    logits = load_model(run_dir / "model.keras").predict(images, verbose=0)
    written = np.load(tmp_path / "out" / "class_id.npy")
    np.testing.assert_array_equal(written, logits.argmax(axis=1))


def test_openvino_agrees_on_the_classes_of_real_images(folded, digits):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    splits = (digits.train, digits.test)
    images = np.concatenate([split.images for split in splits])
    images = images.astype(np.float32) / 255
    signature = tf.saved_model.load(str(folded)).signatures["classify"]
    ours = {k: v.numpy() for k, v in signature(tf.constant(images)).items()}
    # On processors with AMX it would compute in bfloat16.
    compiled = openvino.Core().compile_model(
        openvino.convert_model(str(folded)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    theirs = compiled(images)
    assert len(images) > 1000
    assert len(np.unique(ours["class_id"])) == 10
    np.testing.assert_array_equal(theirs["class_id"], ours["class_id"])
    np.testing.assert_allclose(theirs["logits"], ours["logits"], atol=1e-3)
    assert theirs["label"].tolist() == [x.decode() for x in ours["label"]]


def test_version_holds_labels_config_and_model_card(folded, run_dir):
    extra = folded / "assets.extra"
    assert (extra / "labels.txt").read_text().split() == [str(n) for n in range(10)]
    assert (extra / "config.json").read_text() == (run_dir / "config.json").read_text()
    card = json.loads((extra / "model_card.json").read_text())
    assert card["seed"] == 0
    assert card["evaluation"]["attacks"][0]["parameters"]["loss"] == "ce"
    assert [c["name"] for c in card["evaluation"]["failed_checks"]] == [
        "falls_with_epsilon"
    ]
    text = (extra / "MODEL_CARD.md").read_text()
    for part in ("97.5%", "linf 8/255", "l2 0.5", "falls_with_epsilon: rises by 3"):
        assert part in text
    assert "two_evaluations_agree" not in text
