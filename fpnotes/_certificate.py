"""How small a residual certifies a fixed point."""

import numpy as np

from fpnotes._inputs import positive
from fpnotes._rows import largest


def tolerance(tol, dtype):
    """Return tol, or the dtype's default for None; raise where rounding forbids what is asked."""
    if tol is None:
        return 1e-8 if dtype == np.float64 else 1e-5
    tol, least = positive("tol", tol), 4 * float(np.finfo(dtype).eps)
    if tol < least:
        raise ValueError(
            f"tol={tol:g} is finer than {dtype} arithmetic can certify; use at least {least:.1g}"
        )
    return tol


def residual_limit(tol, r):
    """Return the largest residual with which each row of r counts as converged: (m, N) → (m,)."""
    return tol * np.maximum(1, largest(r))
