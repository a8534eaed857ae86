"""One gradient, computed in independent ways, and how well they agree."""

from collections.abc import Callable

import autograd.numpy as np
import numpy as onp
from autograd import grad

from fpnotes._extras import needs
from fpnotes._inputs import check_count, check_positive, check_rows, check_square_matrix
from fpnotes._types import ArrayLike, FloatArray
from fpnotes.activations import Curve, as_activation
from fpnotes.implicit import fixed_point
from fpnotes.solvers import solve

with needs("figures", "fpnotes.chapters.checks"):
    import pandas as pd


def unrolled(
    W: FloatArray, x: FloatArray, activation: Curve = "tanh", steps: int = 100
) -> FloatArray:
    """Return the last of ``steps`` iterates of r ← f(W r + x) from rest, traced by autograd.

    Differentiating it is *unrolling* (backpropagation through time to a static target): memory grows with
    ``steps``, and both r and its derivative are off by what the iteration has not yet settled.

    Parameters
    ----------
    W : (N, N) array
    x : (..., N) array
    activation : str, Activation or callable
    steps : int

    Returns
    -------
    r : (..., N) array
    """
    f = as_activation(activation)
    W, x = np.array(W), np.array(x)
    r = 0.0 * x
    for _ in range(check_count("steps", steps)):
        r = f(np.matmul(r, W.T) + x)
    return r


def central_differences(
    function: Callable[[FloatArray], float], W: ArrayLike, h: float = 1e-5
) -> FloatArray:
    """Return the gradient of a scalar function of a matrix, (N, N), by central differences of width 2h."""
    W, h = onp.asarray(W, dtype=float), check_positive("h", h)
    slope = onp.empty_like(W)
    for index in onp.ndindex(*W.shape):
        step = onp.zeros_like(W)
        step[index] = h
        slope[index] = (function(W + step) - function(W - step)) / (2 * h)
    return slope


def compare_gradients(
    loss: Callable[[FloatArray], float],
    W: ArrayLike,
    x: ArrayLike,
    activation: Curve = "tanh",
    *,
    steps: int = 100,
    h: float = 1e-5,
    tol: float | None = None,
) -> pd.DataFrame:
    """Compute ∂J/∂W by the adjoint, by unrolling, and by finite differences.

    Parameters
    ----------
    loss : callable
        J as a scalar function of the rates r, (..., N), written with ``autograd.numpy``.
    W : (N, N) array_like
    x : (..., N) array_like
    activation : str, Activation or callable
    steps : int
        Iterations that are unrolled.
    h : float
        Half width of the central differences, in the unit of W.
    tol : float, optional
        Of the fixed points for the adjoint; see :func:`fpnotes.solvers.solve`.

    Returns
    -------
    pandas.DataFrame
        One row per method, with its gradient's norm and its relative error. The reference is the adjoint
        at the same fixed points, solved to the last digits (tol = 1e-13) by Newton's method. Where
        unrolling diverges its entries are infinite or NaN, as are errors relative to a zero gradient.

    Raises
    ------
    ConvergenceError
        When a fixed point that is needed does not exist or is not found.
    """
    W = check_square_matrix("W", W).astype(float)
    x = check_rows("x", x, len(W)).astype(float)

    steps, h = check_count("steps", steps), check_positive("h", h)
    found = solve(W, x, activation, tol=tol).r

    def J(W):
        return loss(fixed_point(W, x, activation, tol=tol))

    def J_exact(W):
        # In a network with several fixed points, the one found above.
        return loss(fixed_point(W, x, activation, r0=found, tol=1e-13, method="newton"))

    def J_unrolled(W):
        return loss(unrolled(W, x, activation, steps))

    reference = grad(J_exact)(W)
    with onp.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gradients = {
            "adjoint": grad(J)(W),
            f"unrolled, {steps} steps": grad(J_unrolled)(W),
            f"central differences, h = {h:g}": central_differences(J_exact, W, h),
        }
        size = onp.linalg.norm(reference)
        return pd.DataFrame(
            {
                "norm": {name: onp.linalg.norm(g) for name, g in gradients.items()},
                "relative error": {
                    name: onp.linalg.norm(g - reference) / size for name, g in gradients.items()
                },
            }
        ).rename_axis("method")
