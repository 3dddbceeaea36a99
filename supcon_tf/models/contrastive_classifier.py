"""The classifier that is trained with contrastive losses on its own features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.distribution import (
    global_batch,
    num_replicas,
    refuse_uneven_replicas,
    sum_over_replicas,
)
from supcon_tf.models.metrics import nearest_has_same_label

INPUTS = ("features", "projection")


@keras.saving.register_keras_serializable(package="supcon_tf")
class ContrastiveClassifier(keras.Model):
    """An encoder, a projection head and a classifier, trained on several losses.

    The encoder gives features `h`; the projection head, a two-layer perceptron that
    exists only if something reads it, gives `p`. The contrastive losses act on one of
    the two, scaled to unit length, and so does the classifier on one of the two. Images
    are float32 in [0,1], normalisation is the encoder's business, and the output is
    logits.

    Args:
        encoder: Keras model from images (N, H, W, C) to features (N, F).
        num_classes: number of classes, at least 2.
        projection_dim: dimension of the projection head's output.
        contrastive_input: `"features"` or `"projection"`.
        classifier_input: `"features"` or `"projection"`.
        class_names: names of the classes, carried along for reports and export.
        dtype: Keras dtype policy; the global one if None. Heads and losses are at
            least float32 under every policy.
        name: name of the model.

    Raises:
        ValueError: for fewer than 2 classes, an unknown input, or class names that are
            not as many as the classes.

    Example:

    ```python
    model = ContrastiveClassifier(resnet18(), num_classes=100)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        losses={
            "cross_entropy": (1.0, CrossEntropyLoss()),
            "supcon": (1.0, SupervisedContrastiveLoss(temperature=0.1)),
        },
        weight_decay=5e-4,
    )
    model.fit(images, labels, batch_size=128)
    ```

    Reference:
        Wang, Nayyem and Rakin 2024 (arXiv 2412.19747); Khosla et al. 2020.
    """

    def __init__(
        self,
        encoder: keras.Model,
        num_classes: int,
        projection_dim: int = 128,
        contrastive_input: str = "features",
        classifier_input: str = "features",
        class_names: Sequence[str] | None = None,
        dtype: Any = None,
        name: str = "contrastive_classifier",
    ) -> None:
        # Keras would round the images to the policy's dtype before they are normalised.
        super().__init__(dtype=dtype, name=name, autocast=False)
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2. Received: {num_classes}")
        for argument in (contrastive_input, classifier_input):
            if argument not in INPUTS:
                raise ValueError(
                    "contrastive_input and classifier_input must be 'features' or "
                    f"'projection'. Received: {argument!r}"
                )
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                f"class_names must be {num_classes} names. Received: {len(class_names)}"
            )
        self.encoder = encoder
        self.num_classes = num_classes
        self.projection_dim = projection_dim
        self.contrastive_input = contrastive_input
        self.classifier_input = classifier_input
        self.class_names = None if class_names is None else tuple(class_names)

        head_dtype = self.dtype_policy.variable_dtype
        dense = keras.layers.Dense
        self.projection = None
        if "projection" in (contrastive_input, classifier_input):
            self.projection = keras.Sequential(
                [
                    dense(encoder.output_shape[-1], "relu", dtype=head_dtype),
                    dense(projection_dim, dtype=head_dtype),
                ],
                name="projection",
            )
        self.classifier = dense(num_classes, dtype=head_dtype, name="classifier")
        self._objective = _Objective()
        self.build((None, *encoder.input_shape[1:]))

    def build(self, input_shape: tuple) -> None:
        features = self.encoder.output_shape
        if self.projection is not None:
            self.projection.build(features)
        reads_features = self.classifier_input == "features"
        self.classifier.build(
            features if reads_features else (None, self.projection_dim)
        )
        self.built = True

    def outputs_of(
        self, images: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """All that one forward pass gives: `features`, `projection`, `logits`."""
        outputs = {"features": self.encoder(images, training=training)}
        if self.projection is not None:
            outputs["projection"] = self.projection(outputs["features"])
        outputs["logits"] = self.classifier(outputs[self.classifier_input])
        return outputs

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits (N, num_classes)."""
        return self.outputs_of(images, training)["logits"]

    def features(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The encoder's features (N, F)."""
        return self.encoder(images, training=training)

    def embed(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The unit vectors (N, D) that the contrastive losses act on."""
        outputs = self.outputs_of(images, training)
        return tf.math.l2_normalize(outputs[self.contrastive_input], axis=-1)

    def compile(
        self,
        optimizer: Any,
        losses: Mapping[str, tuple[float, Any]],
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Sets what `fit` minimises.

        Args:
            optimizer: Keras optimizer.
            losses: for each part its weight and its loss from `supcon_tf.losses`.
            weight_decay: L2 on all kernels, added to the gradient.
            **kwargs: see `keras.Model.compile`.

        Raises:
            ValueError: for what does not work with more than one replica:
                `jit_compile`, `steps_per_execution` and an optimizer's
                `gradient_accumulation_steps`.
        """
        super().compile(optimizer=optimizer, **kwargs)
        self._refuse_what_replicas_cannot()
        names = ("loss", *losses, "accuracy", "contrastive_accuracy")
        dtype = self.dtype_policy.variable_dtype
        means = {name: keras.metrics.Mean(name=name, dtype=dtype) for name in names}
        self._objective = _Objective(dict(losses), weight_decay, means)

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each part of the loss."""
        return {name: weight for name, (weight, _) in self._objective.parts.items()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._objective.means.values())

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One optimisation step on (images, labels).

        Images are (N, H, W, C), or (N, V, H, W, C) with V views of each; the labels
        (N,) are repeated for the views. All replicas must hold equally many.
        """
        # Again, since `compile` may have been called outside the strategy's scope.
        self._refuse_what_replicas_cannot()
        images, labels = with_views_as_samples(*data)
        labels = refuse_uneven_replicas(labels)
        kernels = [v for v in self.trainable_variables if v.name == "kernel"]
        with tf.GradientTape() as tape:
            outputs = self.outputs_of(images, training=True)
            parts = self._part_losses(labels, outputs)
            objective = self._weighted_sum(parts)
            if self._objective.weight_decay:
                # Replicas add their gradients up, but share one set of weights.
                squares = [tf.nn.l2_loss(tf.convert_to_tensor(k)) for k in kernels]
                decay = (
                    self._objective.weight_decay / num_replicas() * tf.add_n(squares)
                )
                objective += tf.cast(decay, objective.dtype)
            objective = self.optimizer.scale_loss(objective)
        variables = self.trainable_variables
        gradients = self._overflow_everywhere(tape.gradient(objective, variables))
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._update_metrics(labels, outputs, parts)

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Losses and metrics of one batch, without training."""
        images, labels = with_views_as_samples(*data)
        labels = refuse_uneven_replicas(labels)
        outputs = self.outputs_of(images, training=False)
        parts = self._part_losses(labels, outputs)
        return self._update_metrics(labels, outputs, parts)

    def _refuse_what_replicas_cannot(self) -> None:
        if num_replicas() == 1:
            return
        # mixed_float16 wraps the optimizer that was given.
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        accumulation = getattr(optimizer, "gradient_accumulation_steps", None)
        settings = {
            "jit_compile": (self.jit_compile, False),
            "steps_per_execution": (self.steps_per_execution, 1),
            "gradient_accumulation_steps": (accumulation, None),
        }
        for name, (value, allowed) in settings.items():
            if (value or allowed) != allowed:
                raise ValueError(
                    f"{name} must be {allowed} with more than one replica, where Keras "
                    f"fails with any other. Received: {name}={value}"
                )

    def _overflow_everywhere(
        self, gradients: list[tf.Tensor | None]
    ) -> list[tf.Tensor | None]:
        """The gradients, not finite on any replica if they are not on one.

        Keras skips a step that overflows float16, but looks at the gradients before
        they are added up over the replicas, and at those of a process's first alone.
        """
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if num_replicas() == 1 or not scaled:
            return gradients
        finite = [
            tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None
        ]
        overflows = sum_over_replicas(tf.cast(~tf.reduce_all(finite), tf.float32))
        added = tf.where(overflows > 0, np.nan, 0.0)
        return [None if g is None else g + tf.cast(added, g.dtype) for g in gradients]

    def _part_losses(
        self, labels: tf.Tensor, outputs: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """This replica's share of each loss; the shares of all replicas add up."""
        embeddings = outputs[self.contrastive_input]
        batch = None
        if any(loss.pairwise for _, loss in self._objective.parts.values()):
            batch = global_batch(embeddings, labels)
        shares = {}
        for name, (_, loss) in self._objective.parts.items():
            if loss.pairwise:
                terms = loss.terms(labels, embeddings, batch)
            else:
                terms = loss.terms(labels, outputs["logits"])
            shares[name] = tf.add_n([_share(*term) for term in terms])
        return shares

    def _weighted_sum(self, parts: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.add_n(
            [self._objective.parts[name][0] * part for name, part in parts.items()]
        )

    def _update_metrics(
        self,
        labels: tf.Tensor,
        outputs: dict[str, tf.Tensor],
        parts: dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        means, count = self._objective.means, tf.shape(labels)[0]
        values = {"loss": self._weighted_sum(parts), **parts}
        for name, share in values.items():
            # Keras averages over replicas what adds up over them.
            means[name].update_state(share * num_replicas(), sample_weight=count)
        correct = tf.argmax(outputs["logits"], axis=1) == labels
        means["accuracy"].update_state(correct)
        same, has_positive = nearest_has_same_label(
            outputs[self.contrastive_input], labels
        )
        means["contrastive_accuracy"].update_state(same, has_positive)
        return {name: mean.result() for name, mean in means.items()}

    def get_config(self) -> dict[str, Any]:
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_classes": self.num_classes,
            "projection_dim": self.projection_dim,
            "contrastive_input": self.contrastive_input,
            "classifier_input": self.classifier_input,
            "class_names": self.class_names,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "ContrastiveClassifier":
        encoder = keras.saving.deserialize_keras_object(
            config["encoder"], custom_objects=custom_objects
        )
        return cls(**{**config, "encoder": encoder})

    def get_compile_config(self) -> None:
        """None: a saved model holds the network, not how it was trained."""
        return


@dataclass(frozen=True)
class _Objective:
    """What `compile` was given; no Keras object, so that it isn't saved as state."""

    parts: dict[str, tuple[float, Any]] = field(default_factory=dict)
    weight_decay: float = 0.0
    means: dict[str, keras.metrics.Mean] = field(default_factory=dict)


def with_views_as_samples(
    images: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """(N, V, H, W, C) images as (N * V, H, W, C), with labels (N,) repeated."""
    labels = tf.cast(tf.reshape(labels, [-1]), tf.int64)
    if images.shape.rank == 5:
        labels = tf.repeat(labels, tf.shape(images)[1])
        images = tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], axis=0))
    return images, labels


def _share(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    everyone = tf.cast(sum_over_replicas(count), total.dtype)
    return total / tf.maximum(everyone, 1)
