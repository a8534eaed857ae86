"""Right answers to problem set 2 in other styles: loops, lists, inverses. None may lose a point."""

import numpy as np
import scipy.linalg


def slope(w, r, g):
    loop = w * g
    return r * g * (1 - loop) ** -1


def push(W, r, g, dW, dx):
    G = np.diag(g)
    return list(np.linalg.inv(np.eye(len(r)) - G @ W) @ G @ (dW.dot(r) + dx))


def readout_error(r, y, C):
    rows = []
    for rates, target in zip(r, y, strict=True):
        rows.append(2 / len(r) * C.T @ (C @ rates - target))
    return rows


def adjoint(W, g, e):
    found = np.zeros_like(e)
    for j in range(len(e)):
        found[j] = e[j] @ np.linalg.inv(np.eye(len(W)) - np.diag(g[j]) @ W)
    return found


def weight_gradient(r, g, adjoint):
    total = 0
    for rates, gains, vector in zip(r, g, adjoint, strict=True):
        total = total + np.outer(np.diag(gains) @ vector, rates)
    return total


def finite_differences(J, W, h=1e-5):
    W = W.copy()
    rows = []
    for i in range(W.shape[0]):
        rows.append([])
        for j in range(W.shape[1]):
            kept = W[i, j]
            W[i, j] = kept + h
            up = J(W)
            W[i, j] = kept - h
            rows[i].append((up - J(W)) / 2 / h)
            W[i, j] = kept
    return rows


def descend(gradient, W, lr, steps):
    W = W.copy()
    path = [W.copy()]
    for _ in range(steps):
        W -= lr * gradient(W)
        path.append(W.copy())
    return path


def poles(W, D):
    mu = scipy.linalg.eigvals(np.eye(len(W)) - W, D)  # (I - W) v = t D v
    mu = mu[np.isfinite(mu)]
    return sorted(t.real for t in mu if abs(t.imag) < 1e-9 * abs(t))
