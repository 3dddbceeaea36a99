import keras
import numpy as np
import pytest

from supcon_tf.training.averaging import WeightAverage


def test_average_follows_the_schedule_of_the_decay():
    variable = keras.Variable([2.0, 4.0])
    counter = keras.Variable(1, dtype="int64")
    average = WeightAverage([variable, counter], 0.5)
    rng = np.random.default_rng(0)
    expected = variable.numpy()
    for step in range(20):
        value = rng.normal(size=2).astype(np.float32)
        variable.assign(value)
        counter.assign(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        average.update()
    with average.in_place():
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5)
        assert counter.numpy() == 19
    np.testing.assert_array_equal(variable.numpy(), value)
    average.adopt()
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5)


def test_values_come_back_after_an_error():
    variable = keras.Variable([1.0])
    average = WeightAverage([variable], 0.9)
    variable.assign([5.0])

    def fail():
        with average.in_place():
            assert variable.numpy() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert variable.numpy() == 5


def test_decay_that_is_none_is_refused():
    for decay in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="decay must be between 0 and 1"):
            WeightAverage([], decay)
