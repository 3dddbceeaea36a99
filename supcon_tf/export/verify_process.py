"""Verifies a SavedModel as a stranger to the project: run as a file, not imported.

It sees TensorFlow and NumPy only, so what passes here needs none of the code that
trained the model.
"""

import gc
import json
import os
import sys
from typing import Any

BLOCKED = ("supcon_tf", "keras_cv", "export")
TOLERANCE = 1e-4
# Of a model that is exported as it is: the same operations, by whatever kernels.
EXACT = 1e-5


class _Blocker:
    """An import hook that makes the project's packages as good as not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked: the export must not need it")


def main(saved_model: str, expected: str, exact: bool) -> None:
    """Compares all signatures with the expected answers; the first miss ends it."""
    import numpy as np
    import tensorflow as tf

    wanted = np.load(expected)
    served = tf.saved_model.load(saved_model).signatures
    images, names = wanted["images"], wanted["class_names"]
    pixels = images.astype(np.float32) / 255
    inputs = {
        "serving_default": pixels,
        "classify": pixels,
        "classify_uint8": images,
        "classify_encoded": wanted["png"],
    }
    for signature, values in inputs.items():
        worst = 0.0
        for size in wanted["batch_sizes"]:
            answer = served[signature](tf.constant(values[:size]))
            answer = {name: tensor.numpy() for name, tensor in answer.items()}
            logits = wanted[f"logits_{size}"]
            worst = max(worst, float(np.abs(answer["logits"] - logits).max()))
            where = f"{signature}, batch of {size}"
            check_logits(answer["logits"], logits, exact, where)
            check_meaning(answer, logits, names, where)
        sizes = ", ".join(map(str, wanted["batch_sizes"]))
        print(
            f"{signature}: same classes, logits differ by at most {worst:.2g} "
            f"(batches of {sizes})"
        )
    check_embedding(served["embed"](tf.constant(pixels)), wanted)


def check_logits(found: Any, wanted: Any, exact: bool, where: str) -> None:
    import numpy as np

    if found.shape != wanted.shape or found.dtype != np.float32:
        raise SystemExit(f"{where}: logits are {found.dtype} {found.shape}")
    allowed = tolerance(wanted, EXACT if exact else TOLERANCE)
    # Written so that a NaN fails too.
    if not np.abs(found - wanted).max() <= allowed:
        raise SystemExit(
            f"{where}: logits differ by {np.abs(found - wanted).max():.2g}, above "
            f"{allowed:.2g}"
        )


def tolerance(wanted: Any, share: float = TOLERANCE) -> float:
    """What rounding may change: it grows with the numbers that it rounds."""
    import numpy as np

    return share * max(1.0, float(np.abs(wanted).max()))


def check_meaning(answer: dict[str, Any], logits: Any, names: Any, where: str) -> None:
    """The class, its name and the probabilities that belong to the wanted logits."""
    import numpy as np

    classes = logits.argmax(axis=1)
    if answer["class_id"].dtype != np.int64 or (answer["class_id"] != classes).any():
        count = int((answer["class_id"] != classes).sum())
        raise SystemExit(f"{where}: {count} of {len(classes)} classes differ")
    labels = [label.decode() for label in answer["label"]]
    if labels != names[classes].tolist():
        raise SystemExit(f"{where}: labels are not the names of the classes")
    own = answer["logits"]
    shifted = np.exp(own - own.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    if not np.allclose(answer["probabilities"], probabilities, rtol=0, atol=TOLERANCE):
        raise SystemExit(f"{where}: probabilities are not the softmax of the logits")


def check_embedding(answer: dict[str, Any], wanted: Any) -> None:
    import numpy as np

    for name in ("embedding", "features"):
        difference = np.abs(answer[name].numpy() - wanted[name]).max()
        if not difference <= tolerance(wanted[name]):
            raise SystemExit(f"embed: {name} differ by {difference:.2g}")
        print(f"embed: {name} differ by at most {difference:.2g}")
    length = np.linalg.norm(answer["embedding"].numpy(), axis=1)
    if not np.abs(length - 1).max() <= TOLERANCE:
        raise SystemExit("embed: embeddings are not of unit length")


if __name__ == "__main__":
    # It ends too soon for garbage to matter.
    gc.disable()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.meta_path.insert(0, _Blocker())
    main(**json.loads(sys.argv[1]))
