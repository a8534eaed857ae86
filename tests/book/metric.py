"""What the tests of the chapters on the response metric share: instances, gradients, lengths."""

import numpy as np

from fpnotes import gradient, solve
from fpnotes.geometry import Reparameterized
from fpnotes.tasks import LinearRegression

SEEDS = range(4)
METRIC = Reparameterized()


def network(seed, n=5, m=8):
    """Draw weights, and the fixed points and errors of a regression there."""
    rng = np.random.default_rng(seed)
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    task = LinearRegression(W, rng.standard_normal((m, n)), rng.standard_normal((m, n)))
    point = solve(W, task.x, "linear")
    return rng, W, task, point, task.error(point.r, task.y)


def nabla(W, point, error):
    """Return the Euclidean gradient, and the one in A."""
    return -gradient(W, point, error, 1.0), error.T @ point.x


def path_length(path):
    """Return the length of a path of weights in the response metric, by the midpoint rule."""
    step, middle = np.diff(path, axis=0), (path[1:] + path[:-1]) / 2
    A = np.linalg.inv(np.eye(path.shape[-1]) - middle)
    return np.linalg.norm(A @ step @ A, axis=(1, 2)).sum()
