"""Networks, and what the package says of them, in NumPy's arrays."""

import numpy as np
from autograd import make_vjp

import fpnotes as fp
from fpnotes.frameworks._inputs import RULES

ACTIVATIONS = ["linear", "tanh", "relu", "softplus", "powerlaw"]
DTYPES = ["float64", "float32"]
# How far the frameworks may be off, relative to the largest entry.
CLOSE = {"float64": 1e-10, "float32": 1e-5}
TOL = {"float64": 1e-13, "float32": 1e-6}


def network(dtype="float64", n=12, m=5, seed=0):
    """Return W, a contraction under every curve above, x, and ∂J/∂r."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n, n))
    W *= 0.4 / np.linalg.norm(W, 2)
    x, error = rng.uniform(0.1, 0.5, (m, n)), rng.normal(size=(m, n))
    x *= rng.choice([-1, 1], (m, n))
    return W.astype(dtype), x.astype(dtype), error.astype(dtype)


def expected(W, x, error, activation, tol):
    """Return r, minus each rule's update at η = 1, and ∂J/∂x."""
    point = fp.solve(W, x, activation, tol=tol)
    directions = {rule: -getattr(fp, rule)(W, point, error, 1.0) for rule in RULES}
    back, _ = make_vjp(lambda x: fp.fixed_point(W, x, activation, tol=tol))(x)
    # The derivative that autograd finds of a curve such as the one below is of double precision.
    return point.r, directions, back(error).astype(x.dtype)


def swish(z):
    """Return a curve that a user might write, in the arithmetic of any library."""
    return z / (1 + np.e ** (-z))


def assert_close(value, reference, close):
    """Compare two arrays, relative to the largest entry."""
    value, reference = np.asarray(value), np.asarray(reference)
    assert value.shape == reference.shape and value.dtype == reference.dtype
    assert np.abs(value - reference).max() <= close * np.abs(reference).max()


# One neuron r = [r + x]₊ has no fixed point for x > 0, and is at rest for x < 0.
UNSOLVABLE = np.ones((1, 1)), np.array([[1.0], [-0.5]])
# At rest, one tanh neuron of weight 1 is at the singularity: r has no derivative there.
SINGULAR = np.ones((1, 1)), np.zeros((3, 1))
