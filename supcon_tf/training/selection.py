"""Which epoch of adversarial training is kept, and when training has collapsed."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from supcon_tf.attacks import PGD, Target
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample

IMAGES = 500
STEPS = 10
_BATCH_SIZE = 128
# Of the best robust accuracy so far; below it the stage ends.
COLLAPSED = 0.6


class BestEpoch:
    """Keeps the weights of the epoch that withstands attacks best.

    Adversarial training overfits to its own attack: with one step, robust accuracy may
    fall to nothing within an epoch (catastrophic overfitting); with many, it falls
    slowly. All that is kept lies in variables, so that a checkpoint holds it.

    Args:
        variables: the model's. To be made in the scope of the strategy that made them.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        self._values = list(variables)
        self._kept = [
            keras.Variable(v.numpy(), dtype=v.dtype, trainable=False, name="kept")
            for v in variables
        ]
        # Robust accuracy of the best epoch and of the last one; none yet.
        self._accuracies = keras.Variable([-1.0, -1.0], dtype="float32", name="robust")
        self._epoch = keras.Variable(0, dtype="int64", trainable=False, name="epoch")

    @property
    def variables(self) -> list[keras.Variable]:
        """All that a checkpoint must hold."""
        return [*self._kept, self._accuracies, self._epoch]

    @property
    def epoch(self) -> int:
        """The best epoch, counted from 1; 0 before any."""
        return int(self._epoch.numpy())

    @property
    def accuracy(self) -> float:
        """Robust accuracy of the best epoch."""
        return float(self._accuracies.numpy()[0])

    @property
    def last_accuracy(self) -> float:
        """Robust accuracy of the last epoch."""
        return float(self._accuracies.numpy()[1])

    @property
    def collapsed(self) -> bool:
        """Whether the last epoch is below 60 % of the best one."""
        return self.epoch > 0 and self.last_accuracy < COLLAPSED * self.accuracy

    def record(self, epoch: int, accuracy: float) -> None:
        """Takes note of an epoch (from 1); keeps its weights if none was better.

        Of equals the last is kept, which has learned for longer.
        """
        best = self.accuracy
        # What is kept is float32, and an equal must not seem less.
        if np.float32(accuracy) >= best:
            best = accuracy
            self._epoch.assign(epoch)
            for kept, variable in zip(self._kept, self._values, strict=True):
                kept.assign(variable.numpy())
        self._accuracies.assign([best, accuracy])

    def restore(self) -> None:
        """Gives the model the weights of the best epoch."""
        for kept, variable in zip(self._kept, self._values, strict=True):
            variable.assign(kept.numpy())


def robust_accuracy(
    model: keras.Model, split: Split, epsilon: float, seed: int
) -> Callable[[Callable[[], None]], float]:
    """A function that measures the model's accuracy under PGD-10.

    It calls what it is given after every batch.

    Args:
        model: to be attacked, as it is whenever the function is called.
        split: up to 500 of its images, class-balanced, are attacked.
        epsilon: radius of the L-inf ball, in [0, 1] pixel units.
        seed: of the choice of images and of the random start.
    """
    rows = balanced_sample(split.labels, IMAGES, seed)
    images = split.pixels(rows)
    labels = split.labels[rows]
    attack = PGD(epsilon=epsilon, steps=STEPS, seed=seed)
    # Compiled once: the trace reads the weights as they are whenever it is run.
    target = Target(model, images)

    def measure(after_batch: Callable[[], None]) -> float:
        standing = 0
        for start in range(0, len(images), _BATCH_SIZE):
            part = slice(start, start + _BATCH_SIZE)
            places = np.arange(len(images))[part]
            found = attack.survivors(target, images[part], labels[part], indices=places)
            standing += int(found.sum())
            after_batch()
        return standing / len(images)

    return measure
