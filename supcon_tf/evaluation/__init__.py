"""How hard a model is to fool, and whether that figure can be believed.

```python
import keras, numpy as np
from supcon_tf.config import EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.evaluation import evaluate

layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
config = EvaluationConfig(attacks=("fgsm", "pgd"), checks_limit=0)
found = evaluate(model, Split(images, np.arange(20) % 10), config)
print([row["accuracy"] for row in found.summary["attacks"]])
```
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supcon_tf.evaluation.model_evaluation import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    # `python -m supcon_tf.evaluation` imports this package before it reads its flags,
    # which shall not wait for TensorFlow.
    if name == "evaluate":
        from supcon_tf.evaluation.model_evaluation import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
