"""The same attack by other libraries, where they are installed."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import FGSM, PGD

EPSILON = 0.03
peers = pytest.mark.parametrize("peer", ["cleverhans", "foolbox", "art"])
# Warnings of the peers' own making.
pytestmark = pytest.mark.filterwarnings("ignore")


def need(module):
    return pytest.importorskip(module, reason=f"{module} is an optional extra")


def art_attack(name, model, **settings):
    evasion = need("art.attacks.evasion")
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model=model,
        nb_classes=4,
        input_shape=(8, 8, 3),
        loss_object=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    return getattr(evasion, name)(classifier, eps=EPSILON, **settings)


def their_fgsm(peer, model, images, labels):
    if peer == "cleverhans":
        tf2 = need("cleverhans.tf2.attacks.fast_gradient_method")
        return tf2.fast_gradient_method(
            model, images, EPSILON, np.inf, clip_min=0, clip_max=1, y=labels
        )
    if peer == "foolbox":
        foolbox = need("foolbox")
        wrapped = foolbox.TensorFlowModel(model, bounds=(0, 1))
        attack = foolbox.attacks.LinfFastGradientAttack()
        return attack(
            wrapped, tf.constant(images), tf.constant(labels), epsilons=EPSILON
        )[1]
    return art_attack("FastGradientMethod", model).generate(images, labels)


def their_pgd(peer, model, images, labels):
    step, steps = EPSILON / 4, 20
    if peer == "cleverhans":
        tf2 = need("cleverhans.tf2.attacks.projected_gradient_descent")
        return tf2.projected_gradient_descent(
            *(model, tf.constant(images), EPSILON, step, steps, np.inf),
            clip_min=0,
            clip_max=1,
            y=tf.constant(labels),
        )
    if peer == "foolbox":
        foolbox = need("foolbox")
        wrapped = foolbox.TensorFlowModel(model, bounds=(0, 1))
        attack = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps)
        return attack(
            wrapped, tf.constant(images), tf.constant(labels), epsilons=EPSILON
        )[1]
    attack = art_attack(
        "ProjectedGradientDescentTensorFlowV2",
        model,
        eps_step=step,
        max_iter=steps,
        num_random_init=1,
        verbose=False,
    )
    return attack.generate(images, labels)


@peers
def test_fgsm_images_equal_the_peers(peer, model, data):
    images, labels = data
    labels = labels.astype(np.int64)
    theirs = np.asarray(their_fgsm(peer, model, images, labels))
    ours = np.asarray(FGSM(epsilon=EPSILON)(model, images, labels))
    assert np.mean(np.abs(ours - theirs) > 1e-6) < 1e-4


@pytest.mark.slow
@peers
def test_pgd_leaves_the_accuracy_that_the_peers_leave(peer, model, data, predict):
    images, labels = (np.concatenate([part] * 3) for part in data)
    labels = labels.astype(np.int64)
    theirs = predict(model, their_pgd(peer, model, images, labels)) == labels
    ours = PGD(epsilon=EPSILON).survivors(model, images, labels)
    assert 0.05 < ours.mean() < 0.95
    assert abs(ours.mean() - theirs.mean()) <= 0.005
