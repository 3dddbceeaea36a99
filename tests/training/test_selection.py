import keras
import numpy as np

from supcon_tf.data import Split
from supcon_tf.training.selection import BestEpoch, robust_accuracy


def recorded(accuracies):
    """A model of one weight that has the number of the epoch, after these epochs."""
    variable = keras.Variable(0.0)
    best = BestEpoch([variable])
    for epoch, accuracy in enumerate(accuracies, start=1):
        variable.assign(epoch)
        best.record(epoch, accuracy)
    return variable, best


def test_last_of_the_best_epochs_is_kept():
    for accuracies, epoch in (
        ([0.0], 1),
        ([0.0, 0.0], 2),
        ([0.1, 0.3, 0.2], 2),
        ([0.1, 0.3, 0.3, 0.0], 3),
    ):
        variable, best = recorded(accuracies)
        assert best.epoch == epoch
        assert best.accuracy == np.float32(max(accuracies))
        best.restore()
        assert variable.numpy() == epoch


def test_fall_below_60_percent_of_the_best_is_a_collapse():
    for accuracies, collapsed in (
        ([], False),
        ([0.0, 0.0], False),
        ([0.5, 0.31], False),
        ([0.5, 0.29], True),
        ([0.5, 0.29, 0.4], False),
    ):
        assert recorded(accuracies)[1].collapsed is collapsed, accuracies


def test_what_was_kept_comes_back_with_its_variables():
    _, best = recorded([0.1, 0.4, 0.3])
    variable = keras.Variable(7.0)
    other = BestEpoch([variable])
    for new, old in zip(other.variables, best.variables, strict=True):
        new.assign(old.numpy())
    assert (other.epoch, other.accuracy) == (2, np.float32(0.4))
    assert not other.collapsed
    other.restore()
    assert variable.numpy() == 2


def test_robust_accuracy_counts_what_withstands_and_sees_new_weights():
    """One pixel a class; class 1 has the smaller distance to the boundary."""
    inputs = keras.Input((1, 2, 1))
    layer = keras.layers.Dense(2, use_bias=False)
    model = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
    layer.set_weights([np.eye(2, dtype=np.float32)])
    images = np.array([[[200, 100]], [[100, 200]], [[100, 110]]], np.uint8)[..., None]
    measure = robust_accuracy(model, Split(images, np.array([0, 1, 1])), 20 / 255, 0)
    assert measure(lambda: None) == np.float64(2 / 3)
    # The other way round all are wrong, and no attack makes them right.
    layer.set_weights([np.eye(2, dtype=np.float32)[::-1]])
    assert measure(lambda: None) == 0
