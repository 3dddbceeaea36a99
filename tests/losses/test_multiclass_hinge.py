import numpy as np
import pytest

from supcon_tf.losses import MulticlassHingeLoss

from .cases import value_and_gradient


@pytest.mark.parametrize(
    ("margin", "label", "logits", "largest", "total"),
    [
        (1.0, 0, [3.0, 1.0, 0.5], 0.0, 0.0),
        (1.0, 0, [2.0, 1.0, 0.5], 0.0, 0.0),
        (1.0, 1, [2.0, 1.0, 0.5], 2.0, 2.5),
        (1.0, 2, [2.0, 1.0, 0.5], 2.5, 4.0),
        (0.25, 0, [1.0, 1.0, 0.875], 0.25, 0.375),
        (2.0, 1, [0.0, 0.0], 2.0, 2.0),
        (1.0, 0, [-5.0, -5.5], 0.5, 0.5),
    ],
)
def test_loss_equals_the_value_worked_out_by_hand(
    margin, label, logits, largest, total
):
    for variant, expected in [("max", largest), ("sum", total)]:
        loss = MulticlassHingeLoss(margin, variant)
        assert float(loss([label], [logits])) == pytest.approx(expected)


def test_loss_is_the_mean_over_the_batch():
    logits = [[2.0, 1.0, 0.5], [2.0, 1.0, 0.5], [9.0, 0.0, 0.0]]
    loss = MulticlassHingeLoss(variant="sum")
    assert float(loss([1, 2, 0], logits)) == pytest.approx((2.5 + 4.0) / 3)


def test_max_moves_the_true_and_the_worst_class_only():
    _, gradient = value_and_gradient(MulticlassHingeLoss(), [1], [[2.0, 1.0, 0.5]])
    np.testing.assert_array_equal(gradient, [[1, -1, 0]])


def test_sum_moves_every_class_inside_the_margin():
    loss = MulticlassHingeLoss(variant="sum")
    _, gradient = value_and_gradient(loss, [1], [[2.0, 1.0, 0.5, -0.5]])
    np.testing.assert_array_equal(gradient, [[1, -2, 1, 0]])


@pytest.mark.parametrize("variant", ["max", "sum"])
def test_rows_beyond_the_margin_get_no_gradient(variant):
    loss = MulticlassHingeLoss(variant=variant)
    value, gradient = value_and_gradient(loss, [0, 1], [[3.0, 1, 1], [-9.0, 0, -9]])
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_logits_of_one_class_are_refused():
    with pytest.raises(ValueError, match=r"two or more classes\. Received: \(3, 1\)"):
        MulticlassHingeLoss()([0, 0, 0], np.zeros((3, 1), np.float32))
