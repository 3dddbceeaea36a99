"""sweep.json: what became of each run, for people, scripts and the next start.

```
{"schema": 1, "grid": {"seed": ["0", "1"]},
 "runs": [{"name": "seed=0", "status": "done", "seconds": 81.2, "exit_code": 0,
           "message": null, "log": "seed=0/log.txt"}, ...]}
```

`status` is waiting (also of a run that was stopped), running, done or failed.
`seconds`, `exit_code` and, of a failed run, `message` are those of its last start.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from supcon_tf.errors import UserError
from supcon_tf.runs.files import write_text
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.sweep.grid import Axis
from supcon_tf.sweep.turns import short_turn

SCHEMA = 1
LOG = "log.txt"


class SweepRecord:
    """The record of the sweep in a folder, which several processes may keep.

    Args:
        folder: of the sweep; it need not exist.

    Raises:
        UserError: if there is a record that can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "sweep.json"
        self._read()

    def check(self, axes: Sequence[Axis]) -> None:
        """Checks that a grid goes with what was done before; writes nothing.

        Values may come and go; other flags would give the same runs other names.

        Raises:
            UserError: naming both sets of flags.
        """
        known = self._read()
        before, now = set(known["grid"]), {axis.flag for axis in axes}
        begun = (RunFolder(self._folder / run["name"]) for run in known["runs"])
        if before != now and any(folder.has_trained() for folder in begun):
            raise UserError(
                f"the sweep in {self._folder} is over {_listed(before)}; give another "
                f"--output. Received: --grid over {_listed(now)}"
            )

    def begin(self, axes: Sequence[Axis], names: Iterable[str]) -> None:
        """Adds the runs that were not known."""
        with short_turn(self._lock):
            known = self._read()
            entries = {run["name"]: run for run in known["runs"]}
            ordered = {name: entries.pop(name, _waiting(name)) for name in names}
            runs = [*ordered.values(), *entries.values()]
            self._write({axis.flag: list(axis.values) for axis in axes}, runs)

    def of(self, name: str) -> dict[str, Any]:
        """What is known of a run."""
        runs = {run["name"]: run for run in self._read()["runs"]}
        return runs.get(name, _waiting(name))

    def update(self, name: str, **facts: Any) -> None:
        """Writes down what is new of a run, and leaves the others as they are."""
        with short_turn(self._lock):
            known = self._read()
            for run in known["runs"]:
                if run["name"] == name:
                    run.update(facts)
            self._write(known["grid"], known["runs"])

    @property
    def _lock(self) -> Path:
        return self._folder / ".sweep.lock"

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
            if known["schema"] != SCHEMA:
                raise ValueError(f"its schema must be {SCHEMA}: {known['schema']!r}")
            return {"grid": dict(known["grid"]), "runs": list(known["runs"])}
        except (FileNotFoundError, NotADirectoryError):
            return {"grid": {}, "runs": []}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._file} can't be read ({error!r}). Without it every run is "
                "checked again, and those that are finished are not repeated"
            ) from error

    def _write(self, grid: dict[str, Any], runs: list[dict[str, Any]]) -> None:
        record = {"schema": SCHEMA, "grid": grid, "runs": runs}
        write_text(self._file, json.dumps(record, indent=2) + "\n")


def _waiting(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "status": "waiting",
        "seconds": None,
        "exit_code": None,
        "message": None,
        "log": f"{name}/{LOG}",
    }


def _listed(flags: set[str]) -> str:
    return ", ".join(f"--{flag}" for flag in sorted(flags))
