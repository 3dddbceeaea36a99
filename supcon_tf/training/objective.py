"""From a config to what a stage minimises: its losses and its adversary."""

from supcon_tf.config import AdversaryConfig, LossConfig, StageConfig
from supcon_tf.losses import PARTS
from supcon_tf.losses.base import BatchLoss
from supcon_tf.training.adversary import Adversary


def losses_for(
    stage: StageConfig, constants: LossConfig
) -> dict[str, tuple[float, BatchLoss]]:
    """Weight and loss of each part that the stage gives a weight."""
    options = {**vars(constants), **vars(stage)}
    losses = {}
    for part, weight in stage.loss_weights.items():
        loss, settings = PARTS[part]
        arguments = {name: options[option] for name, option in settings.items()}
        losses[part] = (weight, loss(**arguments))
    return losses


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
