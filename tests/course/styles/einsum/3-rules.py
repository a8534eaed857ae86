"""Right answers to problem set 3 with einsum, broadcasting and small functions. None may lose a point."""

from functools import reduce

import numpy as np


def chain(*matrices):
    return reduce(lambda P, Q: np.einsum("ij,jk->ik", P, Q), matrices)


def gap(W):
    return np.identity(W.shape[0]) - W


def response_gradient(A, x, y):
    return np.mean(np.einsum("mi,mk->mik", 2 * (np.einsum("ik,mk->mi", A, x) - y), x), axis=0)


def reparameterized_step(W, dA, lr):
    inverse = np.linalg.inv
    return np.subtract(gap(W), inverse(inverse(gap(W)) - lr * dA))


def woodbury_step(W, x, e, lr):
    U = np.einsum("ij,mj->im", gap(W), e)
    V = np.einsum("mi,ij->mj", x, gap(W))
    S = np.identity(x.shape[0]) / -lr + np.einsum("mi,ik->mk", x, U)
    return np.einsum("im,mk,kj->ij", U, np.linalg.inv(S), V)


def linearized_step(W, dA, lr):
    return np.negative(lr) * chain(gap(W), dA, gap(W))


def linearized_batch(W, r, g, e, lr):
    def out(v):  # (I - W G) v
        return v - np.einsum("ij,mj,mj->mi", W, g, v)

    def back(v):  # (I - G W)^T v
        return v - np.einsum("ji,mj,mj->mi", W, g, v)

    def forth(v):  # (I - G W) v
        return v - g * np.einsum("ij,mj->mi", W, v)

    return -lr * np.einsum("mi,mj->ij", out(g * e), back(forth(r)))


def inner(W, U, V):
    A = np.linalg.inv(gap(W))
    M = np.einsum("ji,jk->ik", A, A)
    # trace(U^T A^T A V A A^T)
    return np.einsum("ij,ik,kl,lm,jm->", U, M, V, A, A, optimize=True)


def metric_gradient(W, dJ):
    B = gap(W)
    return chain(B, B.T, dJ, B.T, B)
