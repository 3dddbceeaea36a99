"""What all attacks share: checks, clipping, batching, and who has been fooled."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.bounds import NORMS, project
from supcon_tf.attacks.inputs import Inputs, check_count, check_number
from supcon_tf.attacks.objectives import make_objective
from supcon_tf.attacks.slots import Slots
from supcon_tf.attacks.target import Target
from supcon_tf.errors import UserError


class Attack(ABC):
    """Searches the epsilon ball around each image for one that fools a model.

    A subclass proposes candidates, a round at a time. This class clips them to the
    ball and to [0, 1], tries them on the model, remembers the best of each image, and
    fills the places of images that are done with images that wait, so that batches
    stay full and memory is that of one batch.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units (8/255, not 8).
        norm: "linf" or "l2", over all pixels and channels of an image.
        loss: what is maximised: "ce" (cross-entropy), "cw" (margin) or "dlr".
        targeted: whether labels are targets to hit instead of labels to miss.
        seed: of all random numbers.
        early_stop: whether an image is done with as soon as it fools the model.

    Raises:
        UserError: if a value is not allowed.
    """

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
        make_objective(loss, targeted=targeted)
        self.epsilon = check_number("epsilon", epsilon)
        if norm == "linf" and self.epsilon > 1:
            raise UserError(
                "epsilon is in [0, 1] pixel units, 8/255 for 8 grey levels. "
                f"Received: {epsilon}"
            )
        self.norm = norm
        self.loss = loss
        self.targeted = targeted
        self.seed = check_count("seed", seed, minimum=0)
        self.early_stop = early_stop

    @property
    @abstractmethod
    def rounds(self) -> int:
        """How many candidates an image gets, if none fools the model."""

    @abstractmethod
    def propose(self, target: Target, slots: Slots) -> tf.Tensor:
        """The next candidates (N, H, W, C), which need not respect the bounds."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Everything but epsilon and norm, for a report, as JSON has it."""

    def wants_gradient(self, rounds: np.ndarray) -> np.ndarray:
        """Of which (N,) candidates, numbered from 0, `propose` needs the gradient."""
        return np.zeros(len(rounds), bool)

    def counts(self, rounds: np.ndarray) -> np.ndarray:
        """Which (N,) candidates, numbered from 0, may be the attack's result."""
        return np.ones(len(rounds), bool)

    @final
    def __call__(
        self,
        model: Callable,
        images: Any,
        labels: Any,
        *,
        indices: Any = None,
        batch_size: int = 128,
    ) -> tf.Tensor:
        """Makes adversarial images.

        Args:
            model: maps float32 images to logits (N, classes), not probabilities. A
                Keras model, or any callable; run with `training=False`.
            images: (N, H, W, C) floating-point array or tensor in [0, 1].
            labels: (N,) integers, the true classes (the targets, if targeted).
            indices: (N,) integers, the identities that random numbers are drawn
                with; a subset attacked with its own indices gets the same numbers.
                Default: 0 to N - 1.
            batch_size: images under attack at a time. It changes results only by the
                rounding of the model's own arithmetic.

        Returns:
            (N, H, W, C) float32 tensor in host memory, within epsilon of `images` and
            within [0, 1]. An image that fooled the model at any round is returned as
            it was then; any other as it was where the objective was highest.

        Raises:
            ProbabilityOutputError: if the model's output is a probability.
            UserError: if an input is not as described, or a logit is not finite.
        """
        inputs = Inputs.checked(images, labels, indices)
        result = inputs.images.copy()
        self._search(model, inputs, batch_size, self.early_stop, result)
        with tf.device("CPU"):
            return tf.constant(result)

    @final
    def survivors(
        self,
        model: Callable,
        images: Any,
        labels: Any,
        *,
        indices: Any = None,
        batch_size: int = 128,
    ) -> np.ndarray:
        """Which images withstand the attack, as `__call__` would find.

        It keeps no images, and always drops an image as soon as it falls. Meant for
        images that the model gets right without an attack.

        Args:
            model, images, labels, indices, batch_size: as for `__call__`.

        Returns:
            (N,) booleans: the model still gives the label (targeted: does not give
            the target) for every candidate.

        Raises:
            UserError: as for `__call__`.
        """
        inputs = Inputs.checked(images, labels, indices)
        return ~self._search(model, inputs, batch_size, True, None)

    def _target(self, model: Callable, inputs: Inputs) -> Target:
        target = Target(
            model, loss=self.loss, targeted=self.targeted, sample=inputs.images
        )
        inputs.check_labels_below(target.classes)
        return target

    def _search(
        self,
        model: Callable,
        inputs: Inputs,
        batch_size: int,
        early_stop: bool,
        result: np.ndarray | None,
    ) -> np.ndarray:
        """Attacks all images; returns who is fooled and fills `result` with images."""
        check_count("batch_size", batch_size)
        target = self._target(model, inputs)
        fooled = np.zeros(len(inputs), bool)
        slots, entered = Slots.entering(inputs, 0, 0), 0
        while len(slots) or entered < len(inputs):
            stop = min(entered + batch_size - len(slots), len(inputs))
            if stop > entered:
                slots = slots.join(Slots.entering(inputs, entered, stop))
                entered = stop
            self._play_round(target, slots)
            done = slots.rounds == self.rounds
            if early_stop:
                done |= slots.fooled
            if done.any():
                leaving = slots.take(done)
                fooled[leaving.positions] = leaving.fooled
                if result is not None:
                    result[leaving.positions] = leaving.best.numpy()
                slots = slots.take(~done)
        return fooled

    def _play_round(self, target: Target, slots: Slots) -> None:
        proposed = self.propose(target, slots)
        slots.candidate = project(proposed, slots.origin, self.epsilon, self.norm)
        loss, fooled = self._judge(target, slots)
        # Fooling comes first: a higher loss of a candidate that fails is worth less.
        better = (fooled & ~slots.fooled) | (
            (fooled == slots.fooled) & (loss > slots.best_loss)
        )
        better &= self.counts(slots.rounds)
        slots.fooled |= better & fooled
        slots.best_loss = np.where(better, loss, slots.best_loss)
        slots.best = tf.where(better[:, None, None, None], slots.candidate, slots.best)
        slots.rounds = slots.rounds + 1

    def _judge(self, target: Target, slots: Slots) -> tuple[np.ndarray, np.ndarray]:
        """Objective and success of the candidates; stores gradients in the slots."""
        wanted = self.wants_gradient(slots.rounds)
        if wanted.all() or not wanted.any():
            judged = target.judge(
                slots.candidate, slots.labels, gradient=bool(wanted.all())
            )
            slots.gradient = judged.gradient
            return judged.loss, judged.fooled
        # Without a gradient a candidate costs a third, so the two kinds part ways.
        rows = [np.flatnonzero(wanted), np.flatnonzero(~wanted)]
        parts = [
            target.judge(
                tf.gather(slots.candidate, part), slots.labels[part], gradient=first
            )
            for part, first in zip(rows, (True, False), strict=True)
        ]
        order = np.argsort(np.concatenate(rows))
        slots.gradient = tf.gather(
            tf.concat([part.gradient for part in parts], axis=0), order
        )
        return (
            np.concatenate([part.loss for part in parts])[order],
            np.concatenate([part.fooled for part in parts])[order],
        )
