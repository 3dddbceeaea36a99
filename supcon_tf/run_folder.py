"""The folder that a run writes: what lies where, and who may go on in it."""

import json
from pathlib import Path
from typing import Any

from supcon_tf.config import STAGES, Config
from supcon_tf.errors import UserError
from supcon_tf.files import naming, remove_leftovers, write_text
from supcon_tf.flags import flagfile_text


class RunFolder:
    """Paths of a run, and the small files in it.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.model_file = self.path / "model.keras"
        self.robustness_file = self.path / "robustness.json"
        self.report_file = self.path / "report.md"
        self.evaluation_parts = self.path / "evaluation_parts"
        self.figures = self.path / "figures"
        self.tensorboard = self.path / "tensorboard"

    def stage(self, name: str) -> Path:
        """The folder of a stage's checkpoints and its finished model."""
        return self.path / name

    def stage_model_file(self, name: str) -> Path:
        """A stage's model; it exists once the stage is finished."""
        return self.stage(name) / "model.keras"

    def begin(self, config: Config) -> None:
        """Creates the folder, or checks that a run in it may go on with `config`.

        The caller has the folder to itself (`folder_lock.sole_use`): what killed
        processes left half-written is removed.

        Raises:
            UserError: if the run there was started with other weights-changing flags,
                or the folder can't be written.
        """
        if self.config_file.exists() and self.has_trained():
            self._refuse_changes(config)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path)
            write_text(self.config_file, config.to_json())
            write_text(self.path / "flags.txt", flagfile_text(config, str(self.path)))
        except OSError as error:
            raise UserError(
                f"--run_dir must be a folder that can be written. "
                f"Received: {self.path} ({error.strerror})"
            ) from error

    def config(self) -> Config:
        """The config of the run in the folder.

        Raises:
            UserError: if there is no run in it.
        """
        if not self.config_file.is_file():
            raise UserError(
                f"a run folder with a config.json is needed. Received: {self.path}"
            )
        return Config.from_json(self.config_file.read_text(encoding="utf-8"))

    def keep_metrics_before(self, stage: str, epoch: int) -> None:
        """Drops lines of epochs that are about to be run again."""
        kept = [
            line
            for line in self.metrics()
            if line["stage"] != stage or line["epoch"] <= epoch
        ]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_text(self.metrics_file, text)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a torn last line is left out."""
        if not self.metrics_file.exists():
            return []
        lines = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return lines

    def append_metrics(self, line: dict[str, Any]) -> None:
        path = self.metrics_file
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def has_trained(self) -> bool:
        """Whether there is anything that another config would not go with."""
        trained = [self.metrics_file, self.model_file]
        trained += [file for name in STAGES for file in self.stage(name).glob("*")]
        return any(file.exists() for file in trained)

    def _refuse_changes(self, config: Config) -> None:
        earlier = self.config()
        changed = config.changed_weight_fields(earlier)
        if not changed:
            return
        name = changed[0]
        was, now = earlier.flag_values()[name], config.flag_values()[name]
        raise UserError(
            f"--{name} was {was!r} when the run in {self.path} was started, and "
            f"another value would change its weights. Received: {now!r}. Give a new "
            "--run_dir, or the old value to go on"
        )
