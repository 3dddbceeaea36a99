"""Inference speed of an export against `model.predict` and the stock Keras graph.

The peer graph is the same network with `keras.layers.BatchNormalization`, written by
`model.export` as Keras' users do. All take turns in one process; figures are images per
second, and a ratio is the median of the turns' ratios.

    python benchmarks/export_speed.py
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 32
CLASSES = 100
TURNS = {128: 15, 1: 100}
PREDICT_GOAL = 1.0
STOCK_GOAL = 1.3


def rows(width: int = WIDTH) -> list[dict[str, Any]]:
    """One row for each batch size, form of the export and peer.

    Returns:
        Rows with `what`, `ours` and `peer` (images/s), `ratio` and `goal` (None where
        the figure is for information).
    """
    with tempfile.TemporaryDirectory() as folder:
        runs = _runs(width, Path(folder))
        return [
            row
            for batch, turns in TURNS.items()
            for row in _compare(runs, batch, turns)
        ]


def _runs(width: int, folder: Path) -> dict[str, Callable[[np.ndarray], Any]]:
    """A function from images to logits for each form of one network."""
    import keras
    import tensorflow as tf

    from export.archive import write_saved_model
    from supcon_tf.models import ContrastiveClassifier, resnet18
    from supcon_tf.models.folding import fold_batch_norm

    keras.utils.set_random_seed(0)
    model = ContrastiveClassifier(resnet18(width=width), CLASSES)
    # With the zeros of a new network, graph optimisation would drop every bias.
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.name in ("beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    names = tuple(map(str, range(CLASSES)))
    write_saved_model(folder / "folded", fold_batch_norm(model), names)
    write_saved_model(folder / "unfolded", model, names)
    stock = with_stock_batch_norm(model)
    stock.predict(np.zeros((1, 32, 32, 3), np.float32), verbose=0)
    stock.export(folder / "stock", verbose=False)

    def served(name: str) -> Callable[[np.ndarray], Any]:
        loaded = tf.saved_model.load(str(folder / name))

        def run(images: np.ndarray) -> Any:
            answer = loaded.signatures["serving_default"](tf.constant(images))
            return answer.get("logits", answer.get("output_0")).numpy()

        return run

    return {
        "folded": served("folded"),
        "unfolded": served("unfolded"),
        "stock graph": served("stock"),
        "model.predict": lambda x: model.predict(x, batch_size=len(x), verbose=0),
    }


def with_stock_batch_norm(model: Any) -> Any:
    """The same network and weights with Keras' own batch norm layers."""
    import keras

    from supcon_tf.models import ContrastiveClassifier

    def stock(layer: Any) -> Any:
        kind = type(layer)
        if isinstance(layer, keras.layers.BatchNormalization):
            kind = keras.layers.BatchNormalization
        return kind.from_config(layer.get_config())

    encoder = keras.models.clone_model(model.encoder, clone_function=stock)
    twin = ContrastiveClassifier(**{**model.get_config(), "encoder": encoder})
    twin.set_weights(model.get_weights())
    return twin


def _compare(
    runs: dict[str, Callable[[np.ndarray], Any]], batch: int, turns: int
) -> list[dict[str, Any]]:
    images = np.random.default_rng(0).random((batch, 32, 32, 3), np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 2):
        for name, run in runs.items():
            start = time.perf_counter()
            run(images)
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    speed = {name: batch / statistics.median(s) for name, s in seconds.items()}
    compared = []
    for ours in ("folded", "unfolded"):
        for peer in ("model.predict", "stock graph"):
            pairs = zip(seconds[peer], seconds[ours], strict=True)
            goal = PREDICT_GOAL if peer == "model.predict" else STOCK_GOAL
            compared.append(
                {
                    "what": f"{ours} export against {peer}, batch {batch}",
                    "ours": speed[ours],
                    "peer": speed[peer],
                    "ratio": statistics.median(theirs / own for theirs, own in pairs),
                    "goal": goal if ours == "folded" else None,
                }
            )
    return compared


def main() -> None:
    print("| what | ours (images/s) | peer (images/s) | ratio | goal |")
    print("|---|---|---|---|---|")
    for row in rows():
        goal = f"{row['goal']:.1f}" if row["goal"] else "-"
        print(
            f"| {row['what']} | {row['ours']:.0f} | {row['peer']:.0f} | "
            f"{row['ratio']:.2f} | {goal} |"
        )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
