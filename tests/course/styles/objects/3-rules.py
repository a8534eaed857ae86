"""Right answers to problem set 3 with classes and helpers, and no inverse. None may lose a point."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import aslinearoperator


@dataclass(frozen=True)
class Linear:
    """A linear network."""

    weights: np.ndarray

    @property
    def size(self):
        return self.weights.shape[0]

    @property
    def gap(self):
        return np.identity(self.size) - self.weights

    def answers(self, inputs):
        """Return A X without A."""
        return np.linalg.solve(self.gap, inputs)

    def seen(self, change):
        """Return A V A without A."""
        return np.linalg.solve(self.gap.T, self.answers(change).T).T


def response_gradient(A, x, y):
    batch = len(x)
    errors = np.dot(x, np.transpose(A)) - y
    return np.dot(errors.T, x) * 2.0 / batch


def reparameterized_step(W, dA, lr):
    network = Linear(W)
    # (A - lr dA)^{-1} = (I - lr B dA)^{-1} B
    new_gap = np.linalg.solve(np.identity(network.size) - lr * network.gap.dot(dA), network.gap)
    return network.gap - new_gap


def woodbury_step(W, x, e, lr):
    tall = e.T - W.dot(e.T)
    wide = x - x.dot(W)
    small = np.identity(len(x)) - lr * x.dot(tall)
    return tall.dot(np.linalg.solve(small, wide)) * -lr


def linearized_step(W, dA, lr):
    half = dA - W.dot(dA)
    return -lr * (half - half.dot(W))


def linearized_batch(W, r, g, e, lr):
    change, weights = np.zeros(W.shape), aslinearoperator(W)
    for rates, gains, errors in zip(r, g, e):
        left = gains * errors
        left = left - weights.matvec(gains * left)
        right = rates - gains * weights.matvec(rates)
        right = right - weights.rmatvec(gains * right)
        change = change - lr * left.reshape(-1, 1) * right.reshape(1, -1)
    return change


def inner(W, U, V):
    network = Linear(W)
    return np.dot(network.seen(U).ravel(), network.seen(V).ravel())


def metric_gradient(W, dJ):
    gap = Linear(W).gap
    return gap.dot(gap.T).dot(dJ).dot(gap.T.dot(gap))
