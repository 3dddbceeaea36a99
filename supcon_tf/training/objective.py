"""From a config to what a stage minimises: its losses and its adversary."""

from supcon_tf.config import AdversaryConfig, LossConfig, StageConfig
from supcon_tf.losses import (
    CrossEntropyLoss,
    MarginContrastiveLoss,
    MulticlassHingeLoss,
    SupervisedContrastiveLoss,
)
from supcon_tf.losses.base import BatchLoss
from supcon_tf.training.adversary import Adversary


def losses_for(
    stage: StageConfig, constants: LossConfig
) -> dict[str, tuple[float, BatchLoss]]:
    """Weight and loss of each part that the stage gives a weight."""
    losses = {
        "cross_entropy": CrossEntropyLoss(stage.label_smoothing),
        "supcon": SupervisedContrastiveLoss(
            constants.temperature, variant=constants.supcon_variant
        ),
        "margin": MarginContrastiveLoss(
            constants.positive_margin, constants.negative_margin
        ),
        "hinge": MulticlassHingeLoss(constants.hinge_margin),
    }
    return {part: (weight, losses[part]) for part, weight in stage.loss_weights.items()}


def adversary_for(
    stage: StageConfig, constants: AdversaryConfig, seed: tuple[int, int]
) -> Adversary | None:
    """The attack that the stage trains against, if it has one."""
    if stage.adversary == "none":
        return None
    return Adversary(
        stage.adversary,
        epsilon=constants.adversary_epsilon / 255,
        steps=constants.adversary_steps,
        contrastive_views=stage.contrastive_views,
        seed=seed,
    )
