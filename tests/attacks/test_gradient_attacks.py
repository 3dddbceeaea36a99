import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import FGSM, PGD, RandomNoise, Square


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy_gradient(images, labels, weights):
    """Of softmax regression: `(softmax(x w) - onehot(y)) w^T`."""
    logits = images.reshape(len(images), -1).astype(np.float64) @ weights
    error = softmax(logits) - np.eye(weights.shape[1])[labels]
    return (error @ weights.T).reshape(images.shape)


@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_on_a_linear_model_is_the_formula(linear, data, targeted):
    images, labels = data
    model, weights = linear
    # Noise at full logit scale saturates the softmax; a tenth has exact gradients.
    gradient = cross_entropy_gradient(images, labels, weights / 10)
    sign = -1 if targeted else 1
    expected = np.clip(images + sign * 0.05 * np.sign(gradient), 0, 1)
    adversarial = FGSM(epsilon=0.05, targeted=targeted)(
        lambda batch: model(batch) / 10, images, labels
    )
    np.testing.assert_allclose(adversarial, expected, atol=1e-6)


def test_l2_fgsm_on_a_linear_model_steps_along_the_gradient(linear, data):
    images, labels = data
    images = 0.25 + images / 2
    model, weights = linear
    gradient = cross_entropy_gradient(images, labels, weights / 10)
    length = np.linalg.norm(gradient.reshape(len(images), -1), axis=1)
    expected = images + 0.2 * gradient / length[:, None, None, None]
    adversarial = FGSM(epsilon=0.2, norm="l2")(
        lambda batch: model(batch) / 10, images, labels
    )
    np.testing.assert_allclose(adversarial, expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_of_one_step_without_start_is_fgsm(target, data, norm):
    single = {"steps": 1, "random_start": False, "early_stop": False}
    pgd = PGD(epsilon=0.1, step_size=0.1, norm=norm, **single)
    np.testing.assert_array_equal(
        pgd(target, *data), FGSM(epsilon=0.1, norm=norm)(target, *data)
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_survivors_at_equals_survivors_of_each_epsilon(model, target, data, norm):
    epsilons = [0.01, 0.03, 0.1, 0.5]
    images, _ = data
    # All of the first batch are wrong without an attack, and every seventh image.
    right = (np.arange(len(images)) >= 40) & (np.arange(len(images)) % 7 != 0)
    predicted = model(images).numpy().argmax(axis=1)
    labels = np.where(right, predicted, (predicted + 1) % 4)
    together = FGSM(norm=norm).survivors_at(
        target, images, labels, epsilons, batch_size=40
    )
    apart = [
        FGSM(epsilon=e, norm=norm).survivors(target, images, labels) for e in epsilons
    ]
    np.testing.assert_array_equal(together, apart)
    assert together.shape == (4, len(images))


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.04), ("l2", 0.5)])
def test_pgd_is_no_weaker_than_fgsm_which_beats_noise(target, data, norm, epsilon):
    strength = {"epsilon": epsilon, "norm": norm}
    noise = RandomNoise(**strength).survivors(target, *data).mean()
    fgsm = FGSM(**strength).survivors(target, *data).mean()
    for loss in ("ce", "cw", "dlr"):
        assert PGD(loss=loss, **strength).survivors(target, *data).mean() <= fgsm
    assert 0.05 < fgsm < noise - 0.1


def test_more_restarts_break_no_fewer_images(target, data):
    once, thrice = (
        PGD(epsilon=0.03, steps=2, restarts=restarts).survivors(target, *data)
        for restarts in (1, 3)
    )
    assert not np.any(thrice & ~once)


@pytest.mark.parametrize("loss", ["ce", "cw"])
def test_targeted_attacks_raise_the_targets_share(model, target, data, loss):
    images, labels = data
    targets = (labels + 1) % 4

    def share(batch):
        return softmax(np.asarray(model(batch)))[np.arange(len(targets)), targets]

    attack = PGD(epsilon=0.1, targeted=True, loss=loss)
    raised = share(attack(target, images, targets)) - share(images)
    # An image that gives the target without an attack is left as it is.
    assert np.all(raised >= 0)
    assert raised.mean() > 0.1
    assert attack.survivors(target, images, targets).mean() < 0.5


def test_without_early_stop_the_loss_is_no_lower(model, target, data):
    images, labels = data

    def margin(batch):
        logits = np.array(model(batch))
        own = logits[np.arange(len(labels)), labels]
        logits[np.arange(len(labels)), labels] = -np.inf
        return logits.max(axis=1) - own

    stopped, full = (
        PGD(epsilon=0.1, loss="cw", early_stop=stop)(target, images, labels)
        for stop in (True, False)
    )
    assert np.all(margin(full) >= margin(stopped) - 1e-4)
    assert margin(full).mean() > margin(stopped).mean() + 0.1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_without_gradient_stay_where_they_are(data, norm):
    images, _ = data
    labels = np.zeros(len(images), int)
    rounded = lambda batch: tf.round(tf.reduce_mean(batch, [1, 2]) * 0)  # noqa: E731
    adversarial = PGD(random_start=False, norm=norm)(rounded, images, labels)
    np.testing.assert_allclose(adversarial, images, atol=1e-6)
    assert not PGD().gradients(rounded, images, labels).any()


def test_gradients_are_those_of_the_loss(linear, data):
    images, labels = data
    model, weights = linear
    expected = cross_entropy_gradient(images, labels, weights / 10)
    found = PGD().gradients(
        lambda batch: model(batch) / 10, images, labels, batch_size=40
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_fewer_images_are_computed_once_others_have_fallen(model, data):
    class Counting:
        passes = 0

        def __call__(self, images):
            # A model of numpy code runs eagerly, so each batch is seen.
            Counting.passes += len(np.asarray(images))
            return model(images)

    images, labels = data
    PGD(epsilon=0.3, steps=50).survivors(Counting(), images, labels)
    assert Counting.passes < 12 * len(images)


def test_square_finds_what_masked_gradients_hide(model, data, predict):
    images, labels = data

    def quantised(batch):
        return model(tf.round(batch * 8) / 8)

    correct = predict(quantised, images) == labels
    images, labels = images[correct], labels[correct]
    gradient = PGD(epsilon=0.1, random_start=False).survivors(quantised, images, labels)
    search = Square(epsilon=0.1, queries=200).survivors(quantised, images, labels)
    assert gradient.all()
    assert search.mean() < 0.6


def test_square_gets_stronger_with_queries(target, data):
    few, many = (
        Square(epsilon=0.05, queries=queries).survivors(target, *data).mean()
        for queries in (1, 150)
    )
    assert many < few - 0.1


def test_squares_shrink_by_the_papers_schedule():
    sides = Square(queries=10_000)._sides(
        np.array([1, 11, 12, 52, 202, 502, 1002, 2002, 4002, 6002, 8002, 9999]), 32, 32
    )
    halvings = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    assert list(sides) == [round(32 * (0.8 / 2**k) ** 0.5) for k in halvings]
