"""Signs that training goes wrong, and what is said of them."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path

from supcon_tf.errors import RunError
from supcon_tf.training.checkpoint import Position
from supcon_tf.training.selection import BestEpoch

# Cross-entropy over that of guessing that no run on its way comes to in an epoch.
DIVERGED = 1.5


def warn_of_divergence(
    name: str, epoch: int, metrics: Mapping[str, float], num_classes: int
) -> None:
    """Says so when an epoch ends worse than it could have begun."""
    guessing = math.log(num_classes)
    found = metrics.get("cross_entropy", 0.0)
    if found > DIVERGED * guessing:
        print(
            f"warning: {name} diverges: cross-entropy is {found:.3g} in epoch "
            f"{epoch}, where guessing has {guessing:.3g}; a lower "
            f"--{name}_learning_rate or a longer --{name}_warmup_epochs may help",
            file=sys.stderr,
        )


def warn_of_collapse(name: str, epoch: int, best: BestEpoch) -> None:
    """Says that a stage ends early, since what it learned has gone."""
    print(
        f"warning: {name} has overfitted to its own attack (catastrophic overfitting): "
        f"robust accuracy is {best.last_accuracy:.1%} in epoch {epoch}, after "
        f"{best.accuracy:.1%} in epoch {best.epoch}, whose model is kept; the stage "
        f"ends here. --{name}_adversary=pgd, a lower --adversary_epsilon or a lower "
        f"--{name}_learning_rate may help",
        file=sys.stderr,
    )


def refuse_nonfinite(
    name: str,
    position: Position,
    metrics: Mapping[str, float],
    weights: Mapping[str, float],
    checkpoints: Path,
) -> None:
    """Raises RunError if a part of the loss is no longer finite."""
    broken = [part for part in weights if not math.isfinite(metrics[part])]
    if broken:
        raise RunError(
            f"the {' and '.join(broken)} loss of {name} is no longer finite in epoch "
            f"{position.epoch + 1}, step {position.step + 1}: a lower "
            f"--{name}_learning_rate or --{name}_{broken[0]}_weight may help. "
            f"The last good checkpoint stays in {checkpoints}"
        )
