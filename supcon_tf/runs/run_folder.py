"""The folder that a run writes: what lies where, and who may go on in it."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from supcon_tf.config import FINAL, Config
from supcon_tf.config.flag_lines import flagfile_text
from supcon_tf.errors import UserError
from supcon_tf.runs.files import naming, remove_leftovers, replacing, write_text

if TYPE_CHECKING:
    from supcon_tf.data.fingerprint import Fingerprint

C = TypeVar("C", bound=Config)


class RunFolder:
    """Paths of a run, and the small files in it.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.data_file = self.path / "data.json"
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

    def model(self, name: str) -> Path:
        """A model of the run by its name (`Config.models`): final, or a stage's."""
        return self.model_file if name == FINAL else self.stage_model_file(name)

    def check(self, config: Config) -> None:
        """Checks that a run in the folder may go on with `config`; writes nothing.

        Raises:
            UserError: if it was started with other weights-changing flags, or the
                folder holds an evaluation of a model that lies elsewhere.
        """
        if not self.has_trained():
            if self.robustness_file.exists():
                raise UserError(
                    "--run_dir must not be the --output of another model's evaluation, "
                    f"which training would replace. Received: {self.path}"
                )
        elif self.config_file.exists():
            self._refuse_changes(config)

    def check_data(self, fingerprint: "Fingerprint") -> None:
        """Checks that the data is that of the run in the folder, if there is one.

        A run that was made before fingerprints were kept gets a note.

        Raises:
            UserError: naming what differs.
        """
        if not self._has_data():
            return
        earlier = self.fingerprint()
        if earlier is None:
            print(
                f"note: {self.path} has no data.json, since it was made by an earlier "
                "version (which read fewer kinds of files): whether the images are "
                "still those of the run can't be checked",
                file=sys.stderr,
            )
        elif difference := earlier.difference(fingerprint):
            raise UserError(
                f"the images are not those of the run in {self.path}: {difference}. "
                "Give the old ones (--data_dir), or another --run_dir to begin anew"
            )

    def begin(self, config: Config, fingerprint: "Fingerprint | None" = None) -> None:
        """Creates the folder and writes down what the run is, once all is checked.

        The caller has the folder to itself (`folder_lock.sole_use`): what killed
        processes left half-written is removed.

        Args:
            config: of the run.
            fingerprint: of its data; None leaves data.json as it is.

        Raises:
            UserError: as of `check`, or if the folder can't be written.
        """
        self.check(config)
        known = self._has_data() and self.data_file.exists()
        flags = flagfile_text(config, str(self.path))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path)
            write_text(self.config_file, config.to_json())
            write_text(self.path / "flags.txt", flags)
            if fingerprint is not None and not known:
                begins = not self.has_trained()
                fingerprint = dataclasses.replace(fingerprint, since_start=begins)
                with replacing(self.data_file) as file:
                    file.writelines(part.encode() for part in fingerprint.json_parts())
        except OSError as error:
            raise UserError(
                f"--run_dir must be a folder that can be written. "
                f"Received: {self.path} ({error.strerror})"
            ) from error

    def config(self) -> Config:
        """The config of the run in the folder.

        Raises:
            UserError: if there is no run in it, or config.json can't be read.
        """
        return self._config_as(Config)

    def _config_as(self, kind: type[C]) -> C:
        """The config as one of a class that may have more stages."""
        if not self.config_file.is_file():
            raise UserError(
                f"a run folder with a config.json is needed. Received: {self.path}"
            )
        try:
            return kind.from_json(self.config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.config_file} can't be read ({error})") from error

    def fingerprint(self) -> "Fingerprint | None":
        """What the data of the run was; None if an earlier version made the run.

        Raises:
            UserError: if data.json can't be read.
        """
        # NumPy takes a moment to load: a wrong flag should not have to wait for it.
        from supcon_tf.data.fingerprint import Fingerprint

        if not self.data_file.is_file():
            return None
        try:
            return Fingerprint.from_json(self.data_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.data_file} can't be read ({error})") from error

    def held_out_by(self) -> str:
        """How the run holds images out of its own files, for `supcon_tf.data.load`."""
        if not self._has_data():
            return "name"
        known = self.fingerprint()
        return known.held_out_by if known else "order"

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
        text = self.metrics_file.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
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
        for name in Config.stage_names():
            trained += self.stage(name).glob("*")
        return any(file.exists() for file in trained)

    def _has_data(self) -> bool:
        """Whether there is anything that other data would not go with."""
        return self.has_trained() or self.robustness_file.exists()

    def _refuse_changes(self, config: Config) -> None:
        earlier = self._config_as(type(config))
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
