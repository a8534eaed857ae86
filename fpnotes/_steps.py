"""What rules share: checked arguments, a linear network's response, a solve that may be singular."""

import numpy as np

from fpnotes._floats import as_by_default
from fpnotes._inputs import check_positive, check_rows, check_square_matrix
from fpnotes._linear import bounded_by_norms, solve_bounded
from fpnotes._types import ArrayLike, FloatArray, Real
from fpnotes.solvers import ConvergenceError, FixedPoint


def check_step(
    W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real
) -> tuple[FloatArray, FloatArray, float]:
    """Check what every rule is given."""
    if not isinstance(point, FixedPoint):
        raise TypeError(f"point must be a FixedPoint, as solve returns, not {type(point).__name__}")
    if W is point.W and point._factors is not None:  # solve has checked them
        W = point.W
    else:
        W = check_square_matrix("W", W)
        if not np.array_equal(W, point.W):
            raise ValueError("point was solved for other weights than W: solve again at this W")
    error = check_rows("error", error, len(W))
    if error.shape != point.r.shape:
        raise ValueError(f"error must have the shape of r, {point.r.shape}, not {error.shape}")
    if not np.all(point.converged):
        raise ConvergenceError(
            f"{np.sum(~point.converged)} of {np.size(point.converged)} samples of point are not at a fixed "
            "point, where the rule's derivation fails. Leave them out, as point[point.converged] and "
            'train(..., unconverged="drop") do, or solve them further, with another r0 or more max_steps',
            point,
        )
    return W, error, check_positive("lr", lr)


@as_by_default()
def linear_response(
    W: FloatArray, point: FixedPoint, error: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return B = G⁻¹ − W and, one row per sample, e and x, or say why there is no one A = B⁻¹."""
    n = len(W)
    x, error = point.x.reshape(-1, n), error.reshape(-1, n)
    g, r = point.gain.reshape(-1, n), point.r.reshape(-1, n)
    z = point.recurrent.reshape(-1, n) + x
    tol = 1e-6 if W.dtype == np.float64 else 1e-3
    size = np.abs(r).max(initial=0)
    # Where the weights are huge, W r + x is known to no more than its roundings.
    rounding = np.finfo(W.dtype).eps * np.abs(g).max(initial=0) * np.abs(W).sum(axis=1).max() * size
    close = np.abs(r - g * z) <= 2 * tol * size + 4 * rounding
    if not ((g == g[:1]).all() and close.all()):
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


def solve_unless_singular(K: FloatArray, right: FloatArray) -> FloatArray | None:
    """Return K⁻¹ right; None where K is singular, or so near it that half of the digits may be lost.

    K is I plus something, and rounding either counts; see ``fpnotes._linear.solve_bounded``.
    """
    rows, half = right.T, np.sqrt(np.finfo(K.dtype).eps)

    def accurate(solved, error):
        return error.max(initial=0) <= half * np.abs(solved).max(initial=0)

    with np.errstate(all="ignore"):
        solved = bounded_by_norms(K, rows)
        if not accurate(*solved):
            solved = solve_bounded(np.eye(len(K), dtype=K.dtype) - K, np.ones_like(rows), rows)
    return solved[0].T if accurate(*solved) else None


def finite_step(dW: FloatArray) -> FloatArray:
    """Return a rule's step, or raise: an infinite one would be noticed steps later, as something else."""
    if not np.isfinite(dW).all():
        raise FloatingPointError(
            f"the update is not finite: it is beyond the range of {dW.dtype} numbers"
        )
    return dW
