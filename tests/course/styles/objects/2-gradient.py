"""Right answers to problem set 2 with classes and helpers, and no inverse. None may lose a point."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.linalg import eigvals, solve


class Neuron(NamedTuple):
    weight: float
    rate: float
    gain: float


@dataclass(frozen=True)
class Sample:
    weights: np.ndarray
    gains: np.ndarray

    def gap(self):
        matrix = -self.gains[:, np.newaxis] * self.weights
        matrix[np.diag_indices_from(matrix)] += 1.0
        return matrix

    def forward(self, direct):
        return solve(self.gap(), direct)

    def backward(self, error):
        return solve(self.gap().T, error)


def slope(w, r, g):
    n = Neuron(weight=w, rate=r, gain=g)
    return n.gain * n.rate / (1.0 - n.gain * n.weight)


def push(W, r, g, dW, dx):
    return Sample(W, g).forward(np.multiply(g, np.dot(dW, r) + dx))


def readout_error(r, y, C):
    number_of_samples, _ = r.shape
    error = np.empty_like(r)
    for row in range(number_of_samples):
        error[row] = np.dot(np.dot(C, r[row]) - y[row], C)
    return error * (2.0 / number_of_samples)


def adjoint(W, g, e):
    return np.vstack([Sample(W, gains).backward(error) for gains, error in zip(g, e)])


def weight_gradient(r, g, adjoint):
    return np.tensordot(g * adjoint, r, axes=(0, 0))


class Perturbed:
    """Weights of which one at a time is changed."""

    def __init__(self, W, h):
        self.W, self.h = W, h

    def at(self, index, sign):
        V = np.array(self.W, dtype=float)
        V[index] += sign * self.h
        return V


def finite_differences(J, W, h=1e-5):
    weights, slopes = Perturbed(W, h), np.full(W.shape, np.nan)
    for index in np.ndindex(*W.shape):
        slopes[index] = 0.5 * (J(weights.at(index, 1)) - J(weights.at(index, -1))) / h
    return slopes


def descend(gradient, W, lr, steps):
    path = np.empty((steps + 1, *W.shape))
    path[0] = W
    for k in range(steps):
        path[k + 1] = path[k] - lr * gradient(path[k].copy())
    return path


def poles(W, D):
    spectrum = eigvals(solve(np.identity(len(W)) - W, D))
    return np.array(sorted(1 / mu.real for mu in spectrum if np.isreal(mu) and mu != 0))
