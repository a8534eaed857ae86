"""Right answers to problem set 1 in other styles: loops, lists, inverses. None may lose a point."""

import numpy as np
import scipy.linalg


def velocity(W, r, x, f, tau):
    rows = []
    for j in range(len(r)):
        rows.append((-r[j] + f(W.dot(r[j]) + x[j])) / tau)
    return rows


def unrest(W, r, x, f):
    total = 0
    for rates, given in zip(r, x, strict=True):
        left = f(W @ rates + given) - rates
        total += left @ left
    return total / len(r)


def relax(W, x, f, alpha=1.0, tol=1e-8, max_steps=1000):
    rates, flags = [], []
    for given in x:
        r = np.zeros(len(W))
        left = f(W @ r + given) - r
        for _ in range(max_steps):
            if np.max(abs(left)) <= tol:
                break
            r += alpha * left
            left = f(W @ r + given) - r
        rates.append(r)
        flags.append(np.max(abs(left)) <= tol)
    return rates, flags


def jacobian(W, g, tau):
    n = len(g)
    M = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            M[i, j] = (g[i] * W[i, j] - (i == j)) / tau
    return M


def response(W, g):
    factors = scipy.linalg.lu_factor(np.eye(len(g)) - np.diag(g) @ W)
    return np.array([scipy.linalg.lu_solve(factors, g * e) for e in np.eye(len(g))]).T


def is_stable(W, g):
    mu, _ = np.linalg.eig(np.diag(g) @ W)
    return np.all(np.real(mu) < 1)


def crossings(W):
    s_stable = s_singular = np.inf
    for mu in np.linalg.eig(W)[0]:
        if np.real(mu) > 0:
            s_stable = min(s_stable, 1 / np.real(mu))
            if np.isclose(np.imag(mu), 0):
                s_singular = min(s_singular, 1 / np.real(mu))
    return [s_stable, s_singular]


def largest_alpha(W, g):
    mu = np.linalg.eigvals(np.diag(g) @ W)
    a, b = np.real(mu), np.imag(mu)
    return min(2 * (1 - a) / ((1 - a) ** 2 + b**2))
