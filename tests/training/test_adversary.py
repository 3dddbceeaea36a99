import keras
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import MarginContrastiveLoss, SupervisedContrastiveLoss
from supcon_tf.losses.cross_entropy import CrossEntropyLoss
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.training.adversary import Adversary

EPSILON = 8 / 255
RADIUS = {"nfgsm": 2 * EPSILON, "zerograd": EPSILON, "pgd": EPSILON}
SUPCON = (0.5, SupervisedContrastiveLoss())
CROSS_ENTROPY = (1.0, CrossEntropyLoss())


@pytest.fixture
def images():
    return np.random.default_rng(0).random((12, 5, 5, 3), np.float32)


def small_encoder():
    """No batch norm, so that images do not depend on each other."""
    layers = [
        keras.Input((5, 5, 3)),
        keras.layers.Flatten(),
        keras.layers.Dense(6, "tanh"),
    ]
    return keras.Sequential(layers)


def compiled(adversary, losses=None, encoder=small_encoder, **kwargs):
    keras.utils.set_random_seed(0)
    model = ContrastiveClassifier(encoder(), 3)
    losses = losses or {"cross_entropy": CROSS_ENTROPY}
    model.compile(keras.optimizers.SGD(0.5), losses, adversary=adversary, **kwargs)
    return model


def cross_entropy_gradient(model, images, labels):
    with tf.GradientTape() as tape:
        images = tf.constant(images)
        tape.watch(images)
        logits = model(images, training=True)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tape.gradient(loss, images).numpy()


def test_starts_fill_their_ball_and_stay_in_the_pixel_range(images):
    for method, radius in RADIUS.items():
        gray = np.full((16, 8, 8, 3), 0.5, np.float32)
        noise = Adversary(method, epsilon=EPSILON).start(gray, 0).numpy() - 0.5
        assert radius * 0.99 < np.abs(noise).max() <= radius * (1 + 1e-5), method
        assert abs(noise.mean()) < radius / 20
        start = Adversary(method, epsilon=0.9).start(images, 0).numpy()
        assert start.min() >= 0, method
        assert start.max() <= 1, method


def test_noise_depends_on_seed_step_and_place_alone(images):
    adversary = Adversary(seed=(1, 2))
    whole = adversary.start(images, 7).numpy()
    np.testing.assert_array_equal(whole, Adversary(seed=(1, 2)).start(images, 7))
    halves = [adversary.start(images[:5], 7), adversary.start(images[5:], 7, 5)]
    np.testing.assert_array_equal(whole, np.concatenate(halves))
    for other in (
        adversary.start(images, 8),
        Adversary(seed=(1, 3)).start(images, 7),
        Adversary(seed=(2, 2)).start(images, 7),
        adversary.start(images, 7, 1),
    ):
        assert np.abs(whole - other).max() > EPSILON


def test_advance_follows_each_formula(images):
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=images.shape).astype(np.float32)
    gradient[0] = 0
    gradient[1, 0, 0, 0] = np.nan
    sign = np.nan_to_num(np.sign(gradient))
    for method in RADIUS:
        adversary = Adversary(method, epsilon=EPSILON, steps=10)
        start = adversary.start(images, 0).numpy()
        if method == "nfgsm":
            expected = start + EPSILON * sign
        else:
            size = 2 * EPSILON if method == "zerograd" else 0.25 * EPSILON
            moved = sign.copy()
            if method == "zerograd":
                flat = np.abs(np.nan_to_num(gradient)).reshape(12, -1)
                # 75 values an image: the 33 smallest stay.
                least = np.sort(flat, axis=1)[:, 33].reshape(-1, 1, 1, 1)
                moved[np.abs(np.nan_to_num(gradient)) < least] = 0
            expected = np.clip(start + size * moved, images - EPSILON, images + EPSILON)
        found = adversary.advance(images, start, gradient).numpy()
        np.testing.assert_allclose(
            found[2:], np.clip(expected, 0, 1)[2:], atol=1e-6, err_msg=method
        )
        assert np.isfinite(found).all(), method
        np.testing.assert_allclose(found[0], start[0], atol=1e-6, err_msg=method)


@pytest.mark.slow
def test_a_step_trains_on_the_images_of_the_attack(images):
    """The same step by hand: attack first, then a plain step on what it gave."""
    labels = np.arange(12) % 3
    for method, steps in (("nfgsm", 1), ("zerograd", 1), ("pgd", 3)):
        for views in ("both", "adversarial", "clean"):
            adversary = Adversary(method, steps=steps, contrastive_views=views)
            losses = {"cross_entropy": CROSS_ENTROPY, "supcon": SUPCON}
            model = compiled(adversary, losses)
            start = adversary.start(images, 0).numpy()
            attacked = start
            for _ in range(steps):
                slope = cross_entropy_gradient(model, attacked, labels)
                attacked = adversary.advance(images, attacked, slope).numpy()
            first = {"both": [start], "adversarial": [], "clean": [images]}[views]
            with tf.GradientTape() as tape:
                loss = CROSS_ENTROPY[1](labels, model(attacked, training=True))
                embeddings = [model.features(x) for x in (*first, attacked)]
                loss += 0.5 * SUPCON[1](
                    np.tile(labels, len(embeddings)), tf.concat(embeddings, 0)
                )
            expected = [
                v.numpy() - 0.5 * g
                for v, g in zip(
                    model.trainable_variables,
                    tape.gradient(loss, model.trainable_variables),
                    strict=True,
                )
            ]
            metrics = model.train_step((tf.constant(images), tf.constant(labels)))
            assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-4)
            for variable, value in zip(
                model.trainable_variables, expected, strict=True
            ):
                np.testing.assert_allclose(
                    variable.numpy(), value, atol=1e-5, err_msg=f"{method} {views}"
                )


def test_abnormal_is_the_share_of_images_whose_loss_fell(images):
    labels = np.arange(12) % 3
    adversary = Adversary()
    # One step of a radius beyond the linear region lowers the loss of some.
    adversary.epsilon = 1.0
    model = compiled(adversary)
    start = adversary.start(images, 0).numpy()
    slope = cross_entropy_gradient(model, start, labels)
    attacked = adversary.advance(images, start, slope)

    def losses(x):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(x))

    share = np.mean(losses(attacked) < losses(start))
    metrics = model.train_step((tf.constant(images), tf.constant(labels)))
    assert float(metrics["abnormal"]) == pytest.approx(share)


@pytest.mark.slow
def test_fit_trains_on_attacked_images_and_withstands_more(images):
    """Two pixels tell the classes apart: one clearly, one by less than epsilon."""
    rng = np.random.default_rng(0)
    labels = np.arange(256) % 3
    images = rng.random((256, 5, 5, 3), np.float32) * 0.2
    for label in range(3):
        images[labels == label, label, 0, :] += 0.6
        images[labels == label, label, 1:, :] += 0.05
    attack = np.float32(0.25)
    accuracy = {}
    for name, adversary in (("plain", None), ("robust", Adversary(epsilon=0.25))):
        model = compiled(adversary)
        model.fit(images, labels, batch_size=64, epochs=20, verbose=0)
        slope = cross_entropy_gradient(model, images, labels)
        moved = np.clip(images + attack * np.sign(slope), 0, 1)
        accuracy[name] = np.mean(np.argmax(model(moved), axis=1) == labels)
    assert accuracy["robust"] > accuracy["plain"] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_every_policy_trains_with_an_adversary(images, policy, computable):
    computable(policy)

    def encoder():
        return keras.Sequential(
            [
                keras.Input((5, 5, 3), dtype="float32"),
                keras.layers.Flatten(dtype=policy),
                keras.layers.Dense(6, "tanh", dtype=policy),
            ]
        )

    losses = {"cross_entropy": CROSS_ENTROPY, "margin": (1.0, MarginContrastiveLoss())}
    model = ContrastiveClassifier(encoder(), 3, dtype=policy)
    optimizer = keras.optimizers.SGD(0.1)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, losses, adversary=Adversary())
    history = model.fit(images, np.arange(12) % 3, batch_size=12, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.slow
def test_a_step_with_an_adversary_is_the_same_compiled_by_xla(images, monkeypatch):
    losses = {"cross_entropy": CROSS_ENTROPY, "supcon": SUPCON}
    labels, start = np.arange(12) % 3, Adversary.start
    for method in ("nfgsm", "zerograd", "pgd"):
        noisy = Adversary(method).start(images, 0)

        # XLA draws other numbers for a key beyond 31 bits, so the start is given.
        def given(*arguments, noisy=noisy):
            return noisy + 0 * start(*arguments)

        found = []
        with monkeypatch.context() as patch:
            patch.setattr(Adversary, "start", given)
            for jit_compile in (False, True):
                model = compiled(Adversary(method), losses, jit_compile=jit_compile)
                found.append(model.train_on_batch(images, labels, return_dict=True))
        assert found[0] == pytest.approx(found[1], rel=1e-4), method


def test_what_no_adversary_can_be_is_refused():
    for arguments, message in (
        ({"method": "fgsm"}, "method must be one of nfgsm, zerograd, pgd"),
        ({"epsilon": 8}, "epsilon must be above 0 and at most 1"),
        ({"epsilon": True}, "epsilon must be above 0"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"contrastive_views": "all"}, "contrastive_views must be one of both"),
    ):
        with pytest.raises(ValueError, match=message):
            Adversary(**arguments)
