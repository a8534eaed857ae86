"""Linear systems with the matrix I − GW, one per sample."""

import numpy as np

from fpnotes._rows import largest

# Per-sample matrices are built at most this many entries at a time, so that memory does not grow with m.
CHUNK = 2_000_000
# A bound on a relative error that nothing is gained by refining.
NEGLIGIBLE = 1e-11


def stacks(m, n):
    """Yield slices of range(m) whose (k, n, n) stacks stay within CHUNK entries, or are one matrix."""
    size = max(1, CHUNK // (n * n))
    for start in range(0, m, size):
        yield slice(start, start + size)


def solve_stack(K, b):
    """Solve K u = b for every matrix (k, n, n) and row (k, n); NaN where a matrix is singular."""
    try:
        return np.linalg.solve(K, b[..., None])[..., 0]
    except np.linalg.LinAlgError:
        if len(K) == 1:
            return np.full_like(b, np.nan)
        # One singular sample must not spoil its neighbors.
        return np.concatenate([solve_stack(K[i : i + 1], b[i : i + 1]) for i in range(len(K))])


def solve_direct(W, gain, b, transpose=False, diagonal=1.0):
    """Solve (dI − GW) u = b, or its transpose, for every row of b by LU factorization.

    When all samples have the same gains, as in a linear network, one factorization serves them all.

    Parameters
    ----------
    W : (N, N) array
    gain, b : (m, N) arrays
    transpose : bool
        Solve (dI − GW)ᵀ u = b instead.
    diagonal : float or (m,) array
        The number d, one for all samples or one each.

    Returns
    -------
    u : (m, N) array
        NaN in the rows whose matrix is exactly singular.
    """
    d = np.broadcast_to(np.asarray(diagonal, dtype=W.dtype), len(b))

    def matrix(rows):
        K = _matrices(W, gain[rows], d[rows, None])
        return np.swapaxes(K, -1, -2) if transpose else K

    if len(b) and (gain == gain[0]).all() and (d == d[0]).all():
        try:
            return np.linalg.solve(matrix(slice(1))[0], b.T).T
        except np.linalg.LinAlgError:
            return np.full_like(b, np.nan)
    u = np.empty_like(b)
    for part in stacks(len(b), len(W)):
        u[part] = solve_stack(matrix(part), b[part])
    return u


def _matrices(W, gain, diagonal=1.0):
    """Return dI − GW for every row of gain: (k, N) → (k, N, N)."""
    K = -gain[:, :, None] * W
    np.einsum("kii->ki", K)[...] += diagonal  # a view of the diagonals
    return K


def invert_stack(K):
    """Return the inverse of every matrix (k, n, n); NaN where one is singular."""
    try:
        return np.linalg.inv(K)
    except np.linalg.LinAlgError:
        if len(K) == 1:
            return np.full_like(K, np.nan)
        return np.concatenate([invert_stack(K[i : i + 1]) for i in range(len(K))])


def inverse_of(W, gain):
    """Return (I − GW)⁻¹, shape (1, N, N), for the gains (N,) that all samples share."""
    return invert_stack(_matrices(W, gain[None]))


def solve_bounded(W, gain, b, transpose=False, inverse=None):
    """Solve (I − GW) u = b, or its transpose, for every row of b, and bound the error of u.

    With K the matrix, u is off by at most |K⁻¹|(|b − Ku| + ε((I + |GW|)|u| + |b|)), entry by entry: the
    residual, and what rounding W, g, b and the products may have done, as K⁻¹ amplifies it. This is the
    componentwise backward error times the condition number of Skeel 1979 (Higham 2002, *Accuracy and
    Stability of Numerical Algorithms*, section 7.2). It does not change when an equation is measured in
    another unit, so a network is not called singular because its rates differ in size.

    Parameters
    ----------
    W : (N, N) array
    gain, b : (m, N) arrays, of W's dtype
    transpose : bool
        Solve (I − GW)ᵀ u = b instead.
    inverse : (1, N, N) array, optional
        What :func:`inverse_of` returned for these W and gains, which all samples must share.

    Returns
    -------
    u : (m, N) array
    error : (m,) array
        A bound on the largest entry of ``|u − exact|``; NaN where a matrix is exactly singular or something
        overflows.
    """
    u, error = np.empty_like(b), np.empty(len(b), b.dtype)
    if len(b) and (inverse is not None or (gain == gain[0]).all()):
        inverse = inverse_of(W, gain[0]) if inverse is None else inverse
        return _refined(W, gain[:1], b, inverse, transpose)
    for part in stacks(len(b), len(W)):
        inverse = invert_stack(_matrices(W, gain[part]))
        u[part], error[part] = _refined(W, gain[part], b[part], inverse, transpose)
    return u, error


def _refined(W, gain, b, inverse, transpose):
    """Return u and the bound of :func:`solve_bounded`, from one inverse per row, or one for all."""

    def times(matrices, rows):
        if transpose:
            matrices = np.swapaxes(matrices, -1, -2)
        if len(matrices) == 1:
            return rows @ matrices[0].T
        return np.matmul(matrices, rows[..., None])[..., 0]

    eps, n = np.finfo(b.dtype).eps, len(W)
    with np.errstate(all="ignore"):
        u = times(inverse, b)
        size = np.abs(gain[:, :, None] * W)
        np.einsum("kii->ki", size)[...] += 1
        if len(inverse) == 1:
            # Far from a singularity norms bound the error well enough, and no product is needed.
            axis = 0 if transpose else 1
            norm, growth = (np.abs(a[0]).sum(axis=axis).max(initial=0) for a in (size, inverse))
            error = n * eps * norm * growth**2 * largest(b)
            if (error <= NEGLIGIBLE * largest(u)).all():
                return u, error
        K = _matrices(W, gain)
        u += times(inverse, b - times(K, u))
        rounding = eps * (times(size, np.abs(u)) + np.abs(b))
        off = times(np.abs(inverse), np.abs(b - times(K, u)) + rounding)
        return u, np.where(np.isfinite(u).all(axis=1), largest(off), np.nan)
