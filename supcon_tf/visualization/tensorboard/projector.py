"""Snapshots of a model's embeddings for TensorBoard's projector."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks import FGSM, Target
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.models.build import in_full_precision
from supcon_tf.models.margins import relative_margins
from supcon_tf.visualization.tensorboard.projector_folder import ProjectorFolder
from supcon_tf.visualization.tensorboard.sprite import (
    sprite_sheet,
    thumbnail_size,
    thumbnails,
)

BATCH_SIZE = 128
# The page puts names into addresses as they are.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class _Points:
    """N images as a model sees them.

    `embeddings` (N, D) unit vectors, `predicted` (N,) class ids, `margins` (N,), and
    `tiles` (N, h, w, 3) uint8 thumbnails.
    """

    embeddings: np.ndarray
    predicted: np.ndarray
    margins: np.ndarray
    tiles: np.ndarray


class SnapshotWriter:
    """Writes embeddings of the same images, clean and attacked, again and again.

    It is made once for a model and compiles it once, so that a snapshot between two
    epochs costs no more than its passes through the network.

    Args:
        model: the model that is being trained; each snapshot reads its weights.
        split: the images that the sample is drawn from, class-balanced.
        tensorboard: TensorBoard's log folder of the run.
        class_names: one for each class.
        count: images in the sample, at least 2.
        seed: of the choice of images.
        epsilon: radius of the FGSM attack (L-inf) in [0,1] pixel units.

    Example:

    ```python
    writer = SnapshotWriter(
        model, data.test, folder.tensorboard, class_names=data.class_names
    )
    writer.write("finetune-epoch3")
    ```
    """

    def __init__(
        self,
        model: ContrastiveClassifier,
        split: Split,
        tensorboard: Path,
        *,
        class_names: Sequence[str],
        count: int = 500,
        seed: int = 0,
        epsilon: float = 8 / 255,
    ) -> None:
        if count < 2:
            raise ValueError(f"count must be at least 2. Received: {count}")
        rows = balanced_sample(split.labels, count, seed)
        self._sample = Split(split.images[rows], split.labels[rows])
        shape = height, width, _ = self._sample.images.shape[1:]
        self._tile = thumbnail_size(height, width, len(rows))
        self._folder = ProjectorFolder(tensorboard)
        self._class_names = class_names
        self._attack = FGSM(epsilon=epsilon)
        self._source = model
        self._model = in_full_precision(model)
        signature = [tf.TensorSpec([None, *shape], tf.float32)]
        self._forward = tf.function(self._outputs, signature, autograph=False)
        self._target = Target(self._model, self._sample.pixels(slice(4)))

    def write(self, name: str, *, classifier_trained: bool = True) -> None:
        """Adds the tensors `NAME clean` and `NAME adversarial`, or replaces them.

        Args:
            name: letters, digits, dots, hyphens and underscores. The page sorts by
                name, so numbers in it should have leading zeros.
            classifier_trained: False if the logits mean nothing yet: there is then no
                attack, and no prediction to show.

        Raises:
            ValueError: if the name has other characters.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"name must match {_NAME.pattern}. Received: {name!r}")
        if self._model is not self._source:
            pairs = zip(self._model.variables, self._source.variables, strict=True)
            for variable, value in pairs:
                variable.assign(value.numpy())
        kinds = ("clean", "adversarial") if classifier_trained else ("clean",)
        for kind in kinds:
            points = self._points(attacked=kind == "adversarial")
            self._folder.add(
                f"{name} {kind}",
                points.embeddings,
                self._columns(points, kind, classifier_trained),
                sprite_sheet(points.tiles),
                self._tile,
            )
        self._folder.announce()

    def _outputs(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        outputs = self._model.outputs_of(images)
        read = outputs[self._model.classifier_input]
        return outputs["embedding"], outputs["logits"], read

    def _points(self, attacked: bool) -> _Points:
        parts = []
        for start in range(0, len(self._sample), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            labels = self._sample.labels[batch]
            images = tf.constant(self._sample.pixels(batch))
            if attacked:
                images = self._attack(self._target, images, labels)
            embeddings, logits, inputs = (t.numpy() for t in self._forward(images))
            kernel, bias = self._model.classifier.get_weights()
            margins = relative_margins(inputs, labels, kernel, bias)
            pixels = np.rint(images.numpy() * 255).astype(np.uint8)
            tiles = thumbnails(pixels, self._tile)
            parts.append((embeddings, logits.argmax(axis=1), margins, tiles))
        return _Points(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _columns(
        self, points: _Points, kind: str, classifier_trained: bool
    ) -> dict[str, Sequence[Any]]:
        """The metadata; each column can be shown as label or as colour."""
        truth = [self._class_names[i] for i in self._sample.labels]
        # As colours the page takes text of up to 50 values, or else numbers.
        columns: dict[str, Sequence[Any]] = {
            "class": truth,
            "class id": self._sample.labels.tolist(),
            "images": [kind] * len(truth),
        }
        if not classifier_trained:
            return columns
        guess = [self._class_names[i] for i in points.predicted]
        # The page's first choice of a label is the first column that isn't all numbers,
        # which classes may be.
        label = [f"{a} → {b}" for a, b in zip(truth, guess, strict=True)]
        correct = points.predicted == self._sample.labels
        return {
            "class → predicted": label,
            **columns,
            "predicted": guess,
            "correct": np.where(correct, "yes", "no").tolist(),
            "margin": [f"{margin:.6g}" for margin in points.margins],
        }
