"""Checkpoints that are whole or not there, and say where they were taken."""

import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supcon_tf.errors import RunError
from supcon_tf.files import replacing

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)\.npz")


@dataclass(frozen=True, order=True)
class Position:
    """Completed epochs of a stage, and completed steps of the epoch after them."""

    epoch: int = 0
    step: int = 0


class Checkpoints:
    """The checkpoints of one stage; the last two are kept.

    Args:
        directory: where they lie.
        warn: called with a line about each checkpoint that can't be used.
    """

    def __init__(self, directory: Path, warn: Any = print) -> None:
        self.directory = directory
        self._warn = warn

    def save(
        self, position: Position, variables: Sequence[Any], **extra: float
    ) -> None:
        """Writes the values of `variables`, after a check that they are finite.

        Raises:
            RunError: if a value is not finite, or the disk does not take them. Earlier
                checkpoints stay as they were.
        """
        arrays = {f"{i:05d}": v.numpy() for i, v in enumerate(variables)}
        for variable, array in zip(variables, arrays.values(), strict=True):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise RunError(
                    f"weight {variable.path} is no longer finite; "
                    f"the last good checkpoint is in {self.directory}"
                )
        header = json.dumps({**asdict(position), **extra})
        name = f"checkpoint-{position.epoch:05d}-{position.step:07d}.npz"
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(self.directory / name) as file:
                np.savez(file, header=np.array(header), **arrays)
        except OSError as error:
            raise RunError(
                f"no checkpoint could be written to {self.directory} "
                f"({error.strerror or error}); the last good one is still there"
            ) from error
        for path in self._paths()[KEPT:]:
            path.unlink()

    def restore(self, variables: Sequence[Any]) -> tuple[Position, dict[str, float]]:
        """Assigns the newest usable checkpoint; position 0 and {} if there is none."""
        for path in self._paths():
            try:
                # numpy leaves a file that it opened itself open if it is no archive.
                with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                    header = json.loads(str(file["header"]))
                    arrays = [file[f"{i:05d}"] for i in range(len(variables))]
                    if len(file.files) != len(variables) + 1:
                        raise ValueError("it holds other variables")
                shapes = [tuple(variable.shape) for variable in variables]
                if shapes != [array.shape for array in arrays]:
                    raise ValueError("it holds other variables")
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
                reason = " ".join(str(e).split()) or type(e).__name__
                self._warn(f"skipping the unusable checkpoint {path}: {reason}")
                continue
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
            position = Position(header.pop("epoch"), header.pop("step"))
            return position, header
        return Position(), {}

    def _paths(self) -> list[Path]:
        """Newest first."""
        found = [p for p in self.directory.glob("*.npz") if _NAME.fullmatch(p.name)]
        return sorted(found, reverse=True)
