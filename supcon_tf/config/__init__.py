"""All that a run needs to know: options, their sections, and the rules across them."""

from supcon_tf.config.attacks import ATTACKS
from supcon_tf.config.config import FINAL, Config
from supcon_tf.config.data import DataConfig
from supcon_tf.config.evaluation import (
    EvaluationConfig,
    without_retired_attacks,
)
from supcon_tf.config.model import ModelConfig
from supcon_tf.config.options import Section
from supcon_tf.config.run import ProjectorConfig
from supcon_tf.config.stages import AdversaryConfig, LossConfig, StageConfig

# The stages by name, in the order of training.
STAGES = Config.stage_names()

__all__ = [
    "ATTACKS",
    "FINAL",
    "STAGES",
    "AdversaryConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "LossConfig",
    "ModelConfig",
    "ProjectorConfig",
    "Section",
    "StageConfig",
    "without_retired_attacks",
]
