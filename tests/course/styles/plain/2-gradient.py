"""Right answers to problem set 2 in plain Python, one entry at a time. None may lose a point."""

import copy

import numpy as np


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


def slope(w, r, g):
    # dr = g (w dr + r dw)
    denominator = 1 - g * w
    return g * r / denominator


def push(W, r, g, dW, dx):
    n = len(r)
    M, b = [], []
    for i in range(n):
        M.append([(1 if i == j else 0) - g[i] * W[i][j] for j in range(n)])
        direct = dx[i]
        for j in range(n):
            direct += dW[i][j] * r[j]
        b.append(g[i] * direct)
    return eliminated(M, b)


def readout_error(r, y, C):
    m, n, k = len(r), len(r[0]), len(C)
    e = []
    for j in range(m):
        off = [sum(C[a][i] * r[j][i] for i in range(n)) - y[j][a] for a in range(k)]
        e.append([2 * sum(off[a] * C[a][i] for a in range(k)) / m for i in range(n)])
    return e


def adjoint(W, g, e):
    n = len(W)
    out = []
    for gains, error in zip(g, e):
        transposed = [
            [(1 if i == j else 0) - gains[j] * W[j][i] for j in range(n)] for i in range(n)
        ]
        out.append(eliminated(transposed, error))
    return out


def weight_gradient(r, g, adjoint):
    m, n = len(r), len(r[0])
    out = [[0] * n for _ in range(n)]
    for s in range(m):
        for i in range(n):
            for j in range(n):
                out[i][j] += adjoint[s][i] * g[s][i] * r[s][j]
    return out


def finite_differences(J, W, h=1e-5):
    out = []
    for i in range(len(W)):
        row = []
        for j in range(len(W[0])):
            plus, minus = copy.deepcopy(W), copy.deepcopy(W)
            plus[i][j] += h
            minus[i][j] -= h
            row.append((J(plus) - J(minus)) / (plus[i][j] - minus[i][j]))
        out.append(row)
    return out


def descend(gradient, W, lr, steps):
    path = [W]
    while len(path) < steps + 1:
        last, slope = path[-1], gradient(path[-1])
        path.append(
            np.array(
                [[last[i][j] - lr * slope[i][j] for j in range(len(W[0]))] for i in range(len(W))]
            )
        )
    return path


def poles(W, D):
    n = len(W)
    columns = [
        eliminated(
            [[(i == j) - W[i][j] for j in range(n)] for i in range(n)], [D[i][k] for i in range(n)]
        )
        for k in range(n)
    ]
    eigenvalues = np.linalg.eigvals([[columns[j][i] for j in range(n)] for i in range(n)])
    found = []
    for mu in eigenvalues:
        mu = complex(mu)
        if mu.imag == 0 and abs(mu.real) > 1e-12:
            found.append(1 / mu.real)
    found.sort()
    return found
