"""What the losses of a step see: plain images, or the views that an adversary makes."""

from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from supcon_tf.distribution.replicas import replica_index

if TYPE_CHECKING:
    from supcon_tf.models.contrastive_classifier import ContrastiveClassifier

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


def adversarial_views(
    model: "ContrastiveClassifier",
    adversary: Any,
    images: tf.Tensor,
    labels: tf.Tensor,
    tape: tf.GradientTape,
    compares_pairs: bool,
) -> tuple[Views, tf.Tensor]:
    """The views that `adversary` makes of the images, attacked in training mode.

    The pass at the noisy start serves twice: for the attack's gradient, and as a view
    of its own. So the second view costs no forward pass.

    Args:
        model: compiled.
        adversary: see `supcon_tf.training.adversary`.
        images: (N, H, W, C) in [0, 1].
        labels: (N,) integers.
        tape: persistent, and recording; the attack itself is not recorded.
        compares_pairs: whether a loss reads the embeddings.

    Returns:
        The views, and (N,) booleans: the attack lowered the loss of an image.
    """
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
    if compares_pairs and adversary.contrastive_views == "both":
        others = [noisy]
    elif compares_pairs and adversary.contrastive_views == "clean":
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
