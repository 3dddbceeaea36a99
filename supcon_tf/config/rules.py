"""What must hold between the sections of a config."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from supcon_tf.config.model import ModelConfig
from supcon_tf.config.stages import LOSSES, StageConfig
from supcon_tf.errors import UserError

if TYPE_CHECKING:
    from supcon_tf.config.config import Config


def check_across_sections(config: "Config") -> None:
    """Refuses what contradicts itself across sections, in words of the command line.

    Raises:
        UserError: naming the flags, their values and what is allowed.
    """
    names = config.stage_names()
    if config.stage(names[0]).schedule == "continue":
        raise UserError(
            f"--{names[0]}_schedule must be one of constant, cosine, one_cycle. "
            "Received: 'continue'"
        )
    if not any(config.stages()):
        flags = _either([f"--{name}_epochs" for name in names])
        zeros = " and ".join("0" for _ in names)
        raise UserError(f"{flags} must be above 0. Received: {zeros}")
    if "transfer" in config.evaluation.attacks and not config.evaluation.transfer_from:
        raise UserError(
            "--attacks=transfer needs --transfer_from=RUN_FOLDER. "
            "Received: --transfer_from=''"
        )
    for name, stage in config.stages():
        _check_losses(name, stage, config.model)
        _check_adversary(name, stage)


def _check_losses(name: str, stage: StageConfig, model: ModelConfig) -> None:
    weights = stage.loss_weights
    if not weights:
        flags = _either([f"--{name}_{part}_weight" for part in LOSSES])
        raise UserError(f"{flags} must be above 0. Received: all 0")
    contrastive = stage.losses_on("embeddings")
    # On frozen features only the projection head, if they act on it, can still learn.
    if stage.freeze_encoder and contrastive and model.contrastive_input == "features":
        raise UserError(
            f"--{name}_freeze_encoder leaves --{name}_{contrastive[0]}_weight nothing "
            f"to train (--contrastive_input=features). "
            f"Received: True and {weights[contrastive[0]]:g}"
        )


def _check_adversary(name: str, stage: StageConfig) -> None:
    if stage.adversary == "none" or stage.losses_on("logits"):
        return
    on_logits = [part for part, what in LOSSES.items() if what == "logits"]
    flags = _either([f"--{name}_{part}_weight" for part in on_logits])
    raise UserError(
        f"--{name}_adversary follows the classifier, which needs {flags} above 0. "
        f"Received: {stage.adversary} and {_all_zero(on_logits)}"
    )


def _all_zero(names: Sequence[str]) -> str:
    return "both 0" if len(names) == 2 else "all 0"


def _either(flags: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, (", ".join(flags[:-1]), flags[-1])))
