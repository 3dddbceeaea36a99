"""The model under attack: compiled once, refused if it gives no logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.objectives import Objective
from supcon_tf.attacks.probe import (
    ProbabilityOutputError,
    in_inference,
    is_faithful,
    probe_images,
    probed,
    refuse_probabilities,
)
from supcon_tf.attacks.tracing import (
    calls_python,
    depends_on_input,
    last_operation,
    traced,
)
from supcon_tf.errors import UserError


@dataclass(frozen=True)
class Judgement:
    """How a batch of candidates fares, one entry each.

    Args:
        loss: (N,) values of the objective that the attack maximises.
        fooled: (N,) booleans.
        logits: (N, classes).
        gradient: (N, H, W, C), of the objective in the images; zeros if not asked for.
    """

    loss: np.ndarray
    fooled: np.ndarray
    logits: np.ndarray
    gradient: tf.Tensor

    def joined(self, other: "Judgement", order: np.ndarray) -> "Judgement":
        """These entries and the other ones, in this order."""
        return Judgement(
            np.concatenate([self.loss, other.loss])[order],
            np.concatenate([self.fooled, other.fooled])[order],
            np.concatenate([self.logits, other.logits])[order],
            tf.gather(tf.concat([self.gradient, other.gradient], axis=0), order),
        )


class Target:
    """A model that is under attack, compiled once for all attacks that it is given to.

    What was compiled lives as long as the target, and stays what the model was when
    it was first used: new values of variables are seen, other changes of the model
    (its attributes, layers, globals) are not. They want a new target.

    Args:
        model: maps float32 images (N, H, W, C) in [0, 1] to logits (N, classes). A
            Keras layer, and any callable with a parameter `training`, is called with
            `training=False`. What a trace can't follow (NumPy code) runs eagerly.
        images: (N, H, W, C) in [0, 1]; the model is tried on a few of them.

    Raises:
        ProbabilityOutputError: if the model's output is a probability.
        UserError: if the model can't be called on such images, if its output isn't
            logits (N, classes), or not finite.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import FGSM, PGD, Target

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    target = Target(model, images)
    curve = FGSM().survivors_at(target, images, labels, [1 / 255, 2 / 255])
    survived = PGD(epsilon=2 / 255).survivors(target, images, labels)
    ```
    """

    def __init__(self, model: Callable, images: Any) -> None:
        self.model = model
        self._probe = probe_images(images)
        self.image_shape = tuple(self._probe.shape[1:])
        self._forward = in_inference(model)
        logits = probed(self._forward, self._probe)
        self.classes: int = logits.shape[1]
        self._compiled, self._trace = self._traced()
        refuse_probabilities(logits)
        self._judges: dict[tuple[Objective, bool], Callable] = {}

    @classmethod
    def of(cls, model: "Callable | Target", images: Any) -> "Target":
        """The target that `model` is, or a new one.

        Raises:
            UserError: as for a new one, and if it is one of images of another shape.
        """
        if not isinstance(model, Target):
            return cls(model, images)
        if model.image_shape != tuple(np.shape(images)[1:]):
            raise UserError(
                f"images must be of shape {model.image_shape}, as those that the "
                f"target was made with. Received: {tuple(np.shape(images)[1:])}"
            )
        return model

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """(N, classes) of float32 images (N, H, W, C)."""
        return tf.convert_to_tensor(self._compiled(images))

    def judge(
        self,
        images: tf.Tensor,
        labels: np.ndarray,
        objective: Objective,
        *,
        targets: np.ndarray | None = None,
        gradient: bool = False,
    ) -> Judgement:
        """Tries images on the model, with one pass for everything that is asked for.

        Args:
            images: (N, H, W, C) float32.
            labels: (N,) integers.
            objective: to maximise.
            targets: (N,) integers, for an objective that compares two classes.
            gradient: whether the objective's gradient is wanted.

        Raises:
            UserError: if a logit is not finite.
        """
        key = (objective, gradient)
        if key not in self._judges:
            self._judges[key] = self._compiled_judge(objective, gradient)
        loss, fooled, finite, logits, slope = self._judges[key](
            images,
            tf.constant(labels, tf.int32),
            tf.constant(labels if targets is None else targets, tf.int32),
        )
        if not finite:
            raise UserError("the model's logits must be finite. Received: NaN or inf")
        return Judgement(
            loss.numpy(),
            fooled.numpy(),
            logits.numpy(),
            slope if gradient else tf.zeros_like(images),
        )

    def _traced(self) -> tuple[Callable, Any]:
        """The model compiled, and its trace; as it is, and None, where that fails."""
        compiled, trace = traced(self._forward, self._images_spec())
        if trace is None or not is_faithful(compiled, self._forward, self._probe):
            return self._forward, None
        last = last_operation(trace).lower()
        if last in ("softmax", "sigmoid", "hardsigmoid"):
            raise ProbabilityOutputError(
                "the model must end in logits, without an activation. "
                f"Received: an output through {last}"
            )
        return compiled, trace

    def _compiled_judge(self, objective: Objective, gradient: bool) -> Callable:
        def forward(images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tuple:
            logits = tf.convert_to_tensor(self._forward(images))
            finite = tf.reduce_all(tf.math.is_finite(logits))
            fooled = objective.fools(logits, labels)
            loss = objective.values(logits, labels, targets)
            return loss, fooled, finite, tf.cast(logits, tf.float32), ()

        def with_gradient(
            images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
        ) -> tuple:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                loss, *rest, _ = forward(images, labels, targets)
            slope = tape.gradient(loss, images)
            if slope is None:
                self._refuse_hidden_gradient()
                slope = tf.zeros_like(images)
            return loss, *rest, slope

        function = with_gradient if gradient else forward
        if self._trace is None:
            return function
        # The open batch size is what lets a last, smaller batch share the trace.
        label_spec = tf.TensorSpec([None], tf.int32)
        judge, _ = traced(function, self._images_spec(), label_spec, label_spec)
        if gradient and calls_python(self._trace):
            # A Python function that computes in NumPy passes zeros on.
            labels = tf.zeros([len(self._probe)], tf.int32)
            if not np.any(judge(self._probe, labels, labels)[-1]):
                self._refuse_hidden_gradient()
        return judge

    def _refuse_hidden_gradient(self) -> None:
        """Refuses a model that no gradient passes, unless operations stop it.

        A model that rounds its input has none; that is a finding of the checks.
        """
        trace = self._trace
        if trace is None or calls_python(trace) or not depends_on_input(trace):
            raise UserError(
                "this attack needs the model's gradient, and there is none: pass the "
                "Keras model itself, or a function of TensorFlow operations, or take "
                "an attack without gradients (Square, RandomNoise). Received: "
                f"{self.model!r}, which hides its computation from TensorFlow"
            )

    def _images_spec(self) -> tf.TensorSpec:
        return tf.TensorSpec([None, *self.image_shape], tf.float32)
