"""Right answers to problem set 2 with np.matrix and columns, as in other languages. None may lose a point."""

import numpy as np
import scipy.linalg as la
from numpy import diag, eye, matrix, zeros


def slope(w, r, g):
    return r / (1 / g - w) if g != 0 else 0.0


def push(W, r, g, dW, dx):
    G, W, dW = matrix(diag(g)), matrix(W), matrix(dW)
    r, dx = matrix(r).T, matrix(dx).T
    dr = (eye(len(W)) - G * W).I * G * (dW * r + dx)
    return dr.A1


def readout_error(r, y, C):
    R, Y, C = matrix(r).T, matrix(y).T, matrix(C)
    E = 2 * C.T * (C * R - Y) / R.shape[1]
    return E.T


def adjoint(W, g, e):
    m, n = g.shape
    big = zeros((m * n, m * n))  # all samples in one system
    for j in range(m):
        big[j * n : (j + 1) * n, j * n : (j + 1) * n] = eye(n) - W.T @ diag(g[j])
    return la.solve(big, e.reshape(m * n, 1)).reshape(m, n)


def weight_gradient(r, g, adjoint):
    total = matrix(zeros((r.shape[1], r.shape[1])))
    for j in range(r.shape[0]):
        total += matrix(g[j] * adjoint[j]).T * matrix(r[j])
    return total


def finite_differences(J, W, h=1e-5):
    n, m = W.shape
    dJ = zeros(n * m)
    for k in range(n * m):
        E = zeros(n * m)
        E[k] = h
        E = E.reshape(n, m)
        dJ[k] = (J(W + E) - J(W - E)) / (2 * h)
    return dJ.reshape(n, m)


def descend(gradient, W, lr, steps):
    path = zeros((steps + 1,) + W.shape)
    V = W + 0
    for k in range(steps + 1):
        path[k] = V
        V = V - lr * gradient(V)
    return path


def poles(W, D):
    n = len(W)
    # generalized eigenvalues, once more as numerator and denominator
    ab = la.eigvals(eye(n) - W, D, homogeneous_eigvals=True)
    a, b = ab
    t = (a / b)[abs(b) > 1e-12 * abs(a)]
    return np.sort(t.real[abs(t.imag) <= 1e-10 * abs(t)])
