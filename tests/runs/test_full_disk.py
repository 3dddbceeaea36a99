"""A run on a disk that fills up, on a real file system of a few megabytes."""

import subprocess

import pytest

FLAGS = (
    *("--dataset=digits", "--limit_train=200", "--limit_test=40", "--width=16"),
    *("--batch_size=32", "--pretrain_epochs=1", "--pretrain_augmentation=none"),
    *("--finetune_epochs=1", "--finetune_augmentation=none", "--epsilons=8"),
    *("--checks_limit=0", "--projector_images=0", "--deterministic"),
)


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_loses_nothing(disk_of, start_train):
    disk = disk_of("700k")
    # A checkpoint of the network takes about 180 KiB.
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(550 * 1024))
    full = start_train(*FLAGS, f"--run_dir={disk / 'run'}")
    code, line = full.end()
    assert code == 1
    assert line.startswith("error: ")
    assert "No space left on device" in line
    assert "Traceback" not in "".join(full.errors)
    assert list(disk.rglob(".making-*")) == []
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
    again = start_train(*FLAGS, f"--run_dir={disk / 'run'}")
    assert again.end()[0] == 0, again.errors
    assert (disk / "run" / "report.md").is_file()
