"""What all attacks share: checks, bounds, and what counts as fooled."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self, final

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.bounds import NORMS
from supcon_tf.attacks.inputs import Inputs, check_count, check_number, check_switch
from supcon_tf.attacks.objectives import Objective
from supcon_tf.attacks.target import Target
from supcon_tf.errors import UserError


class Attack(ABC):
    """Searches the epsilon ball around each image for one that fools a model.

    An image that the model gets wrong as it is, has fallen.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units (8/255, not 8).
        norm: "linf" or "l2", over all pixels and channels of an image.
        loss: what is maximised, one of `losses`.
        targeted: whether labels are targets to hit instead of labels to miss.
        seed: of all random numbers.
        early_stop: whether an image is done with as soon as it fools the model.

    Raises:
        UserError: if a value is not allowed.
    """

    losses: tuple[str, ...] = ("ce", "cw", "dlr")
    """What the attack can maximise."""

    shares_epsilons = False
    """Whether `survivors_at` of many epsilons is cheaper than of one after another."""

    def __init__(
        self,
        *,
        epsilon: float,
        norm: str = "linf",
        loss: str = "cw",
        targeted: bool = False,
        seed: int = 0,
        early_stop: bool = True,
    ) -> None:
        if norm not in NORMS:
            raise UserError(f"norm must be one of linf, l2. Received: {norm!r}")
        self.norm = norm
        self.epsilon = self._checked_epsilon(epsilon)
        if loss not in self.losses:
            raise UserError(
                f"loss must be one of {', '.join(self.losses)}. Received: {loss!r}"
            )
        self.targeted = check_switch("targeted", targeted)
        self.objective = Objective(loss, targeted=self.targeted)
        self.loss = loss
        self.seed = check_count("seed", seed, minimum=0)
        self.early_stop = check_switch("early_stop", early_stop)

    @abstractmethod
    def run(
        self,
        target: Target,
        inputs: Inputs,
        *,
        batch_size: int,
        early_stop: bool,
        known_right: bool = False,
        result: np.ndarray | None = None,
    ) -> np.ndarray:
        """Attacks all images.

        Args:
            target, inputs: of a call, checked.
            batch_size: images under attack at a time.
            early_stop: whether an image is done with as soon as it fools the model.
            known_right: whether the model is known to get all images right.
            result: (N, H, W, C), filled with the images that the attack returns.

        Returns:
            (N,) booleans, who is fooled; an image that is wrong as it is, is fooled.
        """

    @abstractmethod
    def cost(self, classes: int) -> int:
        """Forward passes for an image that withstands; a gradient's count as three.

        An estimate, which progress is measured in.
        """

    def stages(self) -> dict[str, "Attack"]:
        """The attacks by name that it is, each made on what the one before has left."""
        return {"": self}

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Everything but epsilon and norm, for a report, as JSON has it."""

    def with_epsilon(self, epsilon: float) -> Self:
        """The same attack at another strength.

        Raises:
            UserError: if the epsilon is not allowed.
        """
        other = copy.copy(self)
        other.epsilon = other._checked_epsilon(epsilon)
        return other

    @final
    def __call__(
        self,
        model: Callable | Target,
        images: Any,
        labels: Any,
        *,
        indices: Any = None,
        batch_size: int = 128,
    ) -> tf.Tensor:
        """Makes adversarial images.

        Args:
            model: maps float32 images to logits (N, classes), not probabilities. A
                Keras model, any callable, or a `Target`, which is compiled once for
                many calls; run with `training=False`.
            images: (N, H, W, C) floating-point array or tensor in [0, 1].
            labels: (N,) integers, the true classes (the targets, if targeted).
            indices: (N,) integers, the identities that random numbers are drawn
                with; a subset attacked with its own indices gets the same numbers.
                Default: 0 to N - 1.
            batch_size: images under attack at a time. It changes results only by the
                rounding of the model's own arithmetic.

        Returns:
            (N, H, W, C) float32 tensor in host memory, within epsilon of `images` and
            within [0, 1]. An image that fooled the model at any try, or as it is, is
            returned as it was then; any other as it was where the objective was
            highest.

        Raises:
            ProbabilityOutputError: if the model's output is a probability.
            UserError: if an input is not as described, or a logit is not finite.
        """
        inputs = Inputs.checked(images, labels, indices)
        result = inputs.images.copy()
        self.run(
            self._target(model, inputs),
            inputs,
            batch_size=check_count("batch_size", batch_size),
            early_stop=self.early_stop,
            result=result,
        )
        with tf.device("CPU"):
            return tf.constant(result)

    @final
    def survivors(
        self,
        model: Callable | Target,
        images: Any,
        labels: Any,
        *,
        indices: Any = None,
        known_right: bool = False,
        batch_size: int = 128,
    ) -> np.ndarray:
        """Which images withstand the attack; their share is the robust accuracy.

        An image that the model gets wrong without an attack (targeted: that it gives
        the target) has fallen. It keeps no images, and always drops an image as soon
        as it falls.

        Args:
            model, images, labels, indices, batch_size: as for `__call__`.
            known_right: whether the model is known to get all these images right
                (targeted: to miss the target), which saves a pass.

        Returns:
            (N,) booleans: the model gives the label (targeted: does not give the
            target) for the image and for every candidate.

        Raises:
            UserError: as for `__call__`.
        """
        inputs = Inputs.checked(images, labels, indices)
        return ~self.run(
            self._target(model, inputs),
            inputs,
            batch_size=check_count("batch_size", batch_size),
            early_stop=True,
            known_right=check_switch("known_right", known_right),
        )

    def survivors_at(
        self,
        model: Callable | Target,
        images: Any,
        labels: Any,
        epsilons: Sequence[float],
        *,
        indices: Any = None,
        known_right: bool = False,
        batch_size: int = 128,
    ) -> np.ndarray:
        """`survivors` for several epsilons, each from the images themselves.

        Args:
            model, images, labels, indices, known_right, batch_size: as for
                `survivors`.
            epsilons: radii of the ball; the attack's own plays no part.

        Returns:
            (len(epsilons), N) booleans.

        Raises:
            UserError: as for `__call__`, and if an epsilon is not allowed.
        """
        attacks = [self.with_epsilon(epsilon) for epsilon in epsilons]
        target = self._target(model, Inputs.checked(images, labels, indices))
        survived = [
            attack.survivors(
                target,
                images,
                labels,
                indices=indices,
                known_right=known_right,
                batch_size=batch_size,
            )
            for attack in attacks
        ]
        return np.array(survived, bool).reshape(len(attacks), len(labels))

    def _target(self, model: Callable | Target, inputs: Inputs) -> Target:
        target = Target.of(model, inputs.images)
        self.objective.check_classes(target.classes)
        inputs.check_labels_below(target.classes)
        return target

    def _checked_epsilon(self, epsilon: Any) -> float:
        checked = check_number("epsilon", epsilon)
        if self.norm == "linf" and checked > 1:
            raise UserError(
                "epsilon is in [0, 1] pixel units, 8/255 for 8 grey levels. "
                f"Received: {epsilon}"
            )
        return checked
