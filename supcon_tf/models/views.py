"""What the losses of a step see: plain images, or the views that an adversary makes."""

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import tensorflow as tf

from supcon_tf.distribution.replicas import refuse_uneven_replicas, replica_index
from supcon_tf.numerics.labels import as_labels

if TYPE_CHECKING:
    from supcon_tf.models.contrastive_classifier import ContrastiveClassifier
    from supcon_tf.models.objective import Objective

Outputs = dict[str, tf.Tensor]


class Views(NamedTuple):
    """What the losses act on.

    `logits` (N, C) with `labels` (N,), and the `embeddings` (M, D) of one or more views
    of the same samples with `embedding_labels` (M,).
    """

    labels: tf.Tensor
    logits: tf.Tensor
    embedding_labels: tf.Tensor
    embeddings: tf.Tensor


def samples_of(data: tuple, classes: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Images and labels of a step, and whether all labels are labels.

    Args:
        data: images (N, H, W, C), or (N, V, H, W, C), of which each view becomes a
            sample of its own; labels (N,).
        classes: labels are below this number.

    Raises:
        ValueError: without labels, with sample weights, or for labels that are none.
    """
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if labels is None:
        raise ValueError("labels are needed. Received: images alone")
    if weights is not None:
        raise ValueError(
            "sample_weight and class_weight are not taken: a contrastive loss is a "
            "property of the whole batch. Received: weights of samples"
        )
    labels, are_labels = as_labels(labels, images, classes)
    if images.shape.rank == 5:
        labels = tf.repeat(labels, tf.shape(images)[1])
        images = tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], axis=0))
    return images, refuse_uneven_replicas(labels), are_labels


def views_of(labels: tf.Tensor, contrastive_input: str, *passes: Outputs) -> Views:
    """Embeddings of all passes, logits of the last one."""
    embeddings = [outputs[contrastive_input] for outputs in passes]
    if len(passes) == 1:
        return Views(labels, passes[0]["logits"], labels, embeddings[0])
    return Views(
        labels,
        passes[-1]["logits"],
        tf.tile(labels, [len(passes)]),
        tf.concat(embeddings, axis=0),
    )


def training_views(
    model: "ContrastiveClassifier",
    objective: "Objective",
    images: tf.Tensor,
    labels: tf.Tensor,
    tape: tf.GradientTape,
) -> tuple[Views, tf.Tensor | None]:
    """What the losses of a training step see.

    Without an adversary that is one pass over the images; else the views that it makes
    of them, attacked in training mode. There the pass at the noisy start serves twice:
    for the attack's gradient, and as a view of its own. So the second view costs no
    forward pass.

    Args:
        model: compiled.
        objective: what it was compiled with.
        images: (N, H, W, C) in [0, 1].
        labels: (N,) integers.
        tape: recording, and persistent if there is an adversary, whose attack itself is
            not recorded.

    Returns:
        The views, and (N,) booleans: the attack lowered the loss of an image; None
        without an adversary.
    """
    adversary = objective.adversary
    if adversary is None:
        outputs = model.outputs_of(images, training=True)
        return views_of(labels, model.contrastive_input, outputs), None
    optimizer: Any = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    first = replica_index() * tf.shape(labels)[0]
    start = adversary.start(images, optimizer.iterations.value, first)
    tape.watch(start)
    noisy = model.outputs_of(start, training=True)
    before = _cross_entropies(labels, noisy)
    # Scaled as the loss is: in float16 a small gradient would vanish.
    scaled = model.optimizer.scale_loss(before)
    with tape.stop_recording():
        attacked = adversary.advance(images, start, tape.gradient(scaled, start))
        for _ in range(adversary.steps - 1):
            slope = _input_gradient(model, labels, attacked)
            attacked = adversary.advance(images, attacked, slope)
    others = []
    if objective.compares_pairs and adversary.contrastive_views == "both":
        others = [noisy]
    elif objective.compares_pairs and adversary.contrastive_views == "clean":
        others = [model.outputs_of(images, training=True)]
    outputs = model.outputs_of(attacked, training=True)
    fell = _cross_entropies(labels, outputs) < before
    return views_of(labels, model.contrastive_input, *others, outputs), fell


def _input_gradient(
    model: "ContrastiveClassifier", labels: tf.Tensor, images: tf.Tensor
) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        losses = _cross_entropies(labels, model.outputs_of(images, training=True))
        losses = model.optimizer.scale_loss(losses)
    return tape.gradient(losses, images)


def _cross_entropies(labels: tf.Tensor, outputs: Outputs) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs["logits"])
