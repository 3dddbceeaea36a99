"""The same attacks as users of other libraries write them on TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BATCH_SIZE = 128
STEPS = 20


@dataclass(frozen=True)
class Subject:
    """A trained model, images (N, H, W, 3) in [0, 1], labels (N,), and strengths."""

    model: Any
    images: Any
    labels: Any
    dataset: str
    epsilons: tuple[float, ...]


def _cleverhans(attack: str, subject: Subject, epsilon: float) -> Callable:
    import numpy as np
    import tensorflow as tf
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    from cleverhans.tf2.attacks.projected_gradient_descent import (
        projected_gradient_descent,
    )

    model = subject.model

    def logits(x: Any) -> Any:
        return model(x, training=False)

    bounds = {"clip_min": 0.0, "clip_max": 1.0}

    @tf.function
    def fgsm(x: Any, y: Any) -> Any:
        return fast_gradient_method(logits, x, epsilon, np.inf, y=y, **bounds)

    @tf.function
    def pgd(x: Any, y: Any) -> Any:
        return projected_gradient_descent(
            logits,
            x,
            epsilon,
            epsilon / 4,
            STEPS,
            np.inf,
            y=y,
            sanity_checks=False,
            **bounds,
        )

    chosen = fgsm if attack != "PGD-20" else pgd
    return lambda x, y: chosen(tf.constant(x), tf.constant(y))


def _art(attack: str, subject: Subject, epsilon: float) -> Callable:
    import tensorflow as tf
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        subject.model,
        nb_classes=subject.model.output_shape[-1],
        input_shape=subject.images.shape[1:],
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
    if attack != "PGD-20":
        chosen = FastGradientMethod(classifier, eps=epsilon, batch_size=BATCH_SIZE)
    else:
        chosen = ProjectedGradientDescent(
            classifier,
            eps=epsilon,
            eps_step=epsilon / 4,
            max_iter=STEPS,
            num_random_init=1,
            batch_size=BATCH_SIZE,
            verbose=False,
        )
    return lambda x, y: chosen.generate(x, y)


def _foolbox(attack: str, subject: Subject, epsilon: float) -> Callable:
    import eagerpy
    import foolbox
    import tensorflow as tf

    wrapped = foolbox.TensorFlowModel(
        lambda x: subject.model(x, training=False), bounds=(0, 1), device="CPU:0"
    )
    chosen = foolbox.attacks.LinfFastGradientAttack()
    if attack == "PGD-20":
        chosen = foolbox.attacks.LinfPGD(
            abs_stepsize=epsilon / 4, steps=STEPS, random_start=True
        )

    def perturb(x: Any, y: Any) -> Any:
        x, y = (eagerpy.astensor(tf.constant(value)) for value in (x, y))
        return chosen(wrapped, x, y, epsilons=epsilon)[1].raw.numpy()

    return perturb


PEERS = {"cleverhans": _cleverhans, "ART": _art, "foolbox": _foolbox}
