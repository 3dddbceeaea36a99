"""Checkpoints that are whole or not there, and say of what run and where in it."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supcon_tf.errors import RunError
from supcon_tf.runs.files import replacing

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)\.npz")


@dataclass(frozen=True, order=True)
class Position:
    """Completed epochs of a stage, and completed steps of the epoch after them."""

    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class ArraySpec:
    """What a checkpoint must hold for one variable.

    `shape` and `dtype` are the variable's. With `per_replica`, the array may have an
    axis before these: the part of each replica, whose sum is the value.
    """

    shape: tuple[int, ...]
    dtype: str
    per_replica: bool = False

    def refuse(self, array: np.ndarray) -> None:
        """Raises ValueError if the array is not what it must be."""
        fits = array.shape == self.shape or (
            self.per_replica and array.ndim and array.shape[1:] == self.shape
        )
        if not fits or array.dtype != np.dtype(self.dtype):
            raise ValueError("it holds other variables")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError("it holds values that are not finite")


class Checkpoints:
    """The checkpoints of one stage; the last two are kept.

    Args:
        directory: where they lie.
        run: what must be the same for a run to go on from a checkpoint, by the name
            that an error calls it by; JSON values. What an earlier checkpoint does not
            say is not compared.
        epochs: epochs of the stage.
        steps: steps of an epoch.
        warn: called with a line about each checkpoint that can't be used.
    """

    def __init__(
        self,
        directory: Path,
        run: Mapping[str, Any],
        epochs: int,
        steps: int,
        warn: Callable[[str], Any] = print,
    ) -> None:
        self.directory = directory
        self._run = json.loads(json.dumps(dict(run)))
        self._epochs, self._steps = epochs, steps
        self._warn = warn

    def write(self, position: Position, arrays: Sequence[np.ndarray]) -> None:
        """Adds a checkpoint and removes the oldest.

        Raises:
            RunError: if the disk does not take it. Earlier ones stay as they were.
        """
        header = json.dumps({**asdict(position), "run": self._run})
        name = f"checkpoint-{position.epoch:05d}-{position.step:07d}.npz"
        numbered: dict[str, Any] = {f"{i:05d}": a for i, a in enumerate(arrays)}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with replacing(self.directory / name) as file:
                np.savez(file, header=np.array(header), **numbered)
        except OSError as error:
            raise RunError(
                f"no checkpoint could be written to {self.directory} "
                f"({error.strerror or error}); the last good one is still there"
            ) from error
        # By name the new one need not be the newest.
        others = [path for path in self._paths() if path.name != name]
        for path in others[KEPT - 1 :]:
            path.unlink()

    def read(
        self, specs: Sequence[ArraySpec]
    ) -> tuple[Position, list[np.ndarray]] | None:
        """Position and arrays of the newest usable checkpoint; None if there are none.

        Unusable ones that are newer are set aside, under another ending.

        Raises:
            RunError: if there are checkpoints, and none can be used: to begin again
                would lose what they hold.
        """
        reasons: dict[Path, str] = {}
        for path in self._paths():
            try:
                found = self._load(path, specs)
            # A damaged archive makes zipfile, zlib and numpy raise nearly anything.
            except Exception as error:
                reasons[path] = " ".join(str(error).split()) or type(error).__name__
                continue
            for unusable, reason in reasons.items():
                self._warn(f"skipping the unusable checkpoint {unusable}: {reason}")
                unusable.replace(unusable.with_name(f"{unusable.name}.unusable"))
            return found
        if reasons:
            newest, reason = next(iter(reasons.items()))
            raise RunError(
                f"none of the checkpoints in {self.directory} can be used "
                f"({newest.name}: {reason}). Give a new --run_dir, or remove them to "
                "begin the stage again"
            )
        return None

    def _load(
        self, path: Path, specs: Sequence[ArraySpec]
    ) -> tuple[Position, list[np.ndarray]]:
        # numpy leaves a file that it opened itself open if it is no archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if not isinstance(header, dict):
                raise ValueError("its header is none")
            self._refuse_other_run(header.get("run", {}))
            position = self._position(header)
            if len(file.files) != len(specs) + 1:
                raise ValueError("it holds other variables")
            arrays = []
            for i, spec in enumerate(specs):
                array = file[f"{i:05d}"]
                spec.refuse(array)
                arrays.append(array)
        return position, arrays

    def _refuse_other_run(self, theirs: Mapping[str, Any]) -> None:
        for name, value in theirs.items():
            if name in self._run and self._run[name] != value:
                raise ValueError(
                    f"it is of another run, where {name} was {value!r}, "
                    f"not {self._run[name]!r}"
                )

    def _position(self, header: Mapping[str, Any]) -> Position:
        epoch, step = header["epoch"], header["step"]
        whole = type(epoch) is int and type(step) is int
        if not (
            whole
            and 0 <= epoch <= self._epochs
            and 0 <= step <= (self._steps if epoch < self._epochs else 0)
        ):
            raise ValueError(
                f"it is of epoch {epoch}, step {step}, and the stage has "
                f"{self._epochs} epochs of {self._steps} steps"
            )
        return Position(epoch, step)

    def _paths(self) -> list[Path]:
        """Newest first."""
        found = [p for p in self.directory.glob("*.npz") if _NAME.fullmatch(p.name)]
        return sorted(found, reverse=True)
