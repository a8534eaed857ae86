"""Learning rules: from a fixed point and its error to a change of the weights.

Every rule is a function ``rule(W, point, error, lr) -> dW``. ``point`` is what
:func:`fpnotes.solvers.solve` returned for the batch, and ``error`` is ∂J/∂r there, shape (m, N): any
1/m of a mean loss is already in it.
"""

import numpy as np

from fpnotes._inputs import positive, rows_of, square_matrix
from fpnotes.implicit import resolvent
from fpnotes.solvers import ConvergenceError


def gradient(W, point, error, lr):
    """Return the gradient rule's update ΔW₁ = −η Σ (Gλ) rᵀ, with (I − GW)ᵀλ = e.

    This is steepest descent on J in the Euclidean metric on W; in this form it is recurrent
    backpropagation (Almeida 1987; Pineda 1987). [ZR24] ΔW₁; book: eq-gradient.

    Parameters
    ----------
    W : (N, N) array_like
        Recurrent weights; left as they are.
    point : FixedPoint
        The fixed points at W, (..., N).
    error : (..., N) array_like
        ∂J/∂r at each sample's fixed point.
    lr : float
        Learning rate η > 0.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    ConvergenceError
        When a sample of ``point`` had not converged, or its adjoint equation is singular.
    ValueError, TypeError
        When an argument has the wrong shape, type or value.
    """
    W, error, lr = _checked(W, point, error, lr)
    n = len(W)
    drive_bar = point.gain * resolvent(W, point.gain, error, transpose=True)
    return -lr * (drive_bar.reshape(-1, n).T @ point.r.reshape(-1, n))


def _checked(W, point, error, lr):
    """Check what every rule is given."""
    W = square_matrix("W", W)
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
