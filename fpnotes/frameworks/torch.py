"""The fixed point as a differentiable function of PyTorch tensors, and the rules as its backward pass.

The solve leaves no trace: one more evaluation r = f(W r + x) does, by which PyTorch knows everything but
what the error does on its way around the loop. An ``autograd.Function`` behind it lets the error settle:

- forward, it returns r;
- backward, it turns the error e = ∂J/∂r into the adjoint λ, (I − GW)ᵀλ = e, and PyTorch does the rest:
  ∂J/∂x = Gλ, ∂J/∂W = Σ (Gλ) rᵀ (book: eq-adjoint, eq-gradient), and the same for whatever else f is made
  of.

For another rule it returns that rule's direction for W, with no adjoint to solve.

It has been tried on processors alone. There is nothing in it that a GPU lacks, but it has not run on one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fpnotes._extras import needs
from fpnotes.frameworks import _inputs
from fpnotes.frameworks._solver import Library, Point, factorized, find, named_curve, resolvent
from fpnotes.rules import FACTORS

with needs("torch", "fpnotes.frameworks.torch"):
    import torch

__all__ = ["fixed_point"]

# Rows whose adjoint products do not solve are factorized so many entries of their matrices at a time.
CHUNK = 2_000_000


def fixed_point(
    W: torch.Tensor,
    x: torch.Tensor,
    activation: str | Callable[..., Any] = "tanh",
    *,
    rule: str = "gradient",
    r0: torch.Tensor | None = None,
    tol: float | None = None,
    max_steps: int = 1000,
) -> torch.Tensor:
    """Return the fixed point r = f(W r + x), which PyTorch can differentiate once.

    Parameters
    ----------
    W : (N, N) tensor
        Recurrent weights, ``W[i, j]`` from neuron j to neuron i; float32 or float64.
    x : (..., N) tensor
        Inputs, one row per sample, on W's device.
    activation : str or callable
        The f–I curve: "linear", "tanh", "relu", "softplus", "powerlaw", or an elementwise function of
        tensors, whose gain PyTorch finds. Tensors that the function holds, such as the parameters of a
        module, get their gradients.
    rule : {"gradient", "linearized", "linearized_without_gains", "without_transport", "jacobian_free"}
        What W gets as its gradient: the gradient, or minus that rule's update in :mod:`fpnotes.rules` at η
        = 1, which any optimizer takes for it. A rule says nothing of x, nor of what f holds: they get
        the gradient under every rule, and its adjoint equation is solved where one of them requires it.
    r0 : (..., N) tensor, optional
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
    r : (..., N) tensor
        In float32 when W and x both are, else in float64.

    Raises
    ------
    fpnotes.ConvergenceError
        When a sample did not converge; its ``point`` holds the result in NumPy's arrays. In the backward
        pass, when the adjoint equation of a sample is so nearly singular that fewer than three digits of λ
        are sure.
    ValueError, TypeError
        When an argument has the wrong shape, type or value. The reparameterized rule is refused, since its
        update is no multiple of η, which only the optimizer knows.
    RuntimeError
        When r is differentiated twice.

    Examples
    --------
    >>> import torch
    >>> from fpnotes.frameworks.torch import fixed_point
    >>> W = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    >>> x = torch.tensor([[1.0, 2.0], [0.5, 0.0]], dtype=torch.float64)
    >>> optimizer = torch.optim.SGD([W], lr=0.05)
    >>> for _ in range(300):
    ...     optimizer.zero_grad()
    ...     loss = (fixed_point(W, x, "linear", rule="linearized") - 2 * x).square().sum()
    ...     loss.backward()
    ...     optimizer.step()
    >>> W.detach().numpy().round(2)  # (I − W)⁻¹x = 2x
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    _inputs.check_rule(rule)
    _inputs.check_activation(activation, "tensors")
    _check_tensors(W=W, x=x, **({} if r0 is None else {"r0": r0}))
    _inputs.check_shapes(W, x, r0)
    dtype = torch.promote_types(W.dtype, x.dtype)
    tol, max_steps = _inputs.check_options(tol, max_steps, str(dtype).removeprefix("torch."))
    W, rows = W.to(dtype), x.to(dtype).reshape(-1, len(W))
    f, gain = _curve(activation)
    # What torch.autocast rounds to half precision has no digits left for a certificate.
    with torch.autocast(W.device.type, enabled=False):
        with torch.no_grad():
            start = None if r0 is None else r0.to(dtype).expand(x.shape).reshape(rows.shape)
            point = _solve(W, rows, activation, f, gain, start, tol, max_steps)
            if not point.converged.all():
                raise _not_converged(W, rows.reshape(x.shape), f, gain, point, tol)
        if not torch.is_grad_enabled():
            return point.r.reshape(x.shape)
        through = W if rule == "gradient" else W.detach()
        rate = f(point.r @ through.T + rows)
        linear = activation == "linear"
        r = _Settled.apply(rate, W, point.r, point.gain, point.recurrent, rule, tol, linear)
    return r.reshape(x.shape)


class _Settled(torch.autograd.Function):
    """From f(W r + x) to r, the same numbers; backward, from ∂J/∂r to λ and the rule's direction."""

    @staticmethod
    def forward(rate, W, r, gain, recurrent, rule, tol, linear):
        return r.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        rate, W, r, gain, recurrent, ctx.rule, ctx.tol, ctx.linear = inputs
        ctx.save_for_backward(rate, W, r, gain, recurrent)

    @staticmethod
    def backward(ctx, error):
        rate, W, r, gain, recurrent = ctx.saved_tensors
        bars = [None] * 8
        with torch.no_grad(), torch.autocast(W.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                bars[0] = _adjoint(W, gain, error, ctx.tol, ctx.linear)
            if ctx.rule != "gradient" and ctx.needs_input_grad[1]:
                left, right = FACTORS[ctx.rule](W, gain, r, recurrent, error)
                bars[1] = left.T @ right
        if torch.is_grad_enabled():
            bars = [None if bar is None else _Once.apply(bar, error, rate, W) for bar in bars]
        return tuple(bars)


class _Once(torch.autograd.Function):
    """Return the first argument, whose derivative in the others is not known."""

    @staticmethod
    def forward(bar, error, rate, W):
        return bar.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad_output):
        raise RuntimeError("fpnotes.frameworks.torch.fixed_point can be differentiated only once")


# ---- The solver's library ----


def _loop(condition, body, state):
    while condition(state):
        state = body(state)
    return state


def _solve_stack(K, b):
    u, info = torch.linalg.solve_ex(K, b[..., None])
    return torch.where((info == 0)[..., None], u[..., 0], torch.nan)


def _inverse(K):
    inverse, info = torch.linalg.inv_ex(K)
    return torch.where((info == 0)[..., None, None], inverse, torch.nan)


def _identity(n, a):
    return torch.eye(n, dtype=a.dtype, device=a.device)


def _signs(b):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], tuple(b.shape))
    return torch.as_tensor(signs, dtype=b.dtype, device=b.device)


LIBRARY = Library(
    torch,
    loop=_loop,
    choose=lambda condition, yes, no: yes() if condition else no(),
    solve=_solve_stack,
    inverse=_inverse,
    identity=_identity,
    signs=_signs,
)


def _curve(activation):
    """Return f and f′, as functions of tensors that check what a function of the user's returns."""
    if isinstance(activation, str):
        return named_curve(torch, activation)

    def f(z):
        with _inputs.raised_by_curve("tensors", "PyTorch"):
            rate = activation(z)
        _inputs.check_elementwise(z, rate)
        return rate

    def gain(z):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            total = f(z).sum()
            with _inputs.raised_by_curve("tensors", "PyTorch"):
                (slope,) = torch.autograd.grad(total, z)
        return slope

    return f, gain


def _solve(W, x, activation, f, gain, start, tol, max_steps):
    if activation == "linear":
        start = _linear_solve(_identity(len(W), W) - W, x)
    elif start is None:
        start = f(x)
    return find(LIBRARY, W, x, f, gain, start, tol, max_steps)


def _linear_solve(K, rows):
    """Solve K u = b for every row b of (m, N), by one factorization; NaN where K is singular."""
    u, info = torch.linalg.solve_ex(K, rows.T)
    return torch.where(info == 0, u.T, torch.nan)


def _adjoint(W, gain, error, tol, linear):
    """Solve (I − GW)ᵀλ = e for every row, (m, N), or raise."""
    start = (lambda b: _linear_solve((_identity(len(W), W) - W).T, b)) if linear else None
    u, left = resolvent(LIBRARY, W, gain, error, tol, start)
    lost = 0
    for rows in left.nonzero()[:, 0].split(max(1, CHUNK // W.numel())):
        u[rows], failed = factorized(LIBRARY, W, gain[rows], error[rows])
        lost += int(failed.sum())
    if lost:
        raise _inputs.not_solvable(lost, len(error))
    return u


# ---- Arguments and errors ----


def _check_tensors(**tensors):
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a tensor, not {type(tensor).__name__}")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} must be float32 or float64, not {tensor.dtype}")
        if tensor.device != tensors["W"].device:
            raise ValueError(
                f"{name} must be on the device of W, {tensors['W'].device}, not on {tensor.device}"
            )
        if not tensor.isfinite().all():
            bad = (~tensor.isfinite()).sum()
            raise ValueError(
                f"{name} must be finite, but {bad} of its {tensor.numel()} entries are NaN or infinite"
            )


def _not_converged(W, x, f, gain, point, tol):
    def of_arrays(curve):
        return lambda z: curve(torch.as_tensor(z, device=W.device)).numpy(force=True)

    arrays = Point(*(tensor.numpy(force=True) for tensor in point))
    W, x = W.numpy(force=True), x.numpy(force=True)
    return _inputs.not_converged(W, x, of_arrays(f), of_arrays(gain), arrays, tol)
