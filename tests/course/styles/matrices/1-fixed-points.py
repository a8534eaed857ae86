"""Right answers to problem set 1 with np.matrix and columns, as in other languages. None may lose a point."""

import numpy as np
import scipy.linalg as la
from numpy import diag, eye, inf, matrix


def velocity(W, r, x, f, tau):
    W, R, X = matrix(W), matrix(r).T, matrix(x).T  # samples are columns
    V = (-R + f(W * R + X)) / tau
    return V.T


def unrest(W, r, x, f):
    F = np.asarray(f(np.dot(W, np.transpose(r)) + np.transpose(x)) - np.transpose(r))
    return np.trace(F.T @ F) / F.shape[1]


def relax(W, x, f, alpha=1.0, tol=1e-8, max_steps=1000):
    X = x.T.copy()
    R = 0 * X
    F = f(W @ R + X) - R
    k = 0
    while k < max_steps and not (abs(F).max(0) <= tol).all():
        R = (1 - alpha) * R + alpha * f(W @ R + X)
        F = f(W @ R + X) - R
        k = k + 1
    return R.T, abs(F).max(0) <= tol


def jacobian(W, g, tau):
    G = matrix(diag(g))
    return (G * W - eye(len(g))) / tau


def response(W, g):
    G = matrix(diag(g))
    return (eye(len(g)) - G * W).I * G


def is_stable(W, g):
    T, _ = la.schur(diag(g) @ W, output="complex")
    return (diag(T).real < 1).all()


def crossings(W):
    lam = la.eigvals(W)
    a, b = lam.real, lam.imag
    s1 = 1 / a.max() if (a > 0).any() else inf
    keep = (b == 0) & (a > 0)
    s2 = 1 / a[keep].max() if keep.any() else inf
    return np.r_[s1, s2]


def largest_alpha(W, g):
    lam = la.eigvals(diag(g) @ W)
    d = 1 - lam
    return (2 * d.real / (d * d.conj()).real).min()
