"""A batch's fixed points and their adjoint equation, in the arrays of PyTorch and of JAX alike.

What the two libraries name alike is called by that name; what they do not is in :class:`Library`. JAX
compiles loops over arrays of one shape, so a sample that has converged stays in the batch, and is no longer
moved.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from fpnotes._certificate import DIGITS, ROUNDINGS
from fpnotes._iterations import Anderson, Relaxation
from fpnotes.implicit import PROBE, WORST

RELAX_FIRST = 80
THEN_ANDERSON = 200


@dataclass(frozen=True)
class Library:
    """What is called differently in the libraries, and ``xp``, the module of all else."""

    xp: Any
    loop: Callable  # loop(condition, body, state) -> state
    choose: Callable  # choose(condition, yes, no) -> yes() or no()
    solve: Callable  # solve(K, b), of (k, n, n) and (k, n); not finite where K is singular
    inverse: Callable  # inverse(K), of (k, n, n); not finite where K is singular
    identity: Callable  # identity(n, a), (n, n), of a's dtype and on its device
    signs: Callable  # signs(b), random signs of b's shape, dtype and device, always the same

    def largest(self, a: Any) -> Any:
        """Return the largest modulus of every row: (m, N) → (m,)."""
        return self.xp.amax(abs(a), 1)


def named_curve(xp, name):
    """Return f and f′, as :mod:`fpnotes.activations` defines them, for a name."""

    def above(z):
        return xp.where(z > 0, z, xp.zeros_like(z))

    curves = {
        "linear": (lambda z: z, xp.ones_like),
        "tanh": (xp.tanh, lambda z: 1 - xp.tanh(z) ** 2),
        "relu": (above, lambda z: xp.where(z > 0, xp.ones_like(z), xp.zeros_like(z))),
        "softplus": (
            lambda z: xp.logaddexp(z, xp.zeros_like(z)),
            lambda z: 0.5 * (1 + xp.tanh(z / 2)),
        ),
        "powerlaw": (lambda z: above(z) ** 2, lambda z: 2 * above(z)),
    }
    return curves[name]


# ---- Two ways to a fixed point of a map φ; see fpnotes._iterations ----
#
# Each takes phi (m, N) → (m, N), a start r, limit(r), the largest residual of each row that will do, and a
# number of steps. It returns where it ended, which rows are not within their limit there, and how many
# steps each row took.


def _look(lib, phi, limit, r):
    """Return φ(r) − r, its largest entry in each row, and which rows must move on."""
    residual = phi(r) - r
    size = lib.largest(residual)
    # A row that overflowed has nowhere to go; NaN compares as false.
    return residual, size, (size > limit(r)) & lib.xp.isfinite(size)


def _left(lib, size, limit):
    return ~(size <= limit)


def relax(lib, phi, r, limit, steps):
    """Follow r ← r + α(φ(r) − r), with an α for each row, halved when its residual stops falling."""
    xp = lib.xp

    def body(state):
        count, r, residual, size, moving, taken, alpha, best, waited = state
        better = size < best
        best = xp.where(better, size, best)
        waited = xp.where(better, xp.zeros_like(waited), waited + 1)
        stalled = waited >= Relaxation.patience
        alpha = xp.where(stalled, alpha / 2, alpha)
        best = xp.where(stalled, size, best)
        waited = xp.where(stalled, xp.zeros_like(waited), waited)
        r = xp.where(moving[:, None], r + alpha[:, None] * residual, r)
        residual, size, now = _look(lib, phi, limit, r)
        return count + 1, r, residual, size, now & moving, taken + moving, alpha, best, waited

    look = _look(lib, phi, limit, r)
    zeros, ones = xp.zeros_like(look[1]), xp.ones_like(look[1])
    state = (0, r, *look, zeros, ones, ones * float("inf"), zeros)
    state = lib.loop(lambda state: (state[0] < steps) & state[4].any(), body, state)
    _, r, _, size, _, taken, *_ = state
    return r, _left(lib, size, limit(r)), taken


def anderson(lib, phi, r, limit, steps):
    """Anderson acceleration, with the memory and the ridge of :class:`fpnotes._iterations.Anderson`."""
    xp, memory = lib.xp, Anderson.memory

    def correction(residual, dr, dF):
        gram = dF @ xp.swapaxes(dF, 1, 2)
        scale = (dF**2).sum(2) ** 0.5
        scale = xp.where(scale > 0, scale, xp.ones_like(scale))
        gram = gram / (scale[:, :, None] * scale[:, None, :])
        gram = gram + 10 * xp.finfo(r.dtype).eps * lib.identity(memory, gram)
        gamma = lib.solve(gram, (dF @ residual[:, :, None])[:, :, 0] / scale) / scale
        return (gamma[:, None] @ (dr + dF))[:, 0]

    def body(state):
        count, r, residual, size, moving, taken, dr, dF = state
        new = xp.where(moving[:, None], r + residual - correction(residual, dr, dF), r)
        look, size, now = _look(lib, phi, limit, new)
        # The oldest change is forgotten; one of 0, as at first, has no weight.
        dr = xp.concatenate([dr[:, 1:], (new - r)[:, None]], 1)
        dF = xp.concatenate([dF[:, 1:], (look - residual)[:, None]], 1)
        return count + 1, new, look, size, now & moving, taken + moving, dr, dF

    look = _look(lib, phi, limit, r)
    empty = xp.concatenate([xp.zeros_like(r)[:, None]] * memory, 1)
    state = (0, r, *look, xp.zeros_like(look[1]), empty, empty)
    state = lib.loop(lambda state: (state[0] < steps) & state[4].any(), body, state)
    _, r, _, size, _, taken, *_ = state
    return r, _left(lib, size, limit(r)), taken


# ---- The fixed point ----


class Point(NamedTuple):
    """A batch's fixed points: what :class:`fpnotes.FixedPoint` holds, as rows of the library's arrays."""

    r: Any
    gain: Any
    recurrent: Any
    residual: Any
    converged: Any
    steps: Any


def drive(lib, W, x, f, gain, r):
    """Return the largest ``|b|`` of each row, b = f(z) − GWr, and its parts: f(z), the gains and W r."""
    recurrent = r @ W.T
    rate, g = f(recurrent + x), gain(recurrent + x)
    return lib.largest(rate - g * recurrent), rate, g, recurrent


def certify(lib, W, x, f, gain, tol, r, steps, exact=True):
    """Return a :class:`Point`, judged as :mod:`fpnotes._certificate` says.

    Roundings are those of the sums as they are, for one more product; unless ``exact``, bounds on them,
    which refuse some rows that have converged.
    """
    xp, eps = lib.xp, lib.xp.finfo(r.dtype).eps
    input_size, rate, g, recurrent = drive(lib, W, x, f, gain, r)
    residual, size, arrives = lib.largest(rate - r), lib.largest(r), lib.largest(g * x)
    if exact:
        weight = abs(g) * (abs(r) @ abs(W).T)
    else:
        weight = (lib.largest(g) * size * abs(W).sum(1).max())[:, None]
    rounding = eps * lib.largest(abs(rate) + weight + abs(g * x))
    survives = eps * lib.largest(abs(r) + weight) <= DIGITS * input_size
    # Only a network without input has none to lose.
    survives = survives | ((arrives == 0) & (lib.largest(f(xp.zeros_like(x[:1]))) == 0))
    good = residual <= tol * xp.minimum(size, input_size)
    if exact:
        good = good | (residual <= ROUNDINGS * rounding)
    left = DIGITS * xp.maximum(xp.maximum(size, input_size), arrives.clip(max=1))
    good = good & survives & (rounding <= left) & xp.isfinite(residual) & xp.isfinite(g).all(1)
    return Point(r, g, recurrent, residual, good, steps)


def find(lib, W, x, f, gain, r, tol, max_steps):
    """Find r = f(W r + x) for every row of x: by relaxation, and what that leaves by Anderson acceleration.

    Parameters
    ----------
    lib : Library
    W, x, r : (N, N), (m, N) and (m, N) arrays
        r is where to start.
    f, gain : callable
    tol : float
    max_steps : int

    Returns
    -------
    Point
        Where a row did not converge, r is where relaxation ended.
    """
    xp = lib.xp

    def phi(r):
        return f(r @ W.T + x)

    def run(method, most, r, steps, input_size):
        def limit(r):
            # A little more than is asked: the same residual, computed again, may differ by roundings.
            return 0.9 * tol * xp.minimum(lib.largest(r), input_size)

        r, _, taken = method(lib, phi, r, limit, min(max_steps, most))
        return r, steps + taken

    def go_on():
        there = certify(lib, W, x, f, gain, tol, near.r, near.steps).converged[:, None]
        # How small b is is known only near a fixed point, and from there on it counts.
        r, steps = run(relax, RELAX_FIRST, near.r, near.steps, drive(lib, W, x, f, gain, near.r)[0])
        settled = xp.where(there, near.r, r)
        for _ in range(2):
            r, steps = run(anderson, THEN_ANDERSON, r, steps, drive(lib, W, x, f, gain, r)[0])
        arrived = certify(lib, W, x, f, gain, tol, r, steps).converged[:, None]
        r = xp.where(arrived & ~there, r, settled)
        return certify(lib, W, x, f, gain, tol, r, steps)

    once = xp.ones_like(lib.largest(r))
    near = certify(
        lib, W, x, f, gain, tol, *run(relax, RELAX_FIRST, r, once, once * float("inf")), exact=False
    )
    return lib.choose(near.converged.all(), lambda: near, go_on)


# ---- The linear system ----


def resolvent(lib, W, gain, b, tol, start=None, transpose=True):
    """Solve (I − GW)ᵀu = b, the adjoint equation, for every row by products, as far as that leads.

    As in :func:`fpnotes.implicit.resolvent`: a row is solved when its residual is within tol of b's largest
    entry, and a random right-hand side shows that this residual hides no error in a nearly singular
    direction.

    Parameters
    ----------
    lib : Library
    W, gain, b : (N, N), (m, N) and (m, N) arrays
    tol : float
    start : callable, optional
        ``start(b)`` returns where to begin, by default at b.
    transpose : bool
        False to solve (I − GW)u = b instead.

    Returns
    -------
    u : (m, N) array
    left : (m,) bool array
        The rows that must be solved by :func:`factorized`.
    """
    xp = lib.xp
    size = lib.largest(b)
    unit = xp.where(size > 0, size, xp.ones_like(size))[:, None]

    def products(b, tol):
        def phi(u):
            return ((gain * u) @ W if transpose else gain * (u @ W.T)) + b

        def limit(u):
            return tol  # every b is of size 1

        u, left, _ = relax(lib, phi, b if start is None else start(b), limit, 60)
        return lib.choose(
            left.any(), lambda: anderson(lib, phi, u, limit, 200)[:2], lambda: (u, left)
        )

    u, left = products(b / unit, tol)
    probe, unsure = products(lib.signs(b), PROBE)
    hidden = tol * lib.largest(probe) > max(WORST, 100 * tol) * lib.largest(u)
    # What is not finite has no solution, and no other way to one.
    return u * unit, (left | unsure | hidden) & (size > 0) & xp.isfinite(size)


def factorized(lib, W, gain, b, transpose=True):
    """Solve (I − GW)ᵀu = b, or (I − GW)u = b, for some rows by an inverse each, and bound the error.

    Returns
    -------
    u : (k, N) array
    lost : (k,) bool array
        Where fewer than three digits are sure, by the bound of ``fpnotes._linear.solve_bounded``.
    """
    GW = gain[:, :, None] * W
    inverse = lib.inverse(lib.identity(len(W), W) - GW)

    def times(matrices, rows):
        if transpose:
            return (rows[:, None] @ matrices)[:, 0]
        return (matrices @ rows[:, :, None])[:, :, 0]

    def residual(u):
        return b - u + times(GW, u)

    u = times(inverse, b)
    u = u + times(inverse, residual(u))
    rounding = lib.xp.finfo(b.dtype).eps * (abs(u) + times(abs(GW), abs(u)) + abs(b))
    error = lib.largest(times(abs(inverse), abs(residual(u)) + rounding))
    return u, ~(error <= WORST * lib.largest(u))
