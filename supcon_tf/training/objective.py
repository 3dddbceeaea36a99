"""From a config to the losses of a stage."""

from supcon_tf.config import LossConfig, StageConfig
from supcon_tf.losses import (
    CrossEntropyLoss,
    MarginContrastiveLoss,
    MulticlassHingeLoss,
    SupervisedContrastiveLoss,
)
from supcon_tf.losses.base import BatchLoss


def losses_for(
    stage: StageConfig, constants: LossConfig
) -> dict[str, tuple[float, BatchLoss]]:
    """Weight and loss of each part that the stage gives a weight."""
    losses = {
        "cross_entropy": CrossEntropyLoss(),
        "supcon": SupervisedContrastiveLoss(
            constants.temperature, variant=constants.supcon_variant
        ),
        "margin": MarginContrastiveLoss(
            constants.positive_margin, constants.negative_margin
        ),
        "hinge": MulticlassHingeLoss(constants.hinge_margin),
    }
    return {part: (weight, losses[part]) for part, weight in stage.loss_weights.items()}
