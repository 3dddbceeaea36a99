"""Inference speed of an export against `model.predict` and the stock Keras graph.

The peer graph is the same network with `keras.layers.BatchNormalization`, written by
`model.export` as Keras' users do. Graphs run as TensorFlow Serving runs them, each in a
session of its own. All take turns in one process.

    python -m benchmarks.export_speed
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.runtime.environment import prepare_environment

WIDTH = 32
CLASSES = 100
TURNS = {128: 15, 8: 50, 1: 100}
PREDICT_GOAL = 1.0
STOCK_GOAL = 1.3

Run = Callable[[np.ndarray], Any]


def rows(width: int = WIDTH) -> list[Row]:
    """A row for each batch size, form of the export and peer."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        runs = _runs(width, Path(folder))
        for batch, turns in TURNS.items():
            images = np.random.default_rng(0).random((batch, 32, 32, 3), np.float32)
            seconds = alternating(
                {
                    name: lambda run=run, images=images: run(images)
                    for name, run in runs.items()
                },
                turns,
                warmup=5,
            )
            found += _compared(seconds, batch)
    return found


def _compared(seconds: dict[str, list[float]], batch: int) -> list[Row]:
    goals = {"model.predict": PREDICT_GOAL, "stock Keras graph": STOCK_GOAL}
    return [
        speed_row(
            f"{ours} export against {peer}, batch {batch}",
            seconds,
            peer,
            batch,
            # The folded export is the default.
            goal=goal if ours == "folded" else None,
            ours=ours,
        )
        for ours in ("folded", "unfolded")
        for peer, goal in goals.items()
    ]


def _runs(width: int, folder: Path) -> dict[str, Run]:
    """A function from images to logits for each form of one network."""
    import keras

    from supcon_tf.export.archive import write_saved_model
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
    stock = ContrastiveClassifier(
        **{**model.get_config(), "encoder": stock_encoder(model.encoder)}
    )
    stock.set_weights(model.get_weights())
    stock.predict(np.zeros((1, 32, 32, 3), np.float32), verbose=0)
    stock.export(folder / "stock", verbose=False)
    return {
        "folded": served(folder / "folded", "logits"),
        "unfolded": served(folder / "unfolded", "logits"),
        "stock Keras graph": served(folder / "stock", "output_0"),
        "model.predict": lambda x: model.predict(x, batch_size=len(x), verbose=0),
    }


def served(folder: Path, output: str) -> Run:
    """A SavedModel's default signature in a session."""
    import tensorflow as tf

    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    signature = loaded.signature_def["serving_default"]
    (images,) = signature.inputs.values()
    return session.make_callable(signature.outputs[output].name, [images.name])


def stock_encoder(encoder: Any) -> Any:
    """The same network and weights with Keras' own layers."""
    import keras

    def stock(layer: Any) -> Any:
        kind = type(layer)
        for own in (keras.layers.BatchNormalization, keras.layers.Conv2D):
            if issubclass(kind, own):
                kind = own
        return kind.from_config(layer.get_config())

    twin = keras.models.clone_model(encoder, clone_function=stock)
    twin.set_weights(encoder.get_weights())
    return twin


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
