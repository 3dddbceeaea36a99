"""The evaluation of one model."""

from typing import Any

import keras
import numpy as np

from supcon_tf.config import EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.evaluation.robustness import measure_robustness
from supcon_tf.models.build import in_full_precision


def evaluate(
    model: keras.Model,
    split: Split,
    config: EvaluationConfig | None = None,
    *,
    seed: int = 0,
    train: Split | None = None,
    source: keras.Model | None = None,
    classifier_trained: bool = True,
    title: str = "evaluate",
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measures a model's accuracy, clean and under attack.

    Args:
        model: any Keras model from [0,1] images (N, H, W, C) to logits.
        split: the images to attack, with their labels.
        config: attacks, epsilons, checks; the defaults if None.
        seed: of everything random in the attacks.
        train: training images, that nearest neighbours are looked up in.
        source: the model that makes the images of the transfer attack.
        classifier_trained: False if the logits mean nothing yet; they are then not
            attacked.
        title: of the progress bars.

    Returns:
        The model's entry in robustness.json but for its stage, and for each attack
        whether each image (N,) is still classified correctly.

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
    """
    config = config or EvaluationConfig()
    model = in_full_precision(model)
    summary: dict[str, Any] = {"clean_accuracy": None, "attacks": None}
    outcomes: dict[str, np.ndarray] = {}
    if classifier_trained:
        robustness = measure_robustness(model, split, config, seed, source, title)
        summary["clean_accuracy"] = robustness.clean_accuracy
        summary["attacks"] = robustness.rows
        outcomes = robustness.outcomes
    return summary, outcomes
