"""What rules share: checked arguments, a linear network's response, a solve that may be singular."""

import numpy as np

from fpnotes._inputs import positive, rows_of, square_matrix
from fpnotes.solvers import ConvergenceError, FixedPoint


def check_step(W, point, error, lr):
    """Check what every rule is given."""
    W = square_matrix("W", W)
    if not isinstance(point, FixedPoint):
        raise TypeError(f"point must be a FixedPoint, as solve returns, not {type(point).__name__}")
    if not np.array_equal(W, point.W):
        raise ValueError("point was solved for other weights than W: solve again at this W")
    error = rows_of("error", error, len(W))
    if error.shape != point.r.shape:
        raise ValueError(f"error must have the shape of r, {point.r.shape}, not {error.shape}")
    if not np.all(point.converged):
        raise ConvergenceError(
            f"{np.sum(~point.converged)} of {np.size(point.converged)} samples of point are not at a "
            "fixed point, where the rule's derivation fails; leave them out, or solve them further",
            point,
        )
    return W, error, positive("lr", lr)


def linear_response(W, point, error):
    """Return B = G⁻¹ − W and, a row a sample, e and x, or say why there is no one A = B⁻¹."""
    n = len(W)
    x, error = point.x.reshape(-1, n), error.reshape(-1, n)
    g, r = point.gain.reshape(-1, n), point.r.reshape(-1, n)
    z = point.recurrent.reshape(-1, n) + x
    tol = 1e-6 if W.dtype == np.float64 else 1e-3
    close = np.allclose(r, g * z, rtol=tol, atol=tol * np.abs(r).max(initial=0))
    if not ((g == g[:1]).all() and close):
        raise ValueError(
            "point is of a nonlinear network: its gains depend on the sample and on W, so that the response "
            "A = (G⁻¹ − W)⁻¹ is a different matrix for every sample, and there is no one A to take a step "
            "in. Use linearized, which is defined for each sample"
        )
    if not g.all():
        raise ValueError("point has gains of 0: then A = (G⁻¹ − W)⁻¹ has no inverse")
    # Without samples every update is 0, whatever B is.
    gain = g[0] if len(g) else np.ones(n, W.dtype)
    return np.diag(1 / gain) - W, error, x


def solve_unless_singular(K, right):
    """Return K⁻¹ right; None where K is singular, or nearer than half the digits allow.

    K is I plus something. Where that is so large that rounding leaves less than three digits of the I,
    they count only if the condition of K does not need them.
    """
    enough = 1e-3 / np.finfo(K.dtype).eps
    try:
        solved = np.linalg.solve(K, right)
        if np.abs(K).max(initial=0) > enough and not np.linalg.cond(K, 1) <= enough:
            return None
    except np.linalg.LinAlgError:
        return None
    largest = np.abs(right).max(initial=0) / np.sqrt(np.finfo(right.dtype).eps)
    return solved if np.abs(solved).max(initial=0) <= largest else None
