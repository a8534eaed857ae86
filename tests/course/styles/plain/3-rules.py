"""Right answers to problem set 3 in plain Python, one entry at a time. None may lose a point."""


def times(A, B):
    return [[sum(a * b for a, b in zip(row, column)) for column in zip(*B)] for row in A]


def turned(A):
    return [list(column) for column in zip(*A)]


def minus(A, B):
    return [[a - b for a, b in zip(x, y)] for x, y in zip(A, B)]


def scaled(c, A):
    return [[c * a for a in row] for row in A]


def one(n):
    return [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]


def solved(M, R):
    """Return X with M X = R, by Gauss and Jordan."""
    n = len(M)
    rows = [[float(v) for v in M[i]] + [float(v) for v in R[i]] for i in range(n)]
    for k in range(n):
        p = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[p] = rows[p], rows[k]
        rows[k] = [v / rows[k][k] for v in rows[k]]
        for i in range(n):
            if i != k:
                q = rows[i][k]
                rows[i] = [v - q * w for v, w in zip(rows[i], rows[k])]
    return [row[n:] for row in rows]


def response_gradient(A, x, y):
    n, m = len(A), len(x)
    G = [[0.0] * n for _ in range(n)]
    for given, wanted in zip(x, y):
        for i in range(n):
            error = sum(A[i][k] * given[k] for k in range(n)) - wanted[i]
            for k in range(n):
                G[i][k] += 2 / m * error * given[k]
    return G


def reparameterized_step(W, dA, lr):
    I = one(len(W))
    A = solved(minus(I, W), I)
    new = minus(A, scaled(lr, dA))
    new_W = minus(I, solved(new, I))
    return minus(new_W, W)


def woodbury_step(W, x, e, lr):
    B = minus(one(len(W)), W)
    left = times(B, turned(e))  # N x m
    right = times(x, B)  # m x N
    middle = minus(one(len(x)), scaled(lr, times(x, left)))
    return scaled(-lr, times(left, solved(middle, right)))


def linearized_step(W, dA, lr):
    B = minus(one(len(W)), W)
    return scaled(-lr, times(B, times(dA, B)))


def linearized_batch(W, r, g, e, lr):
    n = len(W)
    out = [[0.0] * n for _ in range(n)]
    for rates, gains, error in zip(r, g, e):
        ge = [a * b for a, b in zip(gains, error)]
        left = [ge[i] - sum(W[i][j] * gains[j] * ge[j] for j in range(n)) for i in range(n)]
        half = [rates[i] - gains[i] * sum(W[i][j] * rates[j] for j in range(n)) for i in range(n)]
        right = [half[i] - sum(W[j][i] * gains[j] * half[j] for j in range(n)) for i in range(n)]
        for i in range(n):
            for j in range(n):
                out[i][j] -= lr * left[i] * right[j]
    return out


def inner(W, U, V):
    I = one(len(W))
    A = solved(minus(I, W), I)
    P, Q = times(times(A, U), A), times(times(A, V), A)
    return sum(p * q for a, b in zip(P, Q) for p, q in zip(a, b))


def metric_gradient(W, dJ):
    B = minus(one(len(W)), W)
    BT = turned(B)
    result = dJ
    for factor in (BT, B):
        result = times(factor, result)
    for factor in (BT, B):
        result = times(result, factor)
    return result
