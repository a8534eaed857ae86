"""The fixed point as a differentiable function of JAX arrays, and the rules as its backward pass.

Two functions with a reverse rule of their own suffice, as in :mod:`fpnotes.implicit`: the fixed point, and
the solution of the adjoint equation (I − GW)ᵀλ = e. The derivative of each is written in terms of the two,
so r can be differentiated in reverse any number of times; forward mode (``jax.jvp``, ``jax.hessian``) is
refused by JAX.

It has been tried on processors alone. There is nothing in it that a GPU lacks, but it has not run on one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fpnotes._extras import needs
from fpnotes.frameworks import _inputs
from fpnotes.frameworks._solver import Library, Point, factorized, find, named_curve, resolvent
from fpnotes.rules import FACTORS

with needs("jax", "fpnotes.frameworks.jax"):
    import jax
    import jax.numpy as jnp

__all__ = ["fixed_point"]


def fixed_point(
    W: Any,
    x: Any,
    activation: str | Callable[..., Any] = "tanh",
    *,
    rule: str = "gradient",
    r0: Any = None,
    tol: float | None = None,
    max_steps: int = 1000,
) -> jax.Array:
    """Return the fixed point r = f(W r + x), which JAX can differentiate in reverse, compile and map.

    Called on arrays, or differentiated where nothing is compiled, it raises where a sample has no fixed
    point. Where ``jax.jit``, ``vmap`` or ``scan`` trace it, no error can depend on a number: such a
    sample's r is NaN then, and so is every loss and gradient that depends on it.

    Parameters
    ----------
    W : (N, N) array_like
        Recurrent weights, ``W[i, j]`` from neuron j to neuron i.
    x : (..., N) array_like
        Inputs, one row per sample.
    activation : str or callable
        The f–I curve: "linear", "tanh", "relu", "softplus", "powerlaw", or an elementwise function of
        arrays, whose gain JAX finds. Arrays that the function closes over get their gradients.
    rule : {"gradient", "linearized", "linearized_without_gains", "without_transport", "jacobian_free"}
        What W gets as its gradient: the gradient, or minus that rule's update in :mod:`fpnotes.rules` at η
        = 1, which any optimizer takes for it. A rule says nothing of x, nor of what f closes over: they
        get the gradient under every rule, and its adjoint equation is solved where JAX asks for it.
    r0 : (..., N) array_like, optional
        Where to start, by default at rest. It decides which of several fixed points is found, and has no
        gradient.
    tol : float, optional
        As in :func:`fpnotes.solve`, which says what is certified. The adjoint equation is solved to tol,
        relative to the error of each sample.
    max_steps : int
        Steps allowed to each method: relaxation, then Anderson acceleration. :func:`fpnotes.solve` has more
        methods, and double precision where single does not suffice; r0 can be what it returns.

    Returns
    -------
    r : (..., N) array
        In float32, or in float64 where W or x is and JAX allows it (``jax_enable_x64``).

    Raises
    ------
    fpnotes.ConvergenceError
        When a sample did not converge; its ``point`` holds the result in NumPy's arrays. In the backward
        pass, when the adjoint equation of a sample is so nearly singular that fewer than three digits of λ
        are sure. Where JAX traces, r or λ is NaN instead.
    ValueError, TypeError
        When an argument has the wrong shape, type or value. The reparameterized rule is refused, since its
        update is no multiple of η, which only the optimizer knows. TypeError also, by JAX, in forward mode.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from fpnotes.frameworks.jax import fixed_point
    >>> x = jnp.array([[1.0, 2.0], [0.5, 0.0]])
    >>> def loss(W):
    ...     return jnp.sum((fixed_point(W, x, "linear", rule="linearized") - 2 * x) ** 2)
    >>> direction = jax.jit(jax.grad(loss))
    >>> W = jnp.zeros((2, 2))
    >>> for _ in range(300):
    ...     W = W - 0.05 * direction(W)
    >>> print(W.round(2))  # (I − W)⁻¹x = 2x
    [[0.5 0. ]
     [0.  0.5]]
    """
    _inputs.check_rule(rule)
    _inputs.check_activation(activation, "arrays")
    W, x = _check_array("W", W), _check_array("x", x)
    r0 = None if r0 is None else _check_array("r0", jax.lax.stop_gradient(r0))
    _inputs.check_shapes(W, x, r0)
    dtype = jnp.promote_types(W.dtype, x.dtype)
    tol, max_steps = _inputs.check_options(tol, max_steps, dtype)
    W, rows = W.astype(dtype), x.astype(dtype).reshape(-1, len(W))
    if r0 is not None:
        r0 = jnp.broadcast_to(r0, x.shape).astype(dtype).reshape(rows.shape)
    f, held = activation, ()
    if not isinstance(activation, str):
        # What f closes over becomes an argument, without which JAX would not differentiate in it.
        with _inputs.raised_by_curve("arrays", "JAX"):
            closed, held = jax.closure_convert(activation, rows)
        f = closed if held else activation
    r = _fixed_point((f, tol, max_steps, rule), W, rows, tuple(held), r0)
    return r.reshape(x.shape)


# ---- The two functions and their derivatives ----


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fixed_point(options, W, x, held, r0):
    """Return the fixed point of every row of x; ``held`` are the arrays that f takes beside z."""
    f, tol, max_steps, _ = options
    point = _find(f, tol, max_steps, W, x, held, r0)
    if isinstance(point.converged, jax.core.Tracer):
        return jnp.where(point.converged[:, None], point.r, jnp.nan)
    if not point.converged.all():
        raise _not_converged(W, x, _curve(f, held), point, tol)
    return point.r


def _forward(options, W, x, held, r0):
    arrays = [jax.tree.map(lambda a: a.value, a) for a in (W, x, held, r0)]
    r = _fixed_point(options, *arrays)
    # Whether anything but W is differentiated, told by the structure: None has no leaf, () is another such.
    settles = any(a.perturbed for a in jax.tree.leaves((x, held), is_leaf=_is_primal))
    return r, (*arrays[:3], r, () if settles else None)


def _is_primal(a):
    return isinstance(a, jax.custom_derivatives.CustomVJPPrimal)


def _backward(options, saved, error):
    f, tol, _, rule = options
    W, x, held, r, settles = saved
    recurrent, error = r @ W.T, _instantiated(error, r)
    g = _curve(f, held)[1](recurrent + x)
    x_bar, held_bar = jnp.zeros_like(x), jax.tree.map(jnp.zeros_like, held)
    if rule == "gradient" or settles is not None:
        adjoint = _resolvent((tol, f == "linear", True), W, g, error)
        _, pull = jax.vjp(lambda x, held: _curve(f, held)[0](recurrent + x), x, held)
        x_bar, held_bar = pull(adjoint)
    if rule == "gradient":
        return x_bar.T @ r, x_bar, held_bar, None
    left, right = FACTORS[rule](W, g, r, recurrent, error)
    return _once(left.T @ right), x_bar, held_bar, None


def _instantiated(error, r):
    symbolic = isinstance(error, jax.custom_derivatives.SymbolicZero)
    return jnp.zeros_like(r) if symbolic else error


_fixed_point.defvjp(_forward, _backward, symbolic_zeros=True)


@jax.custom_jvp
def _once(direction):
    return direction


@_once.defjvp
def _(primals, tangents):
    raise TypeError("a rule's direction cannot be differentiated: rule='gradient' can")


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _resolvent(options, W, gain, b):
    """Solve (I − GW)ᵀu = b, or (I − GW)u = b, for every row of b."""
    u, lost = _solve(options, W, gain, b)
    if isinstance(lost, jax.core.Tracer):
        return jnp.where(lost[:, None], jnp.nan, u)
    if lost.any():
        raise _inputs.not_solvable(int(lost.sum()), len(lost))
    return u


def _resolvent_forward(options, W, gain, b):
    u = _resolvent(options, W, gain, b)
    return u, (W, gain, u)


def _resolvent_backward(options, saved, error):
    tol, linear, transpose = options
    W, gain, u = saved
    v = _resolvent((tol, linear, not transpose), W, gain, error)
    left, right = (u, v) if transpose else (v, u)
    return (gain * left).T @ right, left * (right @ W.T), v


_resolvent.defvjp(_resolvent_forward, _resolvent_backward)


# ---- The solver's library ----


def _signs(b):
    return jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], b.shape), b.dtype)


LIBRARY = Library(
    jnp,
    loop=jax.lax.while_loop,
    choose=jax.lax.cond,
    solve=lambda K, b: jnp.linalg.solve(K, b[..., None])[..., 0],
    inverse=jnp.linalg.inv,
    identity=lambda n, a: jnp.eye(n, dtype=a.dtype),
    signs=_signs,
)


def _curve(f, held):
    """Return f and f′; a function of the user's is checked."""
    if isinstance(f, str):
        return named_curve(jnp, f)

    def curve(z):
        rate = f(z, *held)
        _inputs.check_elementwise(z, rate)
        return rate

    return curve, lambda z: jax.jvp(curve, (z,), (jnp.ones_like(z),))[1]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _find(f, tol, max_steps, W, x, held, r0):
    curve, gain = _curve(f, held)
    if f == "linear":
        r0 = jnp.linalg.solve(jnp.eye(len(W), dtype=W.dtype) - W, x.T).T
    elif r0 is None:
        r0 = curve(x)
    return find(LIBRARY, W, x, curve, gain, r0, tol, max_steps)


@partial(jax.jit, static_argnums=0)
def _solve(options, W, gain, b):
    """Return u, and where fewer than three digits of it are sure."""
    tol, linear, transpose = options
    K = jnp.eye(len(W), dtype=W.dtype) - W
    start = (lambda b: jnp.linalg.solve(K.T if transpose else K, b.T).T) if linear else None
    u, left = resolvent(LIBRARY, W, gain, b, tol, start, transpose)

    def one(row):
        """Factorize the matrix of a row that is left."""
        gain, b, u, left = row

        def factorize():
            u, lost = factorized(LIBRARY, W, gain[None], b[None], transpose)
            return u[0], lost[0]

        return jax.lax.cond(left, factorize, lambda: (u, left))

    return jax.lax.cond(left.any(), lambda: jax.lax.map(one, (gain, b, u, left)), lambda: (u, left))


# ---- Arguments and errors ----


def _check_array(name, value):
    """Return ``value`` as a float array, finite as far as that is known; integers become floats."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers: {error}") from None
    if jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool:
        array = array.astype(float)
    if array.dtype not in (jnp.float32, jnp.float64):
        raise TypeError(f"{name} must be float32 or float64, not {array.dtype}")
    value = jax.lax.stop_gradient(array)
    if not isinstance(value, jax.core.Tracer) and not jnp.isfinite(value).all():
        bad = int((~jnp.isfinite(value)).sum())
        raise ValueError(
            f"{name} must be finite, but {bad} of its {value.size} entries are NaN or infinite"
        )
    return array


def _not_converged(W, x, curves, point, tol):
    def of_arrays(curve):
        return lambda z: np.asarray(curve(jnp.asarray(z)))

    arrays = Point(*map(np.asarray, point))
    f, gain = map(of_arrays, curves)
    return _inputs.not_converged(np.asarray(W), np.asarray(x), f, gain, arrays, tol)
