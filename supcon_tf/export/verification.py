"""The check of an export against the run's model, in a process that knows only it."""

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from supcon_tf.errors import RunError
from supcon_tf.models import ContrastiveClassifier

BATCH_SIZES = (1, 3)
PROCESS = Path(__file__).with_name("verify_process.py")
UNFOLD = "; export with --nofold_batch_norm for the operations of the run's model"


def verify(
    saved_model: Path,
    model: ContrastiveClassifier,
    class_names: Sequence[str],
    images: np.ndarray,
    exact: bool,
) -> None:
    """Runs every signature in a fresh process and compares with the model's answers.

    The process has TensorFlow but can import neither this project nor keras_cv, starts
    in another folder and prints what it found.

    Args:
        saved_model: the folder to verify.
        model: the float32 model that was exported, batch norm unfolded.
        class_names: the name of each class.
        images: (N, H, W, 3) uint8, real images.
        exact: whether logits must agree within 1e-5, else within 1e-4, of the largest
            if that is above 1; labels must agree in both cases. Not to the bit: by
            which kernels a SavedModel computes depends on the processor.

    Raises:
        RunError: if anything differs or the model can't be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="export-verify-") as folder:
        expected_file = Path(folder, "expected.npz")
        np.savez(expected_file, **_expected(model, class_names, images))  # type: ignore[arg-type]
        arguments = {
            "saved_model": str(saved_model.resolve()),
            "expected": str(expected_file),
            "exact": exact,
        }
        # -I: neither the current folder nor PYTHONPATH nor the user's packages.
        finished = subprocess.run(
            [sys.executable, "-I", str(PROCESS), json.dumps(arguments)],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no message"]
        raise RunError(
            f"the exported model failed its verification and was not published: "
            f"{lines[-1]}{'' if exact else UNFOLD}"
        )


def _expected(
    model: ContrastiveClassifier, class_names: Sequence[str], images: np.ndarray
) -> dict[str, np.ndarray]:
    """What the process needs: the images in each form, and the model's answers."""
    pixels = images.astype(np.float32) / 255
    sizes = [*(size for size in BATCH_SIZES if size < len(images)), len(images)]
    expected = {
        "images": images,
        "png": np.array([_png(image) for image in images], object).astype(np.bytes_),
        "class_names": np.array(class_names, np.str_),
        "batch_sizes": np.array(sizes),
    }
    # The kernels may order sums differently at another batch size.
    for size in sizes:
        batch = pixels[:size]
        logits = model.predict(batch, batch_size=size, verbose=0)
        expected[f"logits_{size}"] = logits
    expected["features"] = np.asarray(model.features(pixels))
    expected["embedding"] = np.asarray(model.embed(pixels))
    return expected


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()
