# pyright: reportArgumentType=error
"""What the guide and the reference let a user write is right for a type checker too, and for Python."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import autograd.numpy as anp
import numpy as np

import fpnotes as fp

W = [[0.0, 0.2], [-0.2, 0.0]]
x = [[1.0, 0.0], [0.5, 2.0]]
y = [[0.9, 0.1], [0.5, 1.5]]


class Plain:
    """A task of a user's own, without a word of types."""

    W0, activation = np.array(W), "tanh"

    def batches(self, rng):
        while True:
            yield rng.normal(size=(5, 2)), None

    def loss(self, r, y):
        return (r**2).sum()

    def error(self, r, y):
        return 2 * r


@dataclass
class Typed:
    """A task of a user's own, with types, and its loss in a field."""

    W0: np.ndarray
    loss: Callable[[np.ndarray, np.ndarray], float]
    activation: fp.Activation = fp.tanh

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            yield np.array(x), np.array(y)

    def error(self, r: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2 * (r - y) / len(r)


class Halved(fp.Task):
    """A task that changes one thing of ours."""

    def error(self, r, y):
        return super().error(r, y) / 2


def clipped(W, point, error, lr):
    return np.clip(fp.gradient(W, point, error, lr), -0.1, 0.1)


def typed(W: np.ndarray, point: fp.FixedPoint, error: np.ndarray, lr: float) -> np.ndarray:
    return fp.linearized(W, point, error, lr)


def absolute(r, y):
    return anp.sum(anp.abs(r - y)) / len(r)


def test_any_object_with_these_attributes_is_a_task():
    tasks: list[fp.TaskLike] = [
        Plain(),
        Typed(np.array(W), fp.mean_squared_error),
        Halved(W, x, y, absolute, "softplus"),
        fp.Task(W, x, y, fp.mean_squared_error, lambda z: z / (1 + anp.abs(z))),
        fp.LinearRegression(W, x, y),
    ]
    for task in tasks:
        history = fp.train(task, fp.linearized, 0.01, 2, seed=0, progress=False)
        assert history.diverged_at is None and history.steps == 2


def test_any_function_of_these_arguments_is_a_rule():
    rules: list[fp.Rule] = [
        clipped,
        typed,
        fp.natural,
        fp.Momentum(clipped),
        fp.Adam(typed, beta1=0.5),
        fp.Dale(fp.Momentum(fp.linearized), [1, -1]),
        fp.InResponse(fp.Adam(fp.response_step)),
    ]
    task = fp.LinearRegression([[0.1, -0.1], [0.1, -0.1]], x, y)
    for rule in rules:
        history = fp.train(task, rule, lambda step: 0.01 / (1 + step), 2, progress=False)
        assert history.diverged_at is None


def test_arrays_may_be_lists_and_rates_of_any_real_type():
    point = fp.solve(W, x, "relu", r0=[0.0, 0.0], tol=np.float32(1e-6), method="newton")
    for lr in (1, 0.1, np.float32(0.1), np.float64(0.1)):
        assert fp.gradient(W, point, y, lr).shape == (2, 2)
    network = fp.RateNetwork(W, "relu", tau=2)
    t, r = network.simulate(x, 10, r0=[0.0, 0.0])
    assert r.shape == (len(t), 2, 2) and bool(network.stable(r[-1], x).all())
    runs = fp.sweep(
        fp.LinearRegression(W, x, y), {typed: [0.1, np.float64(0.2)]}, 2, progress=False
    )
    assert [history.loss.shape for history in runs.values()] == [(3,), (3,)]
