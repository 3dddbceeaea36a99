"""Training on images that stay encoded."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.data import load
from supcon_tf.data.decoding.image_files import BadImage
from supcon_tf.distribution.workers import Workers
from supcon_tf.errors import RunError, UserError
from supcon_tf.models import load_model
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.training.run import train

pytestmark = pytest.mark.usefixtures("shallow")

BAD = 77


def trained(config, path, bad=False):
    """A run, as of a fresh process, on digits of which one may turn bad after it began.

    Returns the number of the bad one's place in training.
    """
    keras.utils.set_random_seed(config.seed)
    data = load(config.data)
    if bad:
        images = data.train.images

        def content(index, real=images.source.stored.content):
            if index == images.indices[BAD]:
                raise BadImage(f"digit {BAD} (it has turned bad)")
            return real(index)

        stored = dataclasses.replace(images.source.stored, content=content)
        images.source = dataclasses.replace(images.source, stored=stored)
    folder = RunFolder(path)
    folder.begin(config, data.fingerprint)
    train(config, data, folder, Workers(tf.distribute.get_strategy()))
    return data


@pytest.fixture(scope="module")
def streamed(small_config):
    def build(**flags):
        return small_config(
            **{
                "cache_gib": 0.0,
                "pretrain_augmentation": "resized_crop",
                "pretrain_epochs": 1,
                "finetune_epochs": 0,
                **flags,
            }
        )

    return build


def weights(path):
    return load_model(RunFolder(path).model_file).get_weights()


@pytest.mark.slow
def test_a_bad_image_in_mid_run_loses_no_step_and_may_be_left_out(
    streamed, tmp_path, capsys
):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    with pytest.raises(UserError, match="digit 77") as error:
        trained(streamed(), stopped, bad=True)
    assert "--skip_bad_images" in str(error.value)
    (checkpoint,) = (stopped / "pretrain").glob("*.npz")
    # A run does not go on with crops of other pixels than before.
    with pytest.raises(RunError, match=r"--cache_gib.*was 'stored images'"):
        trained(streamed(cache_gib=4.0), stopped)
    skipping = streamed(skip_bad_images=True)
    data = trained(skipping, stopped, bad=True)
    assert list(data.train.images.left_out.values()) == [
        f"digit {BAD} (it has turned bad)"
    ]
    said = capsys.readouterr()
    assert said.err.count("left out by --skip_bad_images") == 1
    assert (
        "note: replaced by others of their class, by --skip_bad_images, 1" in said.out
    )
    assert f"step {int(checkpoint.stem[-7:])}" in said.out
    trained(skipping, whole, bad=True)
    for one, same in zip(weights(stopped), weights(whole), strict=True):
        np.testing.assert_allclose(one, same, atol=1e-5)
