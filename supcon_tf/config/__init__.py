"""All that a run needs to know: options, their sections, and the rules across them.

A section is frozen, and refuses what is not allowed when it is made:

```python
from supcon_tf.config import (
    ATTACKS, STAGES, AdversaryConfig, Config, DataConfig, EvaluationConfig, LossConfig,
    ModelConfig, ProjectorConfig, Section, StageConfig, without_retired_attacks
)

config = Config(
    data=DataConfig(dataset="digits", limit_train=200),
    model=ModelConfig(width=4),
    loss=LossConfig(temperature=0.2),
    finetune=StageConfig(epochs=2, margin_weight=1.0),
    adversary=AdversaryConfig(adversary_steps=3),
    evaluation=EvaluationConfig(attacks=("fgsm", "pgd")),
    projector=ProjectorConfig(projector_images=0),
)
assert Config.from_json(config.to_json()) == config
assert tuple(name for name, _ in config.stages()) == STAGES
assert set(config.evaluation.attacks) <= set(ATTACKS)
assert isinstance(config.model, Section)
given = {"attacks": ["fgsm", "autoattack_art"]}
assert without_retired_attacks(given) == {"attacks": ["fgsm"]}
```
"""

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
