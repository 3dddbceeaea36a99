"""What a classifier is compiled with: the parts of its loss, and what is reported."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import keras
import tensorflow as tf

from supcon_tf.distribution.replicas import (
    global_batch,
    num_replicas,
    sum_over_replicas,
)
from supcon_tf.models.metrics import nearest_has_same_label
from supcon_tf.models.replicas import overflow_everywhere
from supcon_tf.models.views import Views
from supcon_tf.numerics.labels import nan_unless

REPORTED = ("loss", "accuracy", "contrastive_accuracy")
ABNORMAL = "abnormal"


@dataclass(frozen=True)
class Objective:
    """Weight and loss of each part; no Keras object, so that it isn't saved as state.

    `means` are the metrics of what is reported: the loss, its parts, two accuracies.
    """

    parts: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    weight_decay: float = 0.0
    means: Mapping[str, keras.metrics.Mean] = field(default_factory=dict)
    adversary: Any = None

    @property
    def compares_pairs(self) -> bool:
        """Whether a part of the loss compares the samples of the global batch."""
        return any(loss.pairwise for _, loss in self.parts.values())

    def losses(
        self, views: Views, are_labels: tf.Tensor, extra: Iterable[tf.Tensor] = ()
    ) -> dict[str, tf.Tensor]:
        """This replica's share of the `loss` and of each part; those of all add up.

        Args:
            views: logits, and the embeddings that are the anchors.
            are_labels: scalar truth; all is NaN if it does not hold.
            extra: what layers add to the loss, the same on each replica.
        """
        parts = self._shares(views)
        loss = tf.add_n([self.parts[name][0] * part for name, part in parts.items()])
        for added in extra:
            loss += tf.cast(tf.reduce_sum(added), loss.dtype) / num_replicas()
        losses = {"loss": loss, **parts}
        return {name: nan_unless(are_labels, x) for name, x in losses.items()}

    def decay_of(self, variables: Iterable[keras.Variable]) -> tf.Tensor | float:
        """This replica's share of the weight decay: L2 of all kernels."""
        kernels = [v for v in variables if v.name.endswith("kernel")]
        if not (self.weight_decay and kernels):
            return 0.0
        dtype = self.means["loss"].dtype
        squares = [tf.nn.l2_loss(tf.cast(kernel, dtype)) for kernel in kernels]
        # Replicas add their gradients up, but share one set of weights.
        return self.weight_decay / num_replicas() * tf.add_n(squares)

    def report(
        self,
        views: Views,
        losses: Mapping[str, tf.Tensor],
        fell: tf.Tensor | None = None,
    ) -> None:
        """Adds a step to the means of what is reported.

        Args:
            views: of the step.
            losses: what `losses` gave.
            fell: of which images an adversary lowered the loss; if there is one.
        """
        if fell is not None:
            self.means[ABNORMAL].update_state(fell)
        count = tf.shape(views.labels)[0]
        for name, share in losses.items():
            # Keras averages over replicas what adds up over them.
            self.means[name].update_state(share * num_replicas(), sample_weight=count)
        correct = tf.argmax(views.logits, axis=1) == views.labels
        self.means["accuracy"].update_state(correct)
        same, has_positive = nearest_has_same_label(
            views.embeddings, views.embedding_labels
        )
        self.means["contrastive_accuracy"].update_state(same, has_positive)

    def _shares(self, views: Views) -> dict[str, tf.Tensor]:
        batch = None
        if self.compares_pairs:
            batch = global_batch(views.embeddings, views.embedding_labels)
        shares = {}
        for name, (_, loss) in self.parts.items():
            if loss.pairwise:
                terms = loss.terms(views.embedding_labels, views.embeddings, batch)
            else:
                terms = loss.terms(views.labels, views.logits)
            shares[name] = tf.add_n([_share(*term) for term in terms])
        return shares


def compiled_objective(
    losses: Mapping[str, tuple[Any, Any]],
    weight_decay: float,
    adversary: Any,
    arguments: Mapping[str, Any],
    dtype: str,
) -> Objective:
    """What `ContrastiveClassifier.compile` was given, after a look at it.

    Args:
        losses: for each part its weight and its loss.
        weight_decay: 0 or more.
        adversary: makes the images that are trained on; or None.
        arguments: the others, for `keras.Model.compile`.
        dtype: of the metrics.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    for name in ("loss", "loss_weights", "weighted_metrics"):
        if arguments.get(name) is not None:
            raise ValueError(
                f"{name} is not taken: `losses` names parts of the loss with their "
                "weights, and samples have none, so that `metrics` are all there are. "
                f"Received: {name}={arguments[name]}"
            )
    if not isinstance(losses, Mapping) or not losses:
        raise ValueError(
            "losses must name at least one part, as {'cross_entropy': (1.0, "
            f"CrossEntropyLoss())}}. Received: {losses}"
        )
    for name, part in losses.items():
        _refuse_wrong_part(name, part)
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be 0 or more. Received: {weight_decay}")
    metrics = keras.tree.flatten(arguments.get("metrics") or [])
    if adversary is not None and not hasattr(adversary, "advance"):
        raise ValueError(
            "adversary must be a supcon_tf.training.adversary.Adversary. "
            f"Received: {adversary!r}"
        )
    reported = REPORTED if adversary is None else (*REPORTED, ABNORMAL)
    _refuse_taken_names(losses, reported)
    _refuse_taken_names(map(_name_of, metrics), [*reported, *losses])
    names = ("loss", *losses, *reported[1:])
    means = {name: keras.metrics.Mean(name=name, dtype=dtype) for name in names}
    return Objective(dict(losses), weight_decay, means, adversary)


def gradients_of(
    total: tf.Tensor,
    variables: list[keras.Variable],
    tape: tf.GradientTape,
    optimizer: keras.optimizers.Optimizer,
) -> list[tf.Tensor | None]:
    """The gradients that `optimizer` is given.

    Raises:
        ValueError: without variables.
    """
    if not variables:
        raise ValueError(
            "nothing is left to train: unfreeze the encoder or the classifier. "
            "Received: no trainable variable"
        )
    return overflow_everywhere(tape.gradient(total, variables), optimizer)


def _refuse_wrong_part(name: str, part: Any) -> None:
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise ValueError(
            f"the part {name!r} of losses must be (weight, loss). Received: {part}"
        )
    weight, loss = part
    is_number = isinstance(weight, Real) and not isinstance(weight, bool)
    if not (math.isfinite(weight) if is_number else tf.is_tensor(weight)):
        raise ValueError(
            f"the weight of the part {name!r} must be a number. Received: {weight!r}"
        )
    # A mean alone, as a Keras loss gives it, doesn't add up over replicas.
    if not hasattr(loss, "terms"):
        raise ValueError(
            f"the part {name!r} must be a loss of supcon_tf.losses, such as "
            f"CrossEntropyLoss. Received: {loss}"
        )


def _refuse_taken_names(names: Iterable[str], taken: Collection[str]) -> None:
    for name in names:
        # `fit` puts val_ before the names of what it validates.
        if name in taken or name.startswith("val_"):
            raise ValueError(
                "parts of losses and metrics must have names of their own, not one of "
                f"{', '.join(taken)} nor val_*. Received: {name!r}"
            )


def _name_of(metric: Any) -> str:
    name = getattr(metric, "name", None) or getattr(metric, "__name__", metric)
    return str(name)


def _share(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    everyone = tf.cast(sum_over_replicas(count), total.dtype)
    return total / tf.maximum(everyone, 1)
