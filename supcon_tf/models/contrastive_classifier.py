"""The classifier that is trained with contrastive losses on its own features."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from supcon_tf.models.heads import check_heads, features_shape, projection_head
from supcon_tf.models.objective import Objective, compiled_objective, gradients_of
from supcon_tf.models.precision import at_least_float32
from supcon_tf.models.replicas import refuse_what_replicas_cannot
from supcon_tf.models.views import samples_of, training_views, views_of


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
    import keras, numpy as np
    from supcon_tf.losses import CrossEntropyLoss, SupervisedContrastiveLoss
    from supcon_tf.models import ContrastiveClassifier, resnet18

    images, labels = np.random.rand(32, 16, 16, 3), np.arange(32) % 4
    model = ContrastiveClassifier(resnet18((16, 16, 3), width=4), num_classes=4)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        losses={
            "cross_entropy": (1.0, CrossEntropyLoss()),
            "supcon": (1.0, SupervisedContrastiveLoss(temperature=0.1)),
        },
        weight_decay=5e-4,
    )
    model.fit(images, labels, batch_size=16)
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
        check_heads(num_classes, (contrastive_input, classifier_input), class_names)
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
        read, dtype = features_shape(self.encoder, input_shape), self._head_dtype
        if "projection" in (self.contrastive_input, self.classifier_input):
            self.projection = projection_head(read, self.projection_dim, dtype)
        if self.classifier_input == "projection":
            read = (None, self.projection_dim)
        classifier = keras.layers.Dense(
            self.num_classes, dtype=dtype, name="classifier"
        )
        classifier.build(read)
        self.classifier = classifier
        self.built = True

    def outputs_of(
        self, images: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """All that one forward pass gives, each (N, ...).

        `features`, `projection` if there is one, `embedding`, the unit vectors of what
        the contrastive losses act on, and `logits`.
        """
        if not self.built:
            with tf.init_scope():
                self.build((None, *images.shape[1:]))
        outputs = {"features": self.features(images, training)}
        if self.projection is not None:
            outputs["projection"] = self.projection(outputs["features"])
        contrasted = outputs[self.contrastive_input]
        outputs["embedding"] = tf.math.l2_normalize(contrasted, axis=-1)
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
        return self.outputs_of(images, training)["embedding"]

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
        images, labels, are_labels = samples_of(data, self.num_classes)
        objective = self._objective
        with tf.GradientTape(persistent=objective.adversary is not None) as tape:
            views, fell = training_views(self, objective, images, labels, tape)
            losses = objective.losses(views, are_labels, self.losses)
            variables = self.trainable_variables
            total = losses["loss"] + objective.decay_of(variables)
            total = self.optimizer.scale_loss(total)
        gradients = gradients_of(total, variables, tape, self.optimizer)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        objective.report(views, losses, fell)
        return self.compute_metrics(None, views.labels, views.logits)

    def test_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """Losses and metrics of one batch, without training."""
        images, labels, are_labels = samples_of(data, self.num_classes)
        views = views_of(labels, self.contrastive_input, self.outputs_of(images))
        losses = self._objective.losses(views, are_labels, self.losses)
        self._objective.report(views, losses)
        return self.compute_metrics(None, views.labels, views.logits)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.export`, of a model that was never called too."""
        if self.built:
            # Keras takes the shape of the images from a call.
            shape = self.get_build_config()["input_shape"]
            self(keras.KerasTensor((None, *shape[1:])))
        super().export(*args, **kwargs)

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
