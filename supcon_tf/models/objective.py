"""What a classifier is compiled with: the parts of its loss, and what is reported."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import keras
import tensorflow as tf

from supcon_tf.distribution.replicas import Batch, sum_over_replicas
from supcon_tf.models.views import Views

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

    def shares(self, views: Views, batch: Batch | None) -> dict[str, tf.Tensor]:
        """This replica's share of each part; the shares of all replicas add up.

        Args:
            views: logits, and the embeddings that are the anchors.
            batch: what they are compared with.
        """
        shares = {}
        for name, (_, loss) in self.parts.items():
            if loss.pairwise:
                terms = loss.terms(views.embedding_labels, views.embeddings, batch)
            else:
                terms = loss.terms(views.labels, views.logits)
            shares[name] = tf.add_n([_share(*term) for term in terms])
        return shares

    def weighted_sum(self, shares: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The sum of the parts' shares, each times its weight."""
        return tf.add_n([self.parts[name][0] * part for name, part in shares.items()])


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
