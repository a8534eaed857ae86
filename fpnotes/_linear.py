"""Linear systems with the matrix I − GW, one a sample."""

import numpy as np

# Per-sample matrices are built at most this many entries at a time, so that memory does not grow with m.
CHUNK = 2_000_000


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
        K = -gain[rows, :, None] * W
        np.einsum("kii->ki", K)[...] += d[rows, None]  # a view of the diagonals
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
