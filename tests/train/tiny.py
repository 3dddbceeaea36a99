"""`train.py` on a few images: in this process and in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SECONDS_TO_REFUSE = 240
TINY = (
    "--dataset=digits",
    "--limit_train=200",
    "--limit_test=40",
    "--width=4",
    "--batch_size=32",
    "--pretrain_epochs=1",
    "--pretrain_augmentation=none",
    "--finetune_epochs=1",
    "--finetune_augmentation=none",
    "--epsilons=4,8",
    "--checks_limit=0",
    "--projector_images=20",
)


def process(*words, timeout=SECONDS_TO_REFUSE):
    """`python train.py` with `words`, from the root of the repository."""
    return subprocess.run(
        [sys.executable, "train.py", *words],
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def refusal(code, error):
    assert code == 2, error
    assert "Traceback" not in error
    line = error.splitlines()[-1]
    assert line.startswith("error: ")
    return line.removeprefix("error: ")
