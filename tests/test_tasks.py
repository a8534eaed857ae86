"""Tasks: the published draws, and what a task of one's own needs."""

import autograd.numpy as anp
import numpy as np
import pytest

from fpnotes import solve
from fpnotes.tasks import LinearRegression, Task


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
        ({"y": np.ones((5, 3))}, "x and y must have one row a sample"),
        ({"y": np.full((4, 3), np.nan)}, "y must be finite"),
    ],
)
def test_what_does_not_match_is_named(options, message):
    good = {"W0": np.zeros((3, 3)), "x": np.ones((4, 3)), "y": np.ones((4, 3))}
    with pytest.raises(ValueError, match=message):
        LinearRegression(**good | options)
