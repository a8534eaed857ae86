"""Linear systems with the matrix I − GW, one per sample."""

from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from fpnotes._blas import has_one_thread
from fpnotes._rows import largest
from fpnotes._types import FloatArray

# Per-sample matrices are built at most this many entries at a time, so that memory does not grow with m.
CHUNK = 2_000_000
# From this many neurons on it pays to keep a factorization, and from this many right-hand sides on to have
# a sample per row in BLAS, too.
SHARED = 64
ROWS = 32


def stacks(m, n):
    """Yield slices of range(m) whose (k, n, n) stacks stay within CHUNK entries, or are one matrix."""
    size = max(1, CHUNK // (n * n))
    for start in range(0, m, size):
        yield slice(start, start + size)


def solve_stack(K, right):
    """Return K⁻¹ right for (k, n, n) and (k, n, j) arrays; NaN for the matrices that are singular."""
    try:
        return np.linalg.solve(K, right)
    except np.linalg.LinAlgError:
        if len(K) == 1:
            return np.full_like(right, np.nan)
        # One singular matrix must not spoil its neighbors.
        return np.concatenate([solve_stack(K[i : i + 1], right[i : i + 1]) for i in range(len(K))])


def solve_direct(W, gain, b, transpose=False, diagonal=1.0):
    """Solve (dI − GW) u = b, or its transpose, for every row of b by LU factorization.

    When all samples have the same gains, as in a linear network, one factorization serves them all.

    Parameters
    ----------
    W : (N, N) array
    gain : (m, N) array, or (1, N) where all samples have the same gains
    b : (m, N) array
    transpose : bool
        Solve (dI − GW)ᵀ u = b instead.
    diagonal : float or (m,) array
        The number d, one for all samples or one each.

    Returns
    -------
    u : (m, N) array
        NaN in the rows whose matrix is exactly singular.
    """
    d = np.asarray(diagonal, W.dtype).reshape(-1, 1)

    def matrix(rows):
        K = _matrices(W, gain[rows], d[rows])
        return np.swapaxes(K, -1, -2) if transpose else K

    if len(b) and (gain == gain[:1]).all() and (d == d[:1]).all():
        return solve_stack(matrix(slice(1)), b.T[None])[0].T
    gain, d = np.broadcast_to(gain, b.shape), np.broadcast_to(d, (len(b), 1))
    u = np.empty_like(b)
    for part in stacks(len(b), len(W)):
        u[part] = solve_stack(matrix(part), b[part, :, None])[..., 0]
    return u


def _matrices(W, gain, diagonal: float | np.ndarray = 1.0):
    """Return dI − GW for every row of gain: (k, N) → (k, N, N)."""
    K = -gain[:, :, None] * W
    np.einsum("kii->ki", K)[...] += diagonal  # a view of the diagonals
    return K


def solve_bounded(W, gain, b, transpose=False, enough=0.0):
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
    enough : float
        The relative error that a caller is content with. Where all samples have the same gains, and norms
        show that it is not reached, the bound returned is theirs, a coarser one.

    Returns
    -------
    u : (m, N) array
    error : (m,) array
        A bound on the largest entry of ``|u − exact|``; NaN where a matrix is exactly singular or something
        overflows.
    """
    u, error = np.empty_like(b), np.empty(len(b), b.dtype)
    with np.errstate(all="ignore"):
        if len(b) and (gain == gain[0]).all():
            K = _matrices(W, gain[:1])[0]
            u, error = bounded_by_norms(K.T if transpose else K, b)
            if not (error <= enough * largest(u)).all():
                u, error = _refined(W, gain[:1], b, transpose)
        else:
            for part in stacks(len(b), len(W)):
                u[part], error[part] = _refined(W, gain[part], b[part], transpose)
    return u, error


@lru_cache(maxsize=1)
def _routines() -> tuple[Any, ...]:
    from scipy.linalg import get_blas_funcs, get_lapack_funcs

    names = ("getrf", "laswp", "getrs")
    return (*get_lapack_funcs(names, dtype=float), *get_blas_funcs(("trsm",), dtype=float))


class Factors:
    """The factorization of K = I − W, which serves systems with K and with Kᵀ.

    NumPy can factor a matrix, but not keep what it found. SciPy can, by another BLAS: where that would cost
    more than it saves, :meth:`of` returns None.
    """

    def __init__(self, W: FloatArray):
        getrf, laswp, self._getrs, self._trsm = _routines()
        size, ones = np.abs(W), np.ones(len(W))
        # The largest of |W|.
        self.row_sum: float = (size @ ones).max()
        self.column_sum: float = (ones @ size).max()
        K = np.negative(W, order="C")
        K.flat[:: len(W) + 1] += 1
        # LAPACK takes columns for rows, so that what it factors is Kᵀ = PLU.
        self._lu, self._pivots, info = getrf(K.T, overwrite_a=1)
        self.singular: bool = info > 0
        swapped = laswp(np.arange(len(W), dtype=float)[:, None], self._pivots)
        self._order = swapped[:, 0].astype(int)  # (LU)[i] = (Kᵀ)[order[i]]

    @classmethod
    def of(cls, W: FloatArray) -> "Factors | None":
        """Return the factors of I − W; None for few neurons, in single precision, or if BLAS has threads."""
        if len(W) < SHARED or W.dtype != np.float64 or not has_one_thread():
            return None
        return cls(W)

    def solve(self, b: FloatArray, transpose: bool = False) -> FloatArray:
        """Return K⁻¹b, or K⁻ᵀb, for every row of b, (m, N); NaN where K is exactly singular."""
        if self.singular:
            return np.full_like(b, np.nan)
        if len(b) < ROWS:
            trans = 0 if transpose else 1
            return self._getrs(self._lu, self._pivots, b.copy().T, trans=trans, overwrite_b=1)[0].T
        # A row u of K⁻¹b has uKᵀ = uPLU = b, and one of K⁻ᵀb has uK = uUᵀLᵀPᵀ = b.
        upper = {"side": 1, "overwrite_b": 1}
        lower = upper | {"lower": 1, "diag": 1}
        if transpose:
            u = self._trsm(1.0, self._lu, b.T[self._order].T, trans_a=1, **lower)
            return self._trsm(1.0, self._lu, u, trans_a=1, **upper)
        u = self._trsm(1.0, self._lu, np.array(b, order="F"), **upper)
        columns = np.empty_like(u.T)
        columns[self._order] = self._trsm(1.0, self._lu, u, **lower).T
        return columns.T

    @cached_property
    def relative_error(self) -> float:
        """A bound on the error of a row of K⁻ᵀb, relative to its largest entry: see ``bounded_by_norms``."""
        if self.singular:
            return np.nan
        signs = _signs(len(self._lu), self._lu.dtype)
        return _relative_error(self.column_sum, self.solve(signs, transpose=True))


@lru_cache(maxsize=8)
def _signs(n, dtype):
    return np.random.default_rng(0).choice(np.array([-1, 1], dtype), (2, n))


def _relative_error(norm, solved):
    """Bound the error of a solution of K u = b relative to its largest entry.

    ``norm`` is the largest row sum of ``|I − K|``, and ``solved`` are the solutions for random signs.
    """
    n, eps = solved.shape[1], np.finfo(solved.dtype).eps
    inverse = 10 * np.sqrt(n) * np.abs(solved).max(initial=0)
    return n * eps * (1 + norm) * inverse


def bounded_by_norms(K, b):
    """Solve K u = b for every row of b, K being I minus something, by one factorization; bound the error.

    The solution is that of a matrix off by a few roundings.
    Random signs beside b show the size of the inverse: a row of it has a norm of about their largest solution
    (Dixon 1983), and a sum of at most √N times its norm. A factor 10 covers bad luck.
    """
    norm = 1 + np.abs(K).sum(axis=1).max(initial=0)  # at least that of I − K
    try:
        u = np.linalg.solve(K, np.concatenate([b, _signs(len(K), b.dtype)]).T).T
    except np.linalg.LinAlgError:
        return np.full_like(b, np.nan), np.full(len(b), np.nan, b.dtype)
    return u[:-2], _relative_error(norm, u[-2:]) * largest(u[:-2])


def _refined(W, gain, b, transpose):
    """Return u and the bound of :func:`solve_bounded`, from one inverse per row, or one for all."""
    K = _matrices(W, gain)
    size = np.abs(gain[:, :, None] * W)
    np.einsum("kii->ki", size)[...] += 1
    inverse = solve_stack(K, np.broadcast_to(np.eye(len(W), dtype=W.dtype), K.shape))

    def times(matrices, rows):
        if transpose:
            matrices = np.swapaxes(matrices, -1, -2)
        if len(matrices) == 1:
            return rows @ matrices[0].T
        return np.matmul(matrices, rows[..., None])[..., 0]

    u = times(inverse, b)
    u += times(inverse, b - times(K, u))
    rounding = np.finfo(b.dtype).eps * (times(size, np.abs(u)) + np.abs(b))
    off = times(np.abs(inverse), np.abs(b - times(K, u)) + rounding)
    return u, np.where(np.isfinite(u).all(axis=1), largest(off), np.nan)
