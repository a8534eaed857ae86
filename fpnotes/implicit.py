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
from fpnotes._inputs import rows_of, square_matrix
from fpnotes._iterations import Anderson, Relaxation, iterate
from fpnotes._linear import solve_direct
from fpnotes._rows import chunks, largest
from fpnotes.activations import Curve, as_activation
from fpnotes.solvers import ConvergenceError, solve

__all__ = ["fixed_point", "resolvent"]

# Below this many neurons a factorization a sample is quicker than iterating.
DIRECT = 48


def fixed_point(
    W, x, activation: Curve = "tanh", *, r0=None, tol=None, max_steps=1000, method="auto"
):
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
        I − GW is singular. There is never a gradient without a converged solve.
    ValueError, TypeError
        As :func:`fpnotes.solvers.solve`.
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
    return solve(W, x, f, r0=r0, tol=tol, max_steps=max_steps, method=method).r.copy()


def _gain(f, r, W, x):
    return f.gain(np.matmul(r, W.T) + x)


def _outer(a, b):
    """Return Σ over samples of a bᵀ: (..., N), (..., N) → (N, N), one matrix product."""
    n = a.shape[-1]
    return np.dot(np.reshape(a, (-1, n)).T, np.reshape(b, (-1, n)))


def _fixed_point_vjp(argnums, r, args, kwargs):
    W, x, f, _, tol, *_ = args

    def vjp(cotangent):
        gain = _gain(f, r, W, x)
        x_bar = gain * resolvent(W, gain, cotangent, transpose=True, tol=tol)
        return tuple(_outer(x_bar, r) if argnum == 0 else x_bar for argnum in argnums)

    return vjp


def _push(r, args, dz):
    """Return dr for a change dz of the net input at fixed r."""
    W, x, f, _, tol, *_ = args
    gain = _gain(f, r, W, x)
    return resolvent(W, gain, gain * dz, tol=tol)


defvjp_argnums(_fixed_point, _fixed_point_vjp)
defjvp(
    _fixed_point,
    lambda dW, r, *args: _push(r, args, np.matmul(r, dW.T)),
    lambda dx, r, *args: _push(r, args, dx),
)


def resolvent(W, gain, b, *, transpose=False, tol=None):
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
        The largest ``|b − (I − GW) u|`` allowed, relative to the largest ``|b|``, a sample; by default
        1e-8, or 1e-5 in float32. Where rounding forbids a finer one, that default is what counts.

    Returns
    -------
    u : (..., N) array

    Raises
    ------
    ConvergenceError
        When a sample's system cannot be solved to tol, or is so near singular that rounding leaves
        u fewer than three digits.
    """
    return _resolvent(W, gain, b, transpose, tol)


def _gw(u, transpose, gain, W):
    """Return GW u, or (GW)ᵀu, a row a sample."""
    return np.matmul(gain * u, W) if transpose else gain * np.matmul(u, W.T)


@primitive
def _resolvent(W, gain, b, transpose, tol):
    W = square_matrix("W", W)
    n = len(W)
    gain, b = rows_of("gain", gain, n), rows_of("b", b, n)
    if gain.shape != b.shape:
        raise ValueError(f"gain and b must have one shape, not {gain.shape} and {b.shape}")
    dtype = onp.result_type(W, gain, b)
    W, flat_gain = W.astype(dtype, copy=False), gain.reshape(-1, n).astype(dtype, copy=False)
    tol = tolerance(tol, dtype)
    # Each right-hand side is brought to size 1: the tolerance is relative to it, whatever its scale.
    scale = largest(b.reshape(-1, n))[:, None]
    scale[scale == 0] = 1
    flat_b = (b.reshape(-1, n) / scale).astype(dtype, copy=False)

    # The map u → GW u + b, or u → (GW)ᵀu + b, takes 0 to b: that first step needs no product.
    u, left = flat_b.copy(), onp.ones(len(flat_b), bool)

    def work(part):
        here, g, b = u[part], flat_gain[part], flat_b[part]

        weighted = onp.empty_like(b)  # one array for every step

        def apply(rows, u):
            gain, constant = (g, b) if len(rows) == len(b) else (g[rows], b[rows])
            gu = weighted[: len(u)]
            if transpose:
                v = onp.multiply(gain, u, out=gu) @ W
            else:
                v = gain * onp.matmul(u, W.T, out=gu)
            v += constant
            return v

        rows = onp.arange(len(b))
        for method, max_steps in ((Relaxation, 60), (Anderson, 200)):
            size, _ = iterate(apply, here, method(len(rows)), rows, lambda k, at: tol, max_steps)
            rows = rows[~(size <= tol)]
        left[part] = onp.isin(onp.arange(len(b)), rows)

    if n > DIRECT and not (flat_gain == flat_gain[:1]).all():
        for part in chunks(flat_b):
            work(part)
    rows = onp.flatnonzero(left)
    if len(rows):
        # What products could not solve is near a singularity: there single precision leaves too few digits.
        W, g, c = (onp.asarray(a, onp.float64) for a in (W, flat_gain[rows], flat_b[rows]))
        with onp.errstate(over="ignore", invalid="ignore"):
            v = solve_direct(W, g, c, transpose)
            size = largest(_gw(v, transpose, g, W) + c - v)
            # A matrix singular to rounding may be solved by chance: then v is rounding, amplified.
            norm = 1 + onp.abs(g * onp.abs(W).sum(axis=1)).max(axis=1)
            digits_lost = onp.finfo(v.dtype).eps * norm * onp.abs(v).max(axis=1)
            u[rows] = v
        failed = ~((size <= max(tol, tolerance(None, v.dtype))) & (digits_lost < 1e-3))
        if failed.any():
            name = "adjoint equation (I − GW)ᵀλ = c" if transpose else "system (I − GW)u = b"
            raise ConvergenceError(
                f"the {name} could not be solved to tol={tol:g} for {failed.sum()} of "
                f"{len(flat_b)} samples: I − GW is singular, or nearly so, there, and r has no derivative"
            )
    return (u * scale).reshape(b.shape).astype(dtype, copy=False)


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

        return tuple(one(argnum) for argnum in argnums)

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
