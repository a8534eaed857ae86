"""Tasks: the published draws, and what a task of one's own needs."""

import pickle
from functools import partial
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest

from fpnotes import solve
from fpnotes.digits import load_digits
from fpnotes.rules import linearized
from fpnotes.tasks import (
    Digits,
    LinearRegression,
    Task,
    cross_entropy,
    mean_squared_error,
)
from fpnotes.training import train


def test_the_published_regression_is_drawn_in_the_authors_order():
    """Written again here from the protocol, with the global legacy generator it was published for."""
    n, m = 200, 100
    state = np.random.get_state()
    np.random.seed(2023)
    X = 0.1 * np.random.randn(n, m)
    W_hat = 0.5 * np.random.randn(n, n) * np.sqrt(1 / n)
    Y = np.linalg.inv(np.eye(n) - W_hat) @ X + 0.01 * np.random.randn(n, m)
    W_init = (0.75 / np.sqrt(n)) * np.random.randn(n, n)
    np.random.set_state(state)
    task = LinearRegression.published()
    assert np.array_equal(task.x, X.T) and np.array_equal(task.W0, W_init)
    assert np.allclose(task.y, Y.T, rtol=1e-12)
    loss = task.loss(solve(task.W0, task.x, "linear").r, task.y)
    assert loss == pytest.approx(3.195, rel=2e-4)


def test_drawing_a_published_task_leaves_the_global_generator_alone():
    before = np.random.get_state(legacy=False)["state"]
    LinearRegression.published(n=4, m=2)
    after = np.random.get_state(legacy=False)["state"]
    assert after["pos"] == before["pos"] and np.array_equal(after["key"], before["key"])


def test_a_task_can_be_sent_to_another_process():
    task = LinearRegression.published(8, 5)
    there = pickle.loads(pickle.dumps(task))
    assert np.array_equal(there.x, task.x) and there.activation is task.activation


def test_one_neuron_has_its_minimum_near_the_weight_that_made_the_data():
    task = LinearRegression.one_neuron(-2)
    assert task.W0.item() == -2 and task.x.shape == (500, 1)
    loss = [
        task.loss(solve([[w]], task.x, "linear").r, task.y) for w in (-1.1, -1.0, -0.9, -2.0, 0.0)
    ]
    assert np.argmin(loss) in (0, 1, 2)


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_a_task_is_the_derivative_of_its_loss(seed):
    rng = np.random.default_rng(seed)
    x, y, r = (rng.standard_normal((4, 3)) for _ in range(3))

    def loss(r, y):
        return anp.mean(anp.sum((r - y) ** 2, axis=1))

    task, regression = Task(np.zeros((3, 3)), x, y, loss), LinearRegression(np.zeros((3, 3)), x, y)
    assert regression.loss(r, y) == pytest.approx(loss(r, y))
    assert np.allclose(task.error(r, y), regression.error(r, y))
    h = 1e-6 * rng.standard_normal(r.shape)
    assert loss(r + h, y) - loss(r - h, y) == pytest.approx(
        2 * np.sum(task.error(r, y) * h), rel=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"W0": np.ones((2, 3))}, "W0 must be a square"),
        ({"x": np.ones((4, 2))}, r"x must have shape \(\.\.\., 3\)"),
        ({"y": np.ones((5, 3))}, "x and y must have one row per sample"),
        ({"y": np.full((4, 3), np.nan)}, "y must be finite"),
    ],
)
def test_what_does_not_match_is_named(options, message):
    good = {"W0": np.zeros((3, 3)), "x": np.ones((4, 3)), "y": np.ones((4, 3))}
    with pytest.raises(ValueError, match=message):
        LinearRegression(**good | options)


def test_a_task_keeps_copies_that_cannot_be_changed():
    W0, x, y = np.zeros((3, 3)), np.ones((4, 3)), np.ones((4, 3))
    for task in (Task(W0, x, y, mean_squared_error), LinearRegression(W0, x, y)):
        for array in (W0, x, y):
            array += 5
        assert not task.W0.any() and (task.x == 1).all() and (task.y == 1).all()
        for array in (W0, x, y):
            array -= 5
        for array in (task.W0, task.x, task.y):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 7
        with pytest.raises(AttributeError, match="cannot assign to field 'x'"):
            task.x = x  # type: ignore[misc]


def test_tasks_are_compared_by_identity():
    one, other = (LinearRegression.one_neuron(0.5) for _ in range(2))
    assert one == one and one != other and one in [other, one] and len({one, other}) == 2


def task_of(**fields: Any):
    return Task(**{"W0": np.zeros((1, 1)), "x": [[1], [2]], "y": [[1], [2]], "loss": len, **fields})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LinearRegression(np.zeros((3, 3)), np.ones((0, 3)), np.ones((0, 3))),
            "one sample",
        ),
        (lambda: task_of(y=[[1], [2, 3]]), "y must have one row per"),
        (lambda: LinearRegression.published(n=0), "n must be at least 1"),
        (lambda: LinearRegression.one_neuron(w_star=1), "w_star must not be 1"),
        (lambda: LinearRegression.one_neuron(seed=-1), "seed must be at least 0"),
    ],
)
def test_what_no_network_can_learn_from_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: task_of(loss="mse"), "loss must be a function"),
        (partial(LinearRegression.one_neuron, **{"seed": 1.5}), "seed must be a whole number"),
        (lambda: LinearRegression.one_neuron(seed=True), "seed must be a whole number"),
        (partial(Digits.published, **{"seed": [1, 2]}), "seed must be a whole number"),
        (partial(Digits.published, **{"seed": None}), "seed must be a whole number"),
        (partial(LinearRegression.published, **{"m": 10.0}), "m must be a whole number"),
    ],
)
def test_what_has_the_wrong_type_is_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.fixture(scope="module")
def digits():
    return Digits.published(seed=1, n=40)


def test_the_published_digits_are_drawn_as_the_protocol_says(digits):
    assert digits.x.shape == (10_000, 40) and digits.test_x.shape == (10_000, 40)
    assert digits.x.dtype == digits.W0.dtype == digits.readout.dtype == np.float32
    assert np.linalg.norm(digits.W0) == pytest.approx(0.5 * np.sqrt(40), rel=0.1)
    assert np.linalg.norm(digits.readout) == pytest.approx(np.sqrt(10), rel=0.15)
    other = Digits.published(seed=2, n=40)
    assert not np.array_equal(other.W0, digits.W0) and np.array_equal(other.y, digits.y)


def test_pixels_lie_between_zero_and_one():
    """Input weights randn/√784 make the variance over neurons that of the mean squared pixel."""
    task = Digits.published(seed=0, n=400)
    images = load_digits()
    power = ((images.test_images / 255.0) ** 2).mean()
    assert (task.test_x**2).mean() == pytest.approx(power, rel=0.2)


def test_an_epoch_deals_every_sample_out_once(digits):
    batches = digits.batches(np.random.default_rng(0))
    first, second = ([next(batches) for _ in range(20)] for _ in range(2))
    assert [len(x) for x, _ in first] == 19 * [512] + [272]
    for epoch in first, second:
        x = np.concatenate([x for x, _ in epoch])
        assert np.array_equal(np.sort(x[:, 0]), np.sort(digits.x[:, 0]))
        y = np.concatenate([y for _, y in epoch])
        assert np.array_equal(np.sort(y), np.sort(digits.y))
    assert not np.array_equal(first[0][0], second[0][0])


def test_the_error_of_digits_is_the_derivative_of_their_loss(digits):
    rng = np.random.default_rng(0)
    task = Digits.published(n=15, dtype=np.float64)
    r, y = rng.standard_normal((6, 15)), rng.integers(10, size=6)
    by_autograd = Task.error(task, r, y)
    assert np.allclose(task.error(r, y), by_autograd, rtol=1e-12, atol=1e-15)
    assert task.error(1e4 * r, y) == pytest.approx(Task.error(task, 1e4 * r, y), abs=1e-12)


def test_cross_entropy_of_known_scores():
    """Equal scores of K classes cost log K; a sure right answer costs nothing, a sure wrong one its lead."""
    assert cross_entropy(np.zeros((3, 10)), np.array([0, 4, 9])) == pytest.approx(np.log(10))
    scores = np.array([[1e3, 0.0], [1e3, 0.0]])
    assert cross_entropy(scores, np.array([0, 0])) == 0
    assert cross_entropy(scores, np.array([1, 1])) == pytest.approx(1e3)


def test_digits_are_learned_and_tested_on_others(digits):
    history = train(digits, linearized, 0.1, 40, seed=0, progress=False)
    point, loss, accuracy = digits.test(history.W)
    assert point.converged.all() and point.r.shape == (10_000, 40)
    _, loss0, accuracy0 = digits.test(digits.W0, 2000)
    assert loss < loss0 and accuracy > accuracy0
    assert accuracy == np.mean((point.r @ digits.readout.T).argmax(1) == digits.test_y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros((10, 1))}, "y must be one label per sample"),
        ({"y": np.full(10, 4)}, "y must hold labels from 0 to 3"),
        ({"test_y": np.array([0])}, "test_y must be one label per sample"),
        ({"readout": np.zeros((4, 3))}, "readout must have shape"),
        ({"test_x": np.zeros((2, 3))}, "test_x must have shape"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"readout": np.zeros(5)}, r"readout must be a \(K, 5\) matrix"),
        ({"x": np.zeros((0, 5)), "y": np.zeros(0, int)}, "x must hold at least one sample"),
    ],
)
def test_wrong_digits_are_named(change, message):
    good = {
        "W0": np.zeros((5, 5)),
        "x": np.zeros((10, 5)),
        "y": np.zeros(10, int),
        "readout": np.zeros((4, 5)),
        "test_x": np.zeros((2, 5)),
        "test_y": np.array([0, 3]),
    }
    Digits(**good)
    with pytest.raises(ValueError, match=message):
        Digits(**{**good, **change})


def test_a_test_set_without_images_is_refused_when_it_is_used():
    task = Digits(
        np.zeros((5, 5)),
        np.zeros((3, 5)),
        np.zeros(3, int),
        readout=np.zeros((4, 5)),
        test_x=np.zeros((0, 5)),
        test_y=np.zeros(0, int),
    )
    with pytest.raises(ValueError, match="test_x must hold at least one sample"):
        task.test(task.W0)
    with pytest.raises(ValueError, match="limit must be at least 1"):
        task.test(task.W0, 0)
