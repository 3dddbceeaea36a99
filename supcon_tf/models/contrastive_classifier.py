"""The classifier that is trained with contrastive losses on its own features."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from supcon_tf.distribution.replicas import (
    global_batch,
    num_replicas,
    refuse_uneven_replicas,
)
from supcon_tf.models.metrics import nearest_has_same_label
from supcon_tf.models.objective import ABNORMAL, Objective, compiled_objective
from supcon_tf.models.precision import at_least_float32
from supcon_tf.models.replicas import (
    overflow_everywhere,
    refuse_what_replicas_cannot,
)
from supcon_tf.models.views import Views, adversarial_views, views_of
from supcon_tf.numerics.labels import as_labels, nan_unless

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
        encoder: Keras model from images (N, H, W, C) to features (N, F). One that does
            not know its shapes, such as a subclassed model, is built on the first
            images.
        num_classes: number of classes, at least 2.
        projection_dim: dimension of the projection head's output.
        contrastive_input: `"features"` or `"projection"`.
        classifier_input: `"features"` or `"projection"`.
        class_names: names of the classes, carried along for reports and export.
        dtype: Keras dtype policy; the global one if None. Heads and losses are at
            least float32 under every policy.
        name: name of the model.

    Raises:
        ValueError: for fewer than 2 classes, an unknown input, class names that are
            not as many as the classes, or an encoder that doesn't give features (N, F).

    Example:

    ```python
    from supcon_tf.losses import CrossEntropyLoss, SupervisedContrastiveLoss

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

        self._head_dtype = at_least_float32(self.dtype_policy.variable_dtype)
        self.projection: Any = None
        self.classifier: Any = None
        self._objective = Objective()
        shape = getattr(encoder, "input_shape", None)
        if shape is not None:
            self.build(shape)

    def build(self, input_shape: tuple) -> None:
        features = _features_shape(self.encoder, input_shape)
        dense = keras.layers.Dense
        if "projection" in (self.contrastive_input, self.classifier_input):
            self.projection = keras.Sequential(
                [
                    dense(features[1], "relu", dtype=self._head_dtype),
                    dense(self.projection_dim, dtype=self._head_dtype),
                ],
                name="projection",
            )
            self.projection.build(features)
        self.classifier = dense(
            self.num_classes, dtype=self._head_dtype, name="classifier"
        )
        reads_features = self.classifier_input == "features"
        self.classifier.build(
            features if reads_features else (None, self.projection_dim)
        )
        self.built = True

    def outputs_of(
        self, images: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """All that one forward pass gives: `features`, `projection`, `logits`."""
        if not self.built:
            with tf.init_scope():
                self.build((None, *images.shape[1:]))
        outputs = {"features": self.features(images, training)}
        if self.projection is not None:
            outputs["projection"] = self.projection(outputs["features"])
        outputs["logits"] = self.classifier(outputs[self.classifier_input])
        return outputs

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits (N, num_classes)."""
        return self.outputs_of(images, training)["logits"]

    def features(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The encoder's features (N, F)."""
        return tf.cast(self.encoder(images, training=training), self._head_dtype)

    def embed(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The unit vectors (N, D) that the contrastive losses act on."""
        outputs = self.outputs_of(images, training)
        return tf.math.l2_normalize(outputs[self.contrastive_input], axis=-1)

    def compile(
        self,
        optimizer: Any,
        losses: Mapping[str, tuple[float, Any]],
        weight_decay: float = 0.0,
        adversary: Any = None,
        **kwargs: Any,
    ) -> None:
        """Sets what `fit` minimises.

        Args:
            optimizer: Keras optimizer.
            losses: for each part its weight and its loss from `supcon_tf.losses`.
            weight_decay: L2 on all kernels, added to the gradient.
            adversary: a `supcon_tf.training.adversary.Adversary`, on whose images the
                model is then trained; the metric `abnormal` is the share of them that
                have a lower loss than the noisy image that they were made of.
            **kwargs: see `keras.Model.compile`. `metrics` are given labels and logits;
                `loss`, `loss_weights` and `weighted_metrics` are not taken.

        Raises:
            ValueError: for a loss or a weight that is none; for a part or a metric
                that has the name of another; for what does not work with more than one
                replica: `jit_compile`, `steps_per_execution` and an optimizer's
                `gradient_accumulation_steps`.
        """
        dtype = self._head_dtype
        objective = compiled_objective(losses, weight_decay, adversary, kwargs, dtype)
        super().compile(optimizer=optimizer, **kwargs)
        refuse_what_replicas_cannot(self)
        self._objective = objective

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each part of the loss."""
        return {name: weight for name, (weight, _) in self._objective.parts.items()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        means = self._objective.means
        # Keras' own mean of the loss is float32 under every policy.
        others = [metric for metric in super().metrics if metric.name not in means]
        return [*means.values(), *others]

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """One optimisation step on (images, labels).

        Images are (N, H, W, C), or (N, V, H, W, C) with V views of each; the labels
        (N,) are repeated for the views. All replicas must hold equally many.

        Raises:
            ValueError: for labels that are none, sample weights, or if every layer is
                frozen.
        """
        # Again, since `compile` may have been called outside the strategy's scope.
        refuse_what_replicas_cannot(self)
        images, labels, are_labels = self._samples(data)
        adversary = self._objective.adversary
        with tf.GradientTape(persistent=adversary is not None) as tape:
            if adversary is None:
                outputs = self.outputs_of(images, training=True)
                views = views_of(labels, self.contrastive_input, outputs)
            else:
                pairs = self._objective.compares_pairs
                views, fell = adversarial_views(
                    self, adversary, images, labels, tape, pairs
                )
                self._objective.means[ABNORMAL].update_state(fell)
            losses = self._loss_and_parts(views, are_labels)
            objective = losses["loss"] + self._weight_decay(losses["loss"].dtype)
            objective = self.optimizer.scale_loss(objective)
        variables = self.trainable_variables
        if not variables:
            raise ValueError(
                "nothing is left to train: unfreeze the encoder or the classifier. "
                "Received: no trainable variable"
            )
        gradients = tape.gradient(objective, variables)
        gradients = overflow_everywhere(gradients, self.optimizer)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._update_metrics(views, losses)

    def test_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """Losses and metrics of one batch, without training."""
        images, labels, are_labels = self._samples(data)
        outputs = self.outputs_of(images, training=False)
        views = views_of(labels, self.contrastive_input, outputs)
        losses = self._loss_and_parts(views, are_labels)
        return self._update_metrics(views, losses)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.export`, of a model that was never called too."""
        if self.built:
            # Keras takes the shape of the images from a call.
            shape = self.get_build_config()["input_shape"]
            self(keras.KerasTensor((None, *shape[1:])))
        super().export(*args, **kwargs)

    def _samples(self, data: tuple) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Images and labels, views as samples, and whether all labels are labels."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if labels is None:
            raise ValueError("labels are needed. Received: images alone")
        if weights is not None:
            raise ValueError(
                "sample_weight and class_weight are not taken: a contrastive loss is a "
                "property of the whole batch. Received: weights of samples"
            )
        labels, are_labels = as_labels(labels, images, self.num_classes)
        images, labels = with_views_as_samples(images, labels)
        return images, refuse_uneven_replicas(labels), are_labels

    def _loss_and_parts(
        self, views: Views, are_labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """This replica's share of the loss and of its parts; those of all add up."""
        batch = None
        if self._objective.compares_pairs:
            batch = global_batch(views.embeddings, views.embedding_labels)
        parts = self._objective.shares(views, batch)
        loss = self._objective.weighted_sum(parts)
        # Regularizers and `add_loss`, the same on each replica.
        for extra in self.losses:
            loss += tf.cast(tf.reduce_sum(extra), loss.dtype) / num_replicas()
        losses = {"loss": loss, **parts}
        return {name: nan_unless(are_labels, x) for name, x in losses.items()}

    def _weight_decay(self, dtype: tf.DType) -> tf.Tensor | float:
        kernels = [v for v in self.trainable_variables if v.name.endswith("kernel")]
        if not (self._objective.weight_decay and kernels):
            return 0.0
        squares = [tf.nn.l2_loss(tf.cast(kernel, dtype)) for kernel in kernels]
        # Replicas add their gradients up, but share one set of weights.
        return self._objective.weight_decay / num_replicas() * tf.add_n(squares)

    def _update_metrics(
        self, views: Views, losses: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        means, count = self._objective.means, tf.shape(views.labels)[0]
        for name, share in losses.items():
            # Keras averages over replicas what adds up over them.
            means[name].update_state(share * num_replicas(), sample_weight=count)
        correct = tf.argmax(views.logits, axis=1) == views.labels
        means["accuracy"].update_state(correct)
        same, has_positive = nearest_has_same_label(
            views.embeddings, views.embedding_labels
        )
        means["contrastive_accuracy"].update_state(same, has_positive)
        return self.compute_metrics(None, views.labels, views.logits)

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


def with_views_as_samples(
    images: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """(N, V, H, W, C) images as (N * V, H, W, C), with labels (N,) repeated."""
    if images.shape.rank == 5:
        labels = tf.repeat(labels, tf.shape(images)[1])
        images = tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], axis=0))
    return images, labels


def _features_shape(encoder: Any, input_shape: Any) -> tuple[None, int]:
    """The shape of the features, of an encoder that is built at the latest by this."""
    shape = getattr(encoder, "output_shape", None)
    if shape is None:
        features = encoder(keras.KerasTensor((None, *input_shape[1:])))
        shape = keras.tree.map_structure(lambda tensor: tensor.shape, features)
    one_input = all(size is None or isinstance(size, int) for size in input_shape)
    if not (one_input and isinstance(shape, tuple) and len(shape) == 2 and shape[1]):
        raise ValueError(
            "the encoder must turn images into features (N, F), with a known F. "
            f"Received: one from {input_shape} to {shape}"
        )
    return shape
