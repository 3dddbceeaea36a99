"""All benchmarks, each in a fresh process, in one table that docs/performance.md holds.

python -m benchmarks [--only=losses,attacks] [--run_dir=R --data_dir=DIR] [--nowrite]
"""

import datetime
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from absl import flags

from benchmarks.measure import REPOSITORY, Row, table
from supcon_tf.commands.flags import define_path, new_flags, parse, run_command
from supcon_tf.errors import RunError, UserError
from supcon_tf.runs.files import write_text
from supcon_tf.runtime.processor import processor_features, processor_says

DOCUMENT = REPOSITORY / "docs" / "performance.md"
# The table stands between these lines; what is around it is written by hand.
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
BENCHMARKS = {
    "step": "step_speed",
    "losses": "loss_speed",
    "adversary": "adversary_speed",
    "attacks": "attack_speed",
    "autoattack": "autoattack_speed",
    "input": "input_speed",
    "streaming": "stream_speed",
    "run_start": "run_start_speed",
    "startup": "startup_speed",
    "replicas": "replica_speed",
    "export": "export_speed",
}
# What attacks are timed on where no run is given: twenty seconds of training.
QUICK_RUN = (
    *("--dataset=digits", "--width=32", "--pretrain_epochs=2", "--finetune_epochs=1"),
    *("--batch_size=64", "--checks_limit=0", "--projector_images=0"),
)


def main(argv: list[str]) -> None:
    values = new_flags()
    flags.DEFINE_list("only", list(BENCHMARKS), "which benchmarks", flag_values=values)
    define_path(
        values,
        "run_dir",
        "finished run that attacks are timed on; a small one is trained if empty",
    )
    define_path(values, "data_dir", "folder of that run's data")
    flags.DEFINE_bool(
        "write",
        True,
        "put the table into docs/performance.md, if it has all benchmarks",
        flag_values=values,
    )
    parse(values, argv, __doc__ or "")
    chosen = values["only"].value
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        raise UserError(
            f"--only must be any of {', '.join(BENCHMARKS)}. Received: {unknown[0]!r}"
        )
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            arguments = []
            if name == "attacks":
                run_dir = values["run_dir"].value or _trained(Path(folder, "run"))
                arguments = [run_dir, values["data_dir"].value]
            rows = _measured(BENCHMARKS[name], arguments)
            # The whole takes half an hour: what is known is told.
            print(table(rows), file=sys.stderr, flush=True)
            found += rows
    print(table(found))
    # The document keeps a whole table rather than gets a part of a new one.
    if values["write"].value and set(chosen) == set(BENCHMARKS):
        _write(found)
        print(f"written: {DOCUMENT}")


def _measured(module: str, arguments: list[str]) -> list[Row]:
    """The rows of a benchmark, from a process of its own."""
    code = (
        "import dataclasses, importlib, json, sys;"
        "from supcon_tf.runtime.environment import prepare_environment;"
        "prepare_environment();"
        f"rows = importlib.import_module('benchmarks.{module}').rows(*sys.argv[1:]);"
        "print(json.dumps([dataclasses.asdict(row) for row in rows]))"
    )
    return [Row(**row) for row in json.loads(_run("-c", code, *arguments)[-1])]


def _trained(folder: Path) -> str:
    _run("train.py", *QUICK_RUN, f"--run_dir={folder}")
    return str(folder)


def _run(*words: str) -> list[str]:
    """The lines that a Python process prints."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise RunError(f"a benchmark failed: {lines[-1]}")
    return done.stdout.splitlines()


def _write(rows: list[Row]) -> None:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    middle = f"\n\n{_machine()}\n\n{table(rows)}\n\n"
    write_text(DOCUMENT, before + BEGIN + middle + END + after)


def _machine() -> str:
    """A sentence about the processor and the versions."""
    model = processor_says("model name") or "processor"
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    features = ", ".join(name for name in wanted if name in processor_features())
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy")
    )
    return (
        f"{datetime.date.today()}, {len(os.sched_getaffinity(0))} cores of {model} "
        f"({features}), {packages}."
    )


if __name__ == "__main__":
    run_command(main, sys.argv)
