"""All that a run needs to know: options, their sections, and the rules across them."""

from supcon_tf.config.attacks import ATTACKS
from supcon_tf.config.config import (
    STAGES,
    AdversaryConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    ProjectorConfig,
    Section,
    StageConfig,
    without_retired_attacks,
)

__all__ = [
    "ATTACKS",
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
