"""A model made ready for a stage: its optimizer, losses, adversary and averages."""

import zlib
from typing import NamedTuple

import keras
import tensorflow as tf

from supcon_tf.config import Config
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.training.averaging import WeightAverage
from supcon_tf.training.objective import adversary_for, losses_for
from supcon_tf.training.selection import BestEpoch


class Prepared(NamedTuple):
    """What a stage has beside its model.

    `variables` are all that change in training, the model's among them.
    """

    variables: list[keras.Variable]
    average: WeightAverage | None
    best: BestEpoch | None


def prepare(
    model: ContrastiveClassifier,
    config: Config,
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    strategy: tf.distribute.Strategy,
) -> Prepared:
    """Compiles a model for a stage.

    Args:
        model: as the stage before has left it.
        config: of the run.
        name: of the stage.
        schedule: its learning rate.
        strategy: that the model was made under.
    """
    stage = config.stage(name)
    model.encoder.trainable = not stage.freeze_encoder
    seed = (config.seed, zlib.crc32(name.encode()))
    average = best = None
    with strategy.scope():
        model.compile(
            keras.optimizers.SGD(
                schedule, momentum=config.momentum, nesterov=config.momentum > 0
            ),
            losses_for(stage, config.loss),
            weight_decay=config.weight_decay,
            adversary=adversary_for(stage, config.adversary, seed),
        )
        # Not always the optimizer given: mixed_float16 wraps it to scale the loss.
        model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.optimizer.variables]
        variables += [v for metric in model.metrics for v in metric.variables]
        variables = list({id(v): v for v in variables}.values())
        if config.ema_decay:
            average = WeightAverage(model.variables, config.ema_decay)
            variables += average.variables
        if stage.adversary != "none":
            best = BestEpoch(model.variables)
            variables += best.variables
    return Prepared(variables, average, best)
