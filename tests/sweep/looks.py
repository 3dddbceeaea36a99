"""Looks at what a sweep left behind."""

import json
import time

from supcon_tf.runs.run_folder import RunFolder

PATIENCE = 300


def until(path):
    """Waits for a file that another process writes."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def entries(folder):
    record = json.loads((folder / "sweep.json").read_text())
    return {run["name"]: run for run in record["runs"]}


def entry(folder, name):
    return entries(folder)[name]


def statuses(folder):
    return {name: run["status"] for name, run in entries(folder).items()}


def starts(folder, name):
    return (folder / name / "starts").read_text().splitlines()


def configs(folder):
    found = {path.name: RunFolder(path) for path in folder.iterdir() if path.is_dir()}
    return {name: run.config() for name, run in found.items()}
