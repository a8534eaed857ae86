"""The standard job: one gradient of a network of 300 tanh neurons on a batch of 512, and how good it is."""

from dataclasses import dataclass

import numpy as np

RESIDUAL = 1e-6  # largest |f(W r + x) − r| that counts as solved
GRADIENT_ERROR = 1e-5  # largest error of ∂J/∂W relative to the reference, in the Frobenius norm


@dataclass(frozen=True)
class Job:
    """∂J/∂W of J, the mean cross-entropy of a softmax readout C r, for r = tanh(W r + x)."""

    W: np.ndarray  # (N, N)
    x: np.ndarray  # (m, N)
    C: np.ndarray  # (K, N)
    y: np.ndarray  # (m,)

    @classmethod
    def draw(cls, dtype="float64", n=300, m=512, classes=10, seed=0):
        """Return a job with W = 0.5·randn/√N and inputs of unit standard deviation."""
        rng = np.random.default_rng(seed)
        W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
        x = rng.standard_normal((m, n))
        C = rng.standard_normal((classes, n)) / np.sqrt(n)
        y = rng.integers(classes, size=m)
        return cls(W.astype(dtype), x.astype(dtype), C.astype(dtype), y)

    def error(self, r):
        """Return ∂J/∂r, (m, N)."""
        scores = r @ self.C.T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(self.y)), self.y] -= 1
        return p @ self.C / np.asarray(len(self.y), self.C.dtype)

    def reference(self):
        """Return r and ∂J/∂W in float64, to rounding: 200 iterations, then one LU per sample."""
        W, x, C = (a.astype(np.float64) for a in (self.W, self.x, self.C))
        r = np.zeros_like(x)
        for _ in range(200):
            r = np.tanh(r @ W.T + x)
        gain = 1 - r**2
        error = Job(W, x, C, self.y).error(r)
        adjoint = np.stack(
            [
                np.linalg.solve(np.eye(len(W)) - (g[:, None] * W).T, e)
                for g, e in zip(gain, error, strict=True)
            ]
        )
        return r, (gain * adjoint).T @ r

    def residual(self, r):
        """Return the largest |tanh(W r + x) − r| over samples and neurons, evaluated in float64."""
        r, W, x = (a.astype(np.float64) for a in (r, self.W, self.x))
        return float(np.abs(np.tanh(r @ W.T + x) - r).max())

    def products(self):
        """Return how many products with W plain iteration needs, forward and backward.

        Forward from rest, where W r = 0 needs none, until every sample has the residual asked for; the
        adjoint from λ = e until its residual is that small relative to e.
        """
        W, x = self.W.astype(np.float64), self.x.astype(np.float64)
        r, forward = np.tanh(x), 0
        while True:
            new = np.tanh(r @ W.T + x)
            forward += 1
            if np.abs(new - r).max() <= RESIDUAL:
                break
            r = new
        gain, error = 1 - r**2, self.error(r)
        adjoint, backward = error, 0
        while True:
            new = (gain * adjoint) @ W + error
            backward += 1
            if np.linalg.norm(new - adjoint) <= GRADIENT_ERROR * np.linalg.norm(error):
                return forward, backward
            adjoint = new
