"""The fixed point as a differentiable function of W and x.

r = f(W r + x) defines r as a function of W and x without a formula for it. The implicit function theorem
still gives its derivative: dr = (I − GW)⁻¹ G (dW r + dx). So nothing needs to be unrolled or stored. Going
backward, a cotangent c of r meets one linear system, the *adjoint equation* (I − GW)ᵀλ = c, and then
x̄ = Gλ and W̄ = Σ (Gλ) rᵀ (book: eq-adjoint).

Two autograd primitives are enough for derivatives of every order: ``fixed_point``, and ``resolvent``, the
solution of the linear system. The derivative of each is written in terms of the two.
"""

import autograd.numpy as np
import numpy as onp
from autograd.extend import defjvp, defvjp_argnums, primitive
from autograd.tracer import getval, isbox

from fpnotes._certificate import tolerance
from fpnotes._floats import as_by_default
from fpnotes._inputs import check_rows, check_square_matrix
from fpnotes._iterations import Anderson, Relaxation, iterate
from fpnotes._linear import Factors, solve_bounded
from fpnotes._rows import chunks, largest
from fpnotes._types import ArrayLike, FloatArray, Method, Real
from fpnotes.activations import Curve, as_activation
from fpnotes.solvers import ConvergenceError, solve

__all__ = ["fixed_point", "resolvent"]

# Below this many neurons a factorization per sample is quicker than iterating.
DIRECT = 48
# The largest relative error with which a solution is returned: three digits.
WORST = 1e-3
# How far a random right-hand side is solved to learn how much the systems amplify.
PROBE = 1e-2


def fixed_point(
    W: ArrayLike,
    x: ArrayLike,
    activation: Curve = "tanh",
    *,
    r0: ArrayLike | None = None,
    tol: Real | None = None,
    max_steps: int = 1000,
    method: Method = "auto",
) -> FloatArray:
    """Return the fixed point r = f(W r + x), differentiable by autograd in W and x.

    Parameters
    ----------
    W : (N, N) array_like
    x : (..., N) array_like
    activation : str, Activation or callable
    r0, tol, max_steps, method
        As in :func:`fpnotes.solvers.solve`. The adjoint equation is solved to tol times the size of its
        own right-hand side, whatever that is: a loss averaged over 1000 samples loses no accuracy.
        Where the fixed point was looked for, r0, has no part in its derivative.

    Returns
    -------
    r : (..., N) array

    Raises
    ------
    ConvergenceError
        When a sample has no fixed point to within tol, or when the adjoint equation cannot be solved because
        I − GW is singular, or so nearly that rounding leaves fewer than three digits; see :func:`resolvent`.
        There is never a gradient without a converged solve.
    FloatingPointError
        When a derivative is beyond the range of its dtype.
    ValueError, TypeError
        As :func:`fpnotes.solvers.solve`.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import fpnotes as fp
    >>> x = np.array([[1.0]])
    >>> dJ = grad(lambda W: np.sum(fp.fixed_point(W, x, "linear")))  # r = x/(1 − w)
    >>> dJ(np.array([[0.5]])).round(6)  # dr/dw = x/(1 − w)²
    array([[4.]])
    """
    # Checks that need values, not traces, happen inside the primitive.
    f, r0 = as_activation(activation), getval(r0)
    return _fixed_point(_array("W", W), _array("x", x), f, r0, tol, max_steps, method)


def _array(name, value):
    """Take lists, and lists of what autograd traces, for arrays."""
    if isbox(value) and not isinstance(getval(value), onp.ndarray):
        raise TypeError(f"{name} must be an array where autograd differentiates in it")
    try:
        return np.array(value) if isinstance(value, (list, tuple)) else value
    except ValueError:  # ragged: solve says so, and names the argument
        return value


@primitive
def _fixed_point(W, x, f, r0, tol, max_steps, method):
    with as_by_default():
        return solve(W, x, f, r0=r0, tol=tol, max_steps=max_steps, method=method).r.copy()


def _gain(f, r, W, x):
    return f.gain(np.matmul(r, W.T) + x)


def _outer(a, b):
    """Return Σ over samples of a bᵀ: (..., N), (..., N) → (N, N), one matrix product."""
    n = a.shape[-1]
    return np.dot(np.reshape(a, (-1, n)).T, np.reshape(b, (-1, n)))


def _finite(*derivatives):
    """Return the derivatives, or raise where one overflowed."""
    for value in map(getval, derivatives):
        if not onp.isfinite(value).all():
            raise FloatingPointError(f"a derivative of r is beyond the range of {value.dtype}")
    return derivatives


def _fixed_point_vjp(argnums, r, args, kwargs):
    W, x, f, _, tol, *_ = args

    def vjp(cotangent):
        with onp.errstate(all="ignore"):
            gain = _gain(f, r, W, x)
            x_bar = gain * resolvent(W, gain, cotangent, transpose=True, tol=tol)
            bars = tuple(_outer(x_bar, r) if argnum == 0 else x_bar for argnum in argnums)
        return _finite(*bars)

    return vjp


def _push(r, args, dz):
    """Return dr for a change dz of the net input at fixed r."""
    W, x, f, _, tol, *_ = args
    with onp.errstate(all="ignore"):
        gain = _gain(f, r, W, x)
        (b,) = _finite(gain * dz)
        return resolvent(W, gain, b, tol=tol)


defvjp_argnums(_fixed_point, _fixed_point_vjp)
defjvp(
    _fixed_point,
    lambda dW, r, *args: _push(r, args, np.matmul(r, dW.T)),
    lambda dx, r, *args: _push(r, args, dx),
)


def resolvent(
    W: FloatArray,
    gain: FloatArray,
    b: FloatArray,
    *,
    transpose: bool = False,
    tol: Real | None = None,
) -> FloatArray:
    """Solve (I − GW) u = b, or (I − GW)ᵀ u = b, for every sample; differentiable in W, gain and b.

    Parameters
    ----------
    W : (N, N) array
    gain : (..., N) array
        Gains g; G = diag(g) for each sample.
    b : (..., N) array
        Right-hand sides, of gain's shape.
    transpose : bool
        Solve with the transposed matrix: the adjoint equation.
    tol : float, optional
        How far products iterate: until the largest ``|b − (I − GW) u|`` of a sample is at most tol times its
        largest ``|b|``; by default 1e-8, or 1e-5 in float32. What is factorized is solved to rounding.

    Returns
    -------
    u : (..., N) array

    Raises
    ------
    ConvergenceError
        When the error of a sample's u may exceed 1e-3 of its largest entry, which leaves fewer than three
        digits: there I − GW is singular, or nearly so. A factorized system is judged by a bound on that
        error, the componentwise backward error times Skeel's condition number; see
        ``fpnotes._linear.solve_bounded``. An iterated one is judged by an estimate, from how much it
        amplifies a random b; where that exceeds 1e-3, or 100 tol if that is more, it is factorized.
    FloatingPointError
        When u is beyond the range of its dtype.

    Notes
    -----
    Neither size nor growth is a reason to refuse: b may have any unit, and a feedforward chain that amplifies
    by 1e8 is as far from a singularity as one that does not.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> W = np.array([[0.0, 0.5], [0.0, 0.0]])
    >>> fp.resolvent(W, gain=np.ones((1, 2)), b=np.array([[1.0, 2.0]]))
    array([[2., 2.]])
    """
    return _resolvent(W, gain, b, transpose, tol)


def adjoint(
    W: FloatArray,
    gain: FloatArray,
    error: FloatArray,
    tol: Real | None = None,
    factors: Factors | None = None,
) -> FloatArray:
    """Return Gλ, for λ of the adjoint equation with a rule's error e, (m, N).

    ``factors`` are those of I − W, kept with the fixed points of a linear network, whose gains are 1. They
    serve where they are known to give λ with as many digits as :func:`resolvent` asks for.
    """
    if factors is not None and factors.relative_error <= WORST / 100:
        tolerance(tol, W.dtype)
        size = largest(error)
        # That bound is relative, and holds as long as no product falls below the range of floats.
        if ((size == 0) | (np.abs(np.log2(size)) < 500)).all():
            return factors.solve(error, transpose=True)
    return gain * resolvent(W, gain, error, transpose=True, tol=tol)


def _gw(u, transpose, gain, W):
    """Return GW u, or (GW)ᵀu, one row per sample."""
    return np.matmul(gain * u, W) if transpose else gain * np.matmul(u, W.T)


@primitive
def _resolvent(W, gain, b, transpose, tol):
    W = check_square_matrix("W", W)
    n = len(W)
    gain, b = check_rows("gain", gain, n), check_rows("b", b, n)
    if gain.shape != b.shape:
        raise ValueError(f"gain and b must have one shape, not {gain.shape} and {b.shape}")
    dtype = onp.result_type(W, gain, b)
    W, flat_gain = W.astype(dtype, copy=False), gain.reshape(-1, n).astype(dtype, copy=False)
    tol = tolerance(tol, dtype)
    name = "adjoint equation (I − GW)ᵀλ = c" if transpose else "system (I − GW)u = b"
    with onp.errstate(all="ignore"):  # what is not finite is refused below
        # Each right-hand side is brought to a size between 1 and 2 by a power of 2, which changes no digit:
        # tolerance and refusal are relative to it, whatever its scale.
        flat_b = b.reshape(-1, n)
        unit = onp.ldexp(onp.ones(1, b.dtype), onp.frexp(largest(flat_b))[1] - 1)[:, None]
        flat_b = (flat_b / unit).astype(dtype, copy=False)
        u, left = flat_b.copy(), onp.ones(len(flat_b), bool)
        if n > DIRECT and not (flat_gain == flat_gain[:1]).all():
            for part in chunks(flat_b):
                left[part] = _iterated(W, flat_gain[part], flat_b[part], u[part], transpose, tol)
        rows = slice(None) if left.all() else onp.flatnonzero(left)
        if left.any():
            # What products could not solve is near a singularity: single precision leaves too few digits.
            W, g, c = (onp.asarray(a, onp.float64) for a in (W, flat_gain[rows], flat_b[rows]))
            u[rows], error = solve_bounded(W, g, c, transpose, WORST / 100)
            failed = ~(error <= WORST * largest(u[rows]))
            if failed.any():
                raise ConvergenceError(
                    f"the {name} cannot be solved to three digits for {failed.sum()} of {len(flat_b)} "
                    "samples: I − GW is singular, or nearly so, there, and r has no derivative"
                )
        u *= unit
    if not onp.isfinite(u).all():
        raise FloatingPointError(f"the solution of the {name} is beyond the range of {dtype}")
    return u.reshape(b.shape)


def _iterated(W, gain, b, u, transpose, tol):
    """Solve in place for u, (m, N), by products; return which samples must be factorized, (m,) bool."""

    def solved(b, u, tol):
        """Return which rows of u reach a residual of tol relative to b, of size between 1 and 2."""
        weighted = onp.empty_like(b)  # one array for every step

        # The map u → GW u + b, or u → (GW)ᵀu + b, takes 0 to b: that first step needs no product.
        def apply(rows, u):
            g, constant = (gain, b) if len(rows) == len(b) else (gain[rows], b[rows])
            gu = weighted[: len(u)]
            if transpose:
                v = onp.multiply(g, u, out=gu) @ W
            else:
                v = g * onp.matmul(u, W.T, out=gu)
            v += constant
            return v

        rows, limit = onp.arange(len(b)), tol * largest(b)
        for method, max_steps in ((Relaxation, 60), (Anderson, 200)):
            steps = iterate(apply, u, method(len(rows)), rows, lambda k, at: limit[k], max_steps)
            rows = rows[~(steps[0] <= limit[rows])]
        done = onp.ones(len(b), bool)
        done[rows] = False
        return done

    done = solved(b, u, tol)
    # A small residual says little of u where b, by symmetry or by chance, hardly has the direction in which
    # the matrix is nearly singular. Random signs have it, and show how much a residual of tol may hide.
    signs = onp.random.default_rng(0).choice(onp.array([-1, 1], b.dtype), b.shape)
    probe = signs.copy()
    sound = solved(signs, probe, PROBE)
    hidden = tol * largest(b) * largest(probe)
    sound &= hidden <= max(WORST, 100 * tol) * largest(u)
    return ~(done & (sound | (largest(b) == 0)))


def _resolvent_vjp(argnums, u, args, kwargs):
    W, gain, _, transpose, tol = args

    def vjp(cotangent):
        v = resolvent(W, gain, cotangent, transpose=not transpose, tol=tol)
        left, right = (u, v) if transpose else (v, u)

        def one(argnum):
            if argnum == 0:
                return _outer(gain * left, right)
            if argnum == 1:
                return left * np.matmul(right, W.T)
            return v

        with onp.errstate(all="ignore"):
            bars = tuple(one(argnum) for argnum in argnums)
        return _finite(*bars)

    return vjp


def _resolvent_jvp(u, args, change):
    W, gain, _, transpose, tol = args
    return resolvent(W, gain, change, transpose=transpose, tol=tol)


defvjp_argnums(_resolvent, _resolvent_vjp)
defjvp(
    _resolvent,
    lambda dW, u, *args: _resolvent_jvp(u, args, _gw(u, args[3], args[1], dW)),
    lambda dgain, u, *args: _resolvent_jvp(u, args, _gw(u, args[3], dgain, args[0])),
    lambda db, u, *args: _resolvent_jvp(u, args, db),
)
