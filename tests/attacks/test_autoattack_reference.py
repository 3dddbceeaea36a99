"""AutoAttack and its members against the reference implementation, pyautoattack.

One process of its own holds PyTorch and TensorFlow and makes all that is compared.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
NORMS = ("linf", "l2")


@pytest.fixture(scope="module")
def found():
    for module in ("torch", "pyautoattack"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is an optional extra")
    script = Path(__file__).with_name("pyautoattack_process.py")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_projections_are_the_references(found):
    assert max(found["projections"].values()) < 1e-9


def test_fab_finds_the_same_distance_for_each_image(found):
    for norm in NORMS:
        ours, theirs = (np.array(found[norm]["fab"][k]) for k in ("ours", "theirs"))
        apart = np.abs(ours / theirs - 1)
        # What float32 images leave of it, and an image that walks along a kink.
        assert np.quantile(apart, 0.9) < 1e-4
        assert apart.max() < 1e-2


def test_the_same_images_fall_to_fab(found):
    for norm in NORMS:
        fab = found[norm]["fab"]
        assert fab["our_survivors"] == fab["their_survivors"]
        assert 0.1 < np.mean(fab["our_survivors"]) < 0.9


def test_apgd_has_the_same_loss_after_every_step(found):
    for norm in NORMS:
        for apgd in found[norm]["apgd"].values():
            ours, theirs = np.array(apgd["ours"]), np.array(apgd["theirs"])
            assert ours.shape == theirs.shape == (101, 20)
            close = np.isclose(ours, theirs, rtol=1e-3, atol=1e-4)
            # A sign that rounding turns sends an image on another path. Images that
            # have fallen may have no gradient but rounding, and have left here.
            fallen = np.array(apgd["fallen"])
            assert (close | fallen).all(axis=0).mean() >= 0.9
            assert fallen[-1].mean() < 0.8
            halvings = np.array(apgd["halvings"])
            assert 1 <= halvings.min() <= halvings.max() <= 8


def test_as_many_images_stand_square(found):
    for norm in NORMS:
        square = found[norm]["square"]
        shares = [square[who] / square["images"] for who in ("ours", "theirs")]
        share = np.mean(shares)
        assert square["images"] == 500
        assert 0.1 < share < 0.9
        deviation = np.sqrt(2 * share * (1 - share) / square["images"])
        assert abs(shares[0] - shares[1]) < 4 * deviation


def test_the_whole_leaves_the_same_images_but_for_one(found):
    for norm in NORMS:
        ours, theirs = (
            np.array(found[norm]["ensemble"][k]) for k in ("ours", "theirs")
        )
        assert (ours != theirs).sum() <= 1
        assert 0.1 < ours.mean() < 0.9
