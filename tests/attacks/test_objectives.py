import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.attacks import objectives
from supcon_tf.errors import UserError

LOGITS = tf.constant([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0]])
LABELS = tf.constant([0, 1])


def test_cross_entropy_of_literal_logits():
    values = objectives.cross_entropy(LOGITS, LABELS)
    expected = [np.log(1 + np.exp(-2) + np.exp(-3)), np.log(1 + np.exp(3) + np.exp(-2))]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_margin_of_literal_logits():
    np.testing.assert_allclose(objectives.margin(LOGITS, LABELS), [-2, 3])


def test_difference_of_logits_ratio_of_literal_logits():
    values = objectives.difference_of_logits_ratio(LOGITS, LABELS)
    np.testing.assert_allclose(values, [-2 / 3, 3 / 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("ce", [[-0.156205, 0.114195, 0.04201], [0.006377, -0.952876, 0.946499]]),
        ("cw", [[-1, 1, 0], [0, -1, 1]]),
        # Quotient rule on (z_1 - z_0) / (z_0 - z_2) and (z_2 - z_1) / (z_2 - z_0).
        ("dlr", [[-1 / 9, 1 / 3, -2 / 9], [3 / 25, -1 / 5, 2 / 25]]),
    ],
)
def test_gradients_of_literal_logits(loss, expected):
    with tf.GradientTape() as tape:
        tape.watch(LOGITS)
        values = objectives.Objective(loss).values(LOGITS, LABELS, LABELS)
    np.testing.assert_allclose(tape.gradient(values, LOGITS), expected, atol=1e-6)


@pytest.mark.parametrize("loss", ["ce", "cw"])
def test_targeted_objective_grows_with_the_targets_logit(loss):
    values = objectives.Objective(loss, targeted=True).values
    raised = LOGITS + tf.one_hot(LABELS, 3)
    assert np.all(values(raised, LABELS, LABELS) > values(LOGITS, LABELS, LABELS))


def test_ratio_ignores_shift_and_scale_of_logits():
    ratio = objectives.difference_of_logits_ratio
    np.testing.assert_allclose(
        ratio(100 * LOGITS + 7, LABELS), ratio(LOGITS, LABELS), rtol=1e-5
    )


def test_equal_logits_have_ratio_zero():
    assert objectives.difference_of_logits_ratio(tf.zeros([1, 3]), [0]).numpy() == 0


@pytest.mark.parametrize("loss", objectives.LOSSES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_values_are_float32_or_better(loss, dtype):
    # The targeted ratio compares four classes.
    logits = tf.cast(tf.concat([LOGITS, LOGITS - 1], axis=1), dtype)
    values = objectives.Objective(loss).values(logits, LABELS, LABELS)
    assert values.dtype == (tf.float64 if dtype == "float64" else tf.float32)


def test_fools_reads_labels_and_targets():
    untargeted = objectives.Objective("ce").fools(LOGITS, LABELS)
    np.testing.assert_array_equal(untargeted, [False, True])
    targeted = objectives.Objective("ce", targeted=True).fools(LOGITS, LABELS)
    np.testing.assert_array_equal(targeted, [True, False])


def test_unknown_loss_and_targeted_ratio_are_refused():
    with pytest.raises(UserError, match="Received: 'hinge'"):
        objectives.Objective("hinge")
    with pytest.raises(UserError, match="reads the true label"):
        objectives.Objective("dlr", targeted=True)
