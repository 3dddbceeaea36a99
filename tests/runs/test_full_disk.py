"""A run on a disk that fills up, on a real file system of a few megabytes."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FLAGS = (
    *("--dataset=digits", "--limit_train=200", "--limit_test=40", "--width=4"),
    *("--batch_size=32", "--pretrain_epochs=1", "--pretrain_augmentation=none"),
    *("--finetune_epochs=1", "--finetune_augmentation=none", "--epsilons=8"),
    *("--checks_limit=0", "--projector_images=0", "--deterministic"),
)


def run(folder):
    return subprocess.run(
        [sys.executable, "train.py", *FLAGS, f"--run_dir={folder}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_loses_nothing(disk_of):
    disk = disk_of("700k")
    # A checkpoint of the network takes about 400 KiB.
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(550 * 1024))
    full = run(disk / "run")
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert list(disk.rglob(".making-*")) == []
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
    again = run(disk / "run")
    assert again.returncode == 0, again.stderr
    assert (disk / "run" / "report.md").is_file()
