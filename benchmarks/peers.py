"""Each way to do the standard job: ``PEERS[name](job, tol)`` prepares it and returns ``run() -> (r, dJ/dW)``.

tol is the stopping tolerance, in whatever norm that library measures it; ``standard.py`` looks for the
loosest with which the result is good enough. Imports stay inside the functions: every peer runs in a
process of its own.
"""

import numpy as np


def fpnotes(job, tol):
    """This package: solve, then the gradient rule."""
    from fpnotes import gradient, solve

    def run():
        point = solve(job.W, job.x, "tanh", tol=min(tol, 1e-6))
        return point.r, -gradient(job.W, point, job.error(point.r), 1.0, tol=tol)

    return run


def authors(job, tol):
    """The authors' method in PyTorch: 500 Euler steps of 0.01 τ, one inverse per sample; no tolerance."""
    import torch

    W, x, C, y = (torch.from_numpy(a) for a in (job.W, job.x, job.C, job.y))

    def run():
        with torch.no_grad():
            r = torch.zeros_like(x)
            for _ in range(500):
                r = r + 0.01 * (torch.tanh(r @ W.T + x) - r)
            gain = 1 - torch.tanh(r @ W.T + x) ** 2
            p = torch.softmax(r @ C.T, dim=1)
            p[torch.arange(len(y)), y] -= 1
            error = p @ C / len(y)
            identity = torch.eye(len(W), dtype=W.dtype)
            inverses = torch.linalg.inv(identity - gain[:, :, None] * W)
            adjoint = torch.einsum("kji,kj->ki", inverses, error)
            return r.numpy(), ((gain * adjoint).T @ r).numpy()

    return run


def autograd(job, tol):
    """autograd.misc.fixed_points."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.misc.fixed_points import fixed_point
    from autograd.scipy.special import logsumexp

    m, rows = len(job.y), np.arange(len(job.y))

    def phi(W):
        return lambda r: anp.tanh(anp.dot(r, W.T) + job.x)

    def distance(a, b):
        return np.abs(a - b).max()

    def run():
        kept = []

        def loss(W):
            r = fixed_point(phi, W, np.zeros_like(job.x), distance, tol)
            kept.append(r)
            scores = anp.dot(r, job.C.T)
            return anp.sum(logsumexp(scores, axis=1) - scores[rows, job.y]) / m

        _, dW = value_and_grad(loss)(job.W)
        return kept[0]._value, dW

    return run


def _jax(job, solver):
    """Compile the job with JAX, given ``solver(phi, W, r0) -> r``, differentiable in W."""
    import jax
    import jax.numpy as jnp

    W, x, C, y = (jnp.asarray(a) for a in (job.W, job.x, job.C, job.y))
    assert W.dtype == job.W.dtype

    def phi(r, W):
        return jnp.tanh(r @ W.T + x)

    def loss(W):
        r = solver(phi, W, jnp.zeros_like(x))
        scores = r @ C.T
        chosen = jnp.take_along_axis(scores, y[:, None], axis=1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(scores, axis=1) - chosen), r

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run():
        (_, r), dW = jax.block_until_ready(compiled(W))
        return np.asarray(r), np.asarray(dW)

    return run


def jax_while_loop(job, tol):
    """Plain JAX: a while_loop forward, and one backward in a custom VJP."""
    import jax
    import jax.numpy as jnp

    def iterate(step, start, tol):
        def body(state):
            new = step(state[0])
            return new, jnp.abs(new - state[0]).max()

        start = (start, jnp.asarray(jnp.inf, start.dtype))
        return jax.lax.while_loop(lambda state: state[1] > tol, body, start)[0]

    def solver(phi, W, r0):
        @jax.custom_vjp
        def solve(W):
            return iterate(lambda r: phi(r, W), r0, tol)

        def forward(W):
            r = solve(W)
            return r, (W, r)

        def backward(kept, error):
            W, r = kept
            _, vjp = jax.vjp(phi, r, W)
            largest = jnp.abs(error).max()
            adjoint = iterate(lambda v: vjp(v)[0] + error, error, tol * largest)
            return (vjp(adjoint)[1],)

        solve.defvjp(forward, backward)
        return solve(W)

    return _jax(job, solver)


def jaxopt(job, tol):
    """jaxopt.FixedPointIteration, its adjoint by BiCGStab."""
    from functools import partial

    from jaxopt import FixedPointIteration
    from jaxopt.linear_solve import solve_bicgstab

    def solver(phi, W, r0):
        return (
            FixedPointIteration(
                phi,
                maxiter=200,
                tol=tol,
                implicit_diff_solve=partial(solve_bicgstab, tol=tol, maxiter=200),
            )
            .run(r0, W)
            .params
        )

    return _jax(job, solver)


def optimistix(job, tol):
    """optimistix.fixed_point with FixedPointIteration, its adjoint by Lineax's BiCGStab."""
    import lineax
    import optimistix as optx

    def solver(phi, W, r0):
        return optx.fixed_point(
            phi,
            optx.FixedPointIteration(rtol=tol, atol=tol),
            r0,
            W,
            adjoint=optx.ImplicitAdjoint(lineax.BiCGStab(rtol=tol, atol=1e-3 * tol)),
            max_steps=200,
        ).value

    return _jax(job, solver)


def torchdeq(job, tol):
    """TorchDEQ's fixed_point_iter, forward and backward."""
    import torch
    from torchdeq import get_deq

    W, x, C, y = (torch.from_numpy(a) for a in (job.W, job.x, job.C, job.y))
    deq = get_deq(
        ift=True,
        f_solver="fixed_point_iter",
        b_solver="fixed_point_iter",
        f_max_iter=200,
        b_max_iter=200,
        f_tol=tol,
        b_tol=tol,
        f_stop_mode="abs",
        b_stop_mode="rel",
    )
    deq.train()

    def run():
        weights = W.clone().requires_grad_()
        out, _ = deq(lambda r: torch.tanh(r @ weights.T + x), torch.zeros_like(x))
        r = out[-1]
        torch.nn.functional.cross_entropy(r @ C.T, y).backward()
        return r.detach().numpy(), weights.grad.numpy()

    return run


def fpnotes_torch(job, tol):
    """This package inside PyTorch."""
    import torch

    from fpnotes.frameworks.torch import fixed_point

    W, x, C, y = (torch.from_numpy(a) for a in (job.W, job.x, job.C, job.y))

    def run():
        weights = W.clone().requires_grad_()
        r = fixed_point(weights, x, "tanh", tol=tol)
        torch.nn.functional.cross_entropy(r @ C.T, y).backward()
        return r.detach().numpy(), weights.grad.numpy()

    return run


def fpnotes_jax(job, tol):
    """This package inside JAX."""
    import jax.numpy as jnp

    from fpnotes.frameworks.jax import fixed_point

    x = jnp.asarray(job.x)
    return _jax(job, lambda phi, W, r0: fixed_point(W, x, "tanh", tol=tol))


def floor(job, tol):
    """The matrix products of plain iteration alone, in NumPy: nothing else, into an array that is there."""
    forward, backward = job.products()
    r, out, dW = np.tanh(job.x), np.empty_like(job.x), np.empty_like(job.W)

    def run():
        for _ in range(forward):
            np.matmul(r, job.W.T, out=out)
        for _ in range(backward):
            np.matmul(r, job.W, out=out)
        np.matmul(r.T, out, out=dW)

    return run


PEERS = {
    "fpnotes": fpnotes,
    "fpnotes in PyTorch": fpnotes_torch,
    "fpnotes in JAX": fpnotes_jax,
    "authors' method": authors,
    "autograd": autograd,
    "jaxopt": jaxopt,
    "optimistix": optimistix,
    "TorchDEQ": torchdeq,
    "plain JAX": jax_while_loop,
    "matrix products alone": floor,
}
