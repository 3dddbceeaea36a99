"""The folder that TensorBoard's projector reads: tensors, tables, sprites, config."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector import EmbeddingInfo, ProjectorConfig

from supcon_tf.runs.files import replacing, write_text

CONFIG_NAME = "projector_config.pbtxt"
FOLDER_NAME = "projector"
# Whitespace that would end a cell or a line of a table, as people would write it.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class ProjectorFolder:
    """`projector` in a TensorBoard log folder: one config that lists all tensors.

    Every file is written whole, and the config after the files that it names. What an
    earlier process listed stays listed.

    Args:
        tensorboard: TensorBoard's log folder of the run.
    """

    def __init__(self, tensorboard: Path) -> None:
        self.path = tensorboard / FOLDER_NAME
        self.config_file = self.path / CONFIG_NAME

    def add(
        self,
        name: str,
        vectors: np.ndarray,
        columns: Mapping[str, Sequence[Any]],
        sprite: bytes,
        tile: tuple[int, int],
    ) -> None:
        """Writes one tensor's files and lists it, in place of one of the same name.

        TensorBoard also reads raw float32, but tries it as text first and fails on
        bytes that happen to be text; tab-separated values always work.

        Args:
            name: of the tensor, as the page shows it.
            vectors: (N, D), N and D at least 2: the page hides anything smaller.
            columns: two or more, each of N values; with a single one the plugin would
                take the header for a row.
            sprite: PNG of N images.
            tile: height and width of each image in the sprite, in pixels.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        stem = name.replace(" ", "-")
        with replacing(self.path / f"{stem}.tsv") as file:
            # Nine digits bring a float32 back to the bit.
            np.savetxt(file, vectors.astype(np.float32), fmt="%.9g", delimiter="\t")
        write_text(self.path / f"{stem}-metadata.tsv", table(columns))
        with replacing(self.path / f"{stem}.png") as file:
            file.write(sprite)
        info = EmbeddingInfo(
            tensor_name=name,
            tensor_path=f"{stem}.tsv",
            tensor_shape=vectors.shape,
            metadata_path=f"{stem}-metadata.tsv",
        )
        info.sprite.image_path = f"{stem}.png"
        info.sprite.single_image_dim.extend([tile[1], tile[0]])
        self._list(info)

    def announce(self) -> None:
        """Makes TensorBoard see the folder, and its news if it runs already."""
        # It looks for a config only in folders that hold an event file.
        if not any(self.path.glob("events.out.tfevents.*")):
            tf.summary.create_file_writer(str(self.path)).close()
        # It reads a config again only when it finds another checkpoint beside it.
        checkpoints = tf.train.CheckpointManager(
            tf.train.Checkpoint(), str(self.path), max_to_keep=1, checkpoint_name="seen"
        )
        latest = checkpoints.latest_checkpoint
        number = int(latest.rsplit("-", 1)[1]) + 1 if latest else 1
        checkpoints.save(checkpoint_number=number)

    def _list(self, info: EmbeddingInfo) -> None:
        config = ProjectorConfig()
        if self.config_file.exists():
            text_format.Parse(self.config_file.read_text(), config)
        names = [embedding.tensor_name for embedding in config.embeddings]
        if info.tensor_name in names:
            config.embeddings[names.index(info.tensor_name)].CopyFrom(info)
        else:
            config.embeddings.append(info)
        write_text(self.config_file, text_format.MessageToString(config))


def table(columns: Mapping[str, Sequence[Any]]) -> str:
    """Tab-separated values with a header; tabs and newlines in cells are escaped."""
    rows = [columns, *zip(*columns.values(), strict=True)]
    lines = ("\t".join(str(cell).translate(_ESCAPES) for cell in row) for row in rows)
    return "".join(line + "\n" for line in lines)
