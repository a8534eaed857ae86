"""The one line that an object shows of itself."""

import numpy as np
import pytest

import fpnotes as fp
from fpnotes._text import counted

LINES = {
    "Task(2 neurons, 3 samples, relu)": lambda: fp.Task(
        np.zeros((2, 2)), np.ones((3, 2)), np.ones(3), fp.mean_squared_error, "relu"
    ),
    "LinearRegression(200 neurons, 100 samples, linear)": fp.LinearRegression.published,
    "Digits(20 neurons, 10000 samples, tanh)": lambda: fp.Digits.published(n=20),
    "DigitImages(10000 images for training, 10000 for testing)": fp.load_digits,
    "RateNetwork(1 neuron, powerlaw, tau=0.5)": lambda: fp.RateNetwork([[0]], fp.powerlaw(), 0.5),
    "Reparameterized()": fp.Reparameterized,
    "Euclidean()": fp.Euclidean,
}


@pytest.mark.parametrize("line", LINES)
def test_an_object_is_shown_in_one_line(line):
    assert repr(LINES[line]()) == line


def test_metrics_of_many_gains_are_told_apart_in_one_line():
    metrics = [fp.Reparameterized(np.full(300, gain)) for gain in (1.0, 2.0)]
    one, other = map(repr, metrics)
    assert one != other and "\n" not in one and len(one) < 80
    assert metrics[0] != metrics[1] and len(set(metrics)) == 2  # by identity, as tasks


def test_a_subclass_is_shown_by_its_own_name():
    class Minibatches(fp.Task):
        pass

    task = Minibatches([[0.0]], [[1.0]], [[1.0]], fp.mean_squared_error)
    assert repr(task) == "Minibatches(1 neuron, 1 sample, tanh)"


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (np.int64(4), "4 steps")]
)
def test_one_is_singular(n, text):
    assert counted(n, "step") == text
