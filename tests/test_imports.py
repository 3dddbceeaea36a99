"""What an import costs, and what it leaves behind, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import supcon_tf.losses

REPOSITORY = Path(__file__).parents[1]
HEAVY = ["tensorflow", "keras", "keras_cv", "numpy", "sklearn", "matplotlib", "PIL"]
COMPUTING = [
    "attacks",
    "data",
    "evaluation",
    "losses",
    "models",
    "training",
    "visualization",
]


def after(statements, expression):
    """What `expression` is in a new process that ran `statements`."""
    process = subprocess.run(
        [sys.executable, "-c", f"{statements}\nprint(json.dumps({expression}))"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "module",
    [
        "supcon_tf",
        "supcon_tf.config",
        "supcon_tf.commands.flags",
        "supcon_tf.config.options",
        "train",
    ],
)
def test_describing_a_run_loads_nothing_heavy(module):
    imported = after(f"import json, sys, {module}", "list(sys.modules)")
    assert module in imported
    assert [name for name in HEAVY if name in imported] == []


@pytest.mark.slow
def test_importing_every_package_changes_no_global_setting():
    imports = ", ".join(f"supcon_tf.{name}" for name in COMPUTING)
    state = """
def state():
    return {
        "policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "image data format": keras.config.image_data_format(),
        "flags": sorted(flags.FLAGS),
        "environment": dict(os.environ),
        "devices": len(tf.config.get_visible_devices()),
        "eager": tf.executing_eagerly() and not tf.config.functions_run_eagerly(),
        "random": random.getstate()[1][:9],
        "numpy random": np.random.get_state()[1][:9].tolist(),
    }
"""
    before, later = after(
        "import json, os, random, keras, numpy as np, tensorflow as tf\n"
        f"from absl import flags\n{state}\nrandom.seed(1); np.random.seed(1)\n"
        f"before = state()\nimport {imports}",
        "[before, state()]",
    )
    assert later == before
    assert before["policy"] == "float32"


def test_public_losses_are_exactly_four():
    public = [
        "CrossEntropyLoss",
        "MarginContrastiveLoss",
        "MulticlassHingeLoss",
        "SupervisedContrastiveLoss",
    ]
    assert sorted(supcon_tf.losses.__all__) == public
    for name in public:
        assert getattr(supcon_tf.losses, name).__module__.startswith("supcon_tf.losses")
