"""An attack that proposes candidates, which `search` tries."""

from abc import abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages, Array
from supcon_tf.attacks.attack import Attack
from supcon_tf.attacks.inputs import Inputs
from supcon_tf.attacks.search import search
from supcon_tf.attacks.target import Target


class SearchAttack(Attack):
    """Proposes candidates, a try at a time.

    `search` clips them to the ball and to [0, 1], judges them on the model, remembers
    the best of each image, and fills the places of images that are done with images
    that wait, so that batches stay full and memory is that of two batches. The image
    itself is the first candidate: one that the model gets wrong as it is, has fallen.
    """

    starts_at_image = False
    """Whether `propose` reads the logits or the gradient at the image itself."""

    leaves_ball = False
    """Whether candidates may lie outside the ball; they are then no results there."""

    eot_iter = 1
    """How many passes of the model a gradient is the mean of."""

    @abstractmethod
    def tries(self, classes: int) -> int:
        """How many candidates an image gets, itself apart, if none fools the model."""

    @abstractmethod
    def propose(self, active: ActiveImages) -> tf.Tensor:
        """The next candidates (N, H, W, C), which need not respect the bounds.

        `active` holds how the last candidates fared; its `targets` and `memory` are
        the attack's to change.
        """

    def memory(self, entering: ActiveImages) -> dict[str, Array]:
        """What the attack keeps of each image between tries, arrays (N, ...) by name.

        With `starts_at_image`, `entering` holds how the images themselves fare.
        """
        return {}

    def wants_gradient(self, active: ActiveImages) -> np.ndarray:
        """Of which (N,) candidates, just proposed, the gradient is needed."""
        return np.zeros(len(active), bool)

    def may_be_result(self, active: ActiveImages) -> np.ndarray:
        """Which (N,) candidates, just proposed, are results where they fool."""
        return np.ones(len(active), bool)

    def run(self, target: Target, inputs: Inputs, **settings: Any) -> np.ndarray:
        return search(self, target, inputs, **settings)

    def cost(self, classes: int) -> int:
        return self.tries(classes)
