"""Right answers to problem set 1 in plain Python, one entry at a time. None may lose a point."""

import math

import numpy as np


def total_input(W, rates, given):
    out = []
    for i, row in enumerate(W):
        z = given[i]
        for j, rate in enumerate(rates):
            z += row[j] * rate
        out.append(z)
    return out


def velocity(W, r, x, f, tau):
    out = []
    for rates, given in zip(r, x):
        z = total_input(W, rates, given)
        out.append([(f(z[i]) - rates[i]) / tau for i in range(len(z))])
    return out


def unrest(W, r, x, f):
    m = 0
    s = 0.0
    for rates, given in zip(r, x):
        m += 1
        for a, b in zip(total_input(W, rates, given), rates):
            s += (f(a) - b) ** 2
    return s / m


def relax(W, x, f, alpha=1.0, tol=1e-8, max_steps=1000):
    W, x = W.tolist(), x.tolist()
    m, n = len(x), len(W)
    rates = [[0.0] * n for _ in range(m)]
    step = 0
    while True:
        push = []
        for j in range(m):
            z = total_input(W, rates[j], x[j])
            push.append([float(f(z[i])) - rates[j][i] for i in range(n)])
        done = [all(abs(p) <= tol for p in row) for row in push]
        if all(done) or step == max_steps:
            return rates, done
        for j in range(m):
            for i in range(n):
                rates[j][i] += alpha * push[j][i]
        step += 1


def jacobian(W, g, tau):
    n = len(g)
    return [[(g[i] * W[i][j] - (1 if i == j else 0)) / tau for j in range(n)] for i in range(n)]


def eliminated(M, b):
    """Solve by elimination with row exchanges."""
    n = len(b)
    rows = [[float(M[i][j]) for j in range(n)] + [float(b[i])] for i in range(n)]
    for k in range(n):
        p = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[p] = rows[p], rows[k]
        for i in range(k + 1, n):
            q = rows[i][k] / rows[k][k]
            rows[i] = [a - q * c for a, c in zip(rows[i], rows[k])]
    out = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][j] * out[j] for j in range(i + 1, n))
        out[i] = (rows[i][n] - known) / rows[i][i]
    return out


def response(W, g):
    n = len(g)
    M = [[(i == j) - g[i] * W[i][j] for j in range(n)] for i in range(n)]
    columns = [eliminated(M, [g[i] if i == k else 0 for i in range(n)]) for k in range(n)]
    return [[columns[j][i] for j in range(n)] for i in range(n)]


def is_stable(W, g):
    n = len(g)
    M = [[g[i] * W[i][j] for j in range(n)] for i in range(n)]
    for mu in np.linalg.eigvals(M).tolist():
        if complex(mu).real >= 1:
            return False
    return True


def crossings(W):
    first, singular = math.inf, math.inf
    for mu in map(complex, np.linalg.eigvals(W).tolist()):
        if mu.real > 0:
            s = 1 / mu.real
            first = s if s < first else first
            if mu.imag == 0 and s < singular:
                singular = s
    return first, singular


def largest_alpha(W, g):
    n = len(g)
    limit = None
    for mu in map(
        complex, np.linalg.eigvals([[g[i] * W[i][j] for j in range(n)] for i in range(n)])
    ):
        # |1 - alpha (1 - mu)|^2 < 1  <=>  alpha |1 - mu|^2 < 2 Re(1 - mu)
        d = 1 - mu
        one = 2 * d.real / (d.real * d.real + d.imag * d.imag)
        limit = one if limit is None else min(limit, one)
    return limit
