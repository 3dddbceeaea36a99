"""From the options of a stage to its losses."""

import dataclasses
import inspect

import pytest

from supcon_tf.config import LossConfig, StageConfig
from supcon_tf.losses import PARTS
from supcon_tf.training.objective import losses_for


def test_every_loss_has_a_weight_and_every_weight_a_loss():
    options = [field.name for field in dataclasses.fields(StageConfig)]
    weights = [name for name in options if name.endswith("_weight")]
    assert sorted(weights) == sorted(f"{part}_weight" for part in PARTS)


def test_losses_take_their_arguments_from_options():
    constants = LossConfig(0.3, "in", 0.7, 0.1, 2.5)
    weights = {f"{part}_weight": 0.5 + place for place, part in enumerate(PARTS)}
    losses = losses_for(StageConfig(label_smoothing=0.2, **weights), constants)
    assert {part: weight for part, (weight, _) in losses.items()} == {
        "cross_entropy": 0.5,
        "supcon": 1.5,
        "margin": 2.5,
        "hinge": 3.5,
    }
    wanted = {
        "cross_entropy": {"label_smoothing": 0.2},
        "supcon": {"temperature": 0.3, "variant": "in"},
        "margin": {"positive_margin": 0.7, "negative_margin": 0.1},
        "hinge": {"margin": 2.5},
    }
    for part, (_, loss) in losses.items():
        assert isinstance(loss, PARTS[part][0])
        assert loss.get_config().items() >= wanted[part].items()


def test_every_constant_of_the_losses_is_an_argument_of_one():
    used = {option for _, settings in PARTS.values() for option in settings.values()}
    assert {field.name for field in dataclasses.fields(LossConfig)} <= used
    for loss, settings in PARTS.values():
        assert settings.keys() <= inspect.signature(loss).parameters.keys()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_without_weight_is_left_out(part):
    zero = {f"{name}_weight": 0.0 for name in PARTS}
    stage = StageConfig(**{**zero, f"{part}_weight": 2.0})
    assert list(losses_for(stage, LossConfig())) == [part]
