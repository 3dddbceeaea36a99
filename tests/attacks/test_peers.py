"""The same attack by other libraries, where they are installed."""

import builtins

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import FGSM, PGD, AutoAttackART
from supcon_tf.errors import UserError

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


@peers
def test_pgd_leaves_the_accuracy_that_the_peers_leave(peer, model, data, predict):
    images, labels = (np.concatenate([part] * 3) for part in data)
    labels = labels.astype(np.int64)
    theirs = predict(model, their_pgd(peer, model, images, labels)) == labels
    ours = PGD(epsilon=EPSILON).survivors(model, images, labels)
    assert 0.05 < ours.mean() < 0.95
    assert abs(ours.mean() - theirs.mean()) <= 0.005


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", EPSILON), ("l2", 0.4)])
def test_autoattack_of_art_runs_and_keeps_its_bounds(model, data, norm, epsilon):
    need("art")
    need("multiprocess")
    images, labels = data[0][:24], data[1][:24]
    state = np.random.get_state()[1].copy()
    attack = AutoAttackART(epsilon=epsilon, norm=norm, steps=10, queries=5)
    adversarial = attack(model, images, labels).numpy()
    flat = (adversarial - images).reshape(len(images), -1)
    length = np.linalg.norm(flat, ord=np.inf if norm == "linf" else 2, axis=1)
    assert length.max() <= epsilon + 1e-6
    assert np.abs(flat).max() > 0
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    left = np.argmax(model(adversarial), axis=1) == labels
    pgd = PGD(epsilon=epsilon, norm=norm).survivors(model, images, labels)
    assert abs(left.mean() - pgd.mean()) <= 0.1


def test_missing_art_names_the_command(monkeypatch, model, data):
    real = builtins.__import__

    def without_art(name, *arguments, **keywords):
        if name.split(".")[0] in ("art", "multiprocess"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_art)
    with pytest.raises(UserError, match=r"pip install 'supcon-tf\[attacks\]'"):
        AutoAttackART()(model, *data)


def test_autoattack_says_what_it_is_made_of():
    attack = AutoAttackART()
    assert attack.members == ("apgd_ce", "apgd_dlr", "deepfool", "square")
    assert attack.parameters()["members"] == list(attack.members)
    assert "NOT the standard AutoAttack" in AutoAttackART.__doc__
    with pytest.raises(UserError, match="epsilon must be above 0"):
        AutoAttackART(epsilon=0)
