"""Right answers to problem set 2 with einsum, broadcasting and small functions. None may lose a point."""

from functools import reduce
from itertools import accumulate, product

import numpy as np


def slope(w, r, g):
    return np.prod([r, g, np.reciprocal(1 - np.multiply(w, g))])


def push(W, r, g, dW, dx):
    direct = g * (np.einsum("ij,j->i", dW, r) + dx)
    loop = np.einsum("i,ij->ij", g, W)
    return np.einsum("ij,j->i", np.linalg.inv(np.identity(g.size) - loop), direct)


def readout_error(r, y, C):
    off = np.einsum("ki,mi->mk", C, r) - y
    return np.einsum("mk,ki->mi", off, C) * 2 / off.shape[0]


def adjoint(W, g, e):
    K = np.identity(W.shape[0])[np.newaxis] - np.einsum("mi,ij->mij", g, W)
    return np.einsum("mji,mj->mi", np.linalg.inv(K), e)


def weight_gradient(r, g, adjoint):
    return np.einsum("mi,mi,mj->ij", g, adjoint, r)


def finite_differences(J, W, h=1e-5):
    def unit(i, j):
        return h * np.outer(np.arange(W.shape[0]) == i, np.arange(W.shape[1]) == j)

    slopes = (
        (J(W + unit(i, j)) - J(W - unit(i, j))) / (2 * h) for i, j in product(*map(range, W.shape))
    )
    return np.fromiter(slopes, float).reshape(W.shape)


def descend(gradient, W, lr, steps):
    return np.stack([*accumulate(range(steps), lambda V, _: V - lr * gradient(V), initial=W)])


def poles(W, D):
    M = np.tensordot(np.linalg.inv(np.identity(len(W)) - W), D, axes=1)
    t = 1 / (mu := np.linalg.eigvals(M))[np.abs(mu) > 1e-13]
    return reduce(lambda kept, keep: keep(kept), [lambda t: t[np.isreal(t)].real, np.sort], t)
