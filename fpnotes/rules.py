"""Learning rules: from a fixed point and its error to a change of the weights.

Every rule is a function ``rule(W, point, error, lr) -> dW``. ``point`` is what
:func:`fpnotes.solvers.solve` returned for the batch, and ``error`` is ∂J/∂r there, shape (m, N): any
1/m of a mean loss is already in it. A rule returns an array of its own, and leaves all that it is given as
it was.

A step is proportional to lr unless the rule says otherwise by the attribute ``proportional_to_lr = False``,
as :func:`reparameterized` does. A rule made from another passes the attribute on:
:class:`fpnotes.optimizers.Adam`, which divides steps by their size, refuses where it is False.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, Protocol

import numpy as np

from fpnotes._inputs import check_count, check_square_matrix
from fpnotes._rows import parts
from fpnotes._steps import check_step, finite_step, linear_response, solve_unless_singular
from fpnotes._types import ArrayLike, FloatArray, Real
from fpnotes.implicit import adjoint
from fpnotes.network import SingularityError
from fpnotes.solvers import FixedPoint

__all__ = [
    "Rule",
    "gradient",
    "jacobian_free",
    "linearized",
    "linearized_without_gains",
    "natural",
    "reparameterized",
    "truncated",
    "without_transport",
]


class Rule(Protocol):
    """What a learning rule is: any function that can be called in this way.

    It takes the weights, the fixed points at them, ∂J/∂r there and the learning rate η, and returns the
    change of the weights, as the module says. The names of the arguments are free: they are given by
    position.

    Examples
    --------
    >>> import fpnotes as fp
    >>> def halved(W, point, error, lr):
    ...     return fp.linearized(W, point, error, lr) / 2
    >>> task = fp.LinearRegression.one_neuron()
    >>> fp.train(task, halved, lr=10.0, steps=3, progress=False).steps
    3
    """

    def __call__(
        self, W: FloatArray, point: FixedPoint, error: FloatArray, lr: float, /
    ) -> FloatArray:
        """Return dW, (N, N)."""
        ...


def gradient(
    W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real, *, tol: Real | None = None
) -> FloatArray:
    """Return the gradient rule's update ΔW₁ = −η Σ (Gλ) rᵀ, with (I − GW)ᵀλ = e.

    This is steepest descent on J in the Euclidean metric on W; in this form it is recurrent
    backpropagation (Almeida 1987; Pineda 1987). [ZR24] ΔW₁; book: eq-gradient.

    Parameters
    ----------
    W : (N, N) array_like
        Recurrent weights; left as they are.
    point : FixedPoint
        The fixed points at W, (..., N).
    error : (..., N) array_like
        ∂J/∂r at each sample's fixed point.
    lr : float
        Learning rate η > 0.
    tol : float, optional
        How far the adjoint equation is solved, relative to e; see :func:`fpnotes.implicit.resolvent`.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    ConvergenceError
        When a sample of ``point`` had not converged, or its adjoint equation is so nearly singular that
        fewer than three digits of λ are sure; see :func:`fpnotes.implicit.resolvent`.
    FloatingPointError
        When the step is beyond the range of its dtype.
    ValueError, TypeError
        When an argument has the wrong shape, type or value.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")  # r = 2
    >>> fp.gradient(point.W, point, error=[[1.0]], lr=0.1)  # −η λ r, with λ = 1/(1 − 0.5)
    array([[-0.4]])
    """
    W, error, lr = check_step(W, point, error, lr)

    def factors(g, r, _, e):
        return adjoint(W, g, e, tol, point._factors), r

    return _sum_of_outer(factors, point, error, lr)


def reparameterized(W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real) -> FloatArray:
    """Return the reparameterized rule's update ΔW₂ = B − (B⁻¹ − η ∇_A J)⁻¹, with B = G⁻¹ − W.

    It is the step that gradient descent on the response matrix A = B⁻¹ takes, seen in W. With samples
    as the columns of X and E it equals −ηBE (I − η XᵀBE)⁻¹ XᵀB, so it needs no inverse but one
    factorization of the smaller of m and N. [ZR24] ΔW₂; book: eq-reparameterized, eq-woodbury.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`gradient`. The network must be linear where it rests: r = Gz, with one G for all samples.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    SingularityError
        When the step lands on a singular A, which no W has; the message says which η are safe.
    ValueError
        When it is not: then A is not one matrix.
    ConvergenceError, FloatingPointError, TypeError
        As :func:`gradient`.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")  # A = 2
    >>> fp.reparameterized(point.W, point, error=[[1.0]], lr=1.0)  # to A = 2 − η: 1/2 − 1/1
    array([[-0.5]])
    """
    W, error, lr = check_step(W, point, error, lr)
    with np.errstate(all="ignore"):
        B, error, x = linear_response(W, point, error)
        B_error, x_B = error @ B.T, x @ B
        # Of two ways to write ΔW₂ = −η left (I − η middle)⁻¹ right, the one with the smaller middle.
        if len(x) < len(W):
            left, middle, right = B_error.T, x_B @ error.T, x_B
        else:
            left, middle, right = None, B_error.T @ x, B_error.T @ x_B
        change = finite_step(lr * middle)
        solved = solve_unless_singular(np.eye(len(middle), dtype=W.dtype) - change, right)
        if solved is None:
            # A is singular at lr = 1/pole for every real positive pole. Rounding may have made this one
            # complex; below the inverse of the largest modulus there is none of any kind.
            poles = np.linalg.eigvals(change)
            real = poles.real[(np.abs(poles.imag) <= 1e-6 * np.abs(poles)) & (poles.real > 0)]
            safe = lr / (real if real.size else np.abs(poles)).max()
            raise SingularityError(
                f"a step of lr={lr:g} lands on a singular A, which no W has; every lr below "
                f"{safe:.6g} is safe here"
            )
        return finite_step(-lr * (solved if left is None else left @ solved))


def _linearized(W, g, r, recurrent, e):
    left, right = g * e, r - g * recurrent
    return left - (g * left) @ W.T, right - (g * right) @ W


def linearized(W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real) -> FloatArray:
    """Return the linearized rule's update ΔW₃ = −η Σ [(I − WG)Ge][(I − GW)ᵀ(I − GW)r]ᵀ.

    In a linear network, where G = I, it is ΔW₂ to first order in η, −ηB ∇_A J B. No inverse and no
    linear solve: W r being known, two products of (m, N) by (N, N), and one of (N, m) by (m, N).
    [ZR24] ΔW₃; book: eq-linearized, eq-linearized-nonlinear.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`gradient`; any activation.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    ConvergenceError, FloatingPointError, ValueError, TypeError
        As :func:`gradient`.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")  # r = 2
    >>> fp.linearized(point.W, point, error=[[1.0]], lr=0.1)  # −η (0.5 e)(0.5² r)
    array([[-0.025]])
    """
    W, error, lr = check_step(W, point, error, lr)
    return _sum_of_outer(partial(_linearized, W), point, error, lr)


def _linearized_without_gains(W, g, r, recurrent, e):
    right = r - (g * r) @ W.T
    return e - (g * e) @ W.T, right - g * (right @ W)


def linearized_without_gains(
    W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real
) -> FloatArray:
    """Return ΔW₄ = −η Σ [(I − WG)e][(I − WG)ᵀ(I − WG)r]ᵀ, a later variant of ΔW₃.

    It stands in the repository of [ZR24]'s authors and drops gains from :func:`linearized`, whose
    arguments and errors it shares. Book: eq-without-gains.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "tanh")
    >>> dW = fp.linearized_without_gains(point.W, point, error=[[1.0]], lr=0.1)
    >>> dW.round(4)
    array([[-0.0654]])
    """
    W, error, lr = check_step(W, point, error, lr)
    return _sum_of_outer(partial(_linearized_without_gains, W), point, error, lr)


def _without_transport(W, g, r, recurrent, e):
    sent = g * e
    return sent - (g * sent) @ W.T, r


def without_transport(W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real) -> FloatArray:
    """Return ΔW_s = −η Σ [(I − WG)Ge] rᵀ, which needs no transposed weight and no second settling.

    The receiver's factor is that of :func:`linearized`, the sender's that of :func:`gradient`. Each sample's
    term lowers that sample's own loss, to first order; their sum need not lower the batch's. One product of
    (m, N) by (N, N), and one of (N, m) by (m, N). Book: thm-no-transport.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`gradient`; any activation.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    ConvergenceError, FloatingPointError, ValueError, TypeError
        As :func:`linearized`.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")  # r = 2
    >>> fp.without_transport(point.W, point, error=[[1.0]], lr=0.1)  # −η (0.5 e) r
    array([[-0.1]])
    """
    W, error, lr = check_step(W, point, error, lr)
    return _sum_of_outer(partial(_without_transport, W), point, error, lr)


def _jacobian_free(W, g, r, recurrent, e):
    return g * e, r


def jacobian_free(W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real) -> FloatArray:
    """Return −η Σ (Ge) rᵀ, the gradient's step with the error itself in place of the adjoint.

    This is Jacobian-free backpropagation (Fung et al. 2022), :func:`truncated` with k = 0. It lowers each
    sample's own loss, to first order and whatever the error, where every eigenvalue of ½(WG + GWᵀ) is
    below 1. One product of (N, m) by (m, N). Book: thm-truncated.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`gradient`; any activation.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    ConvergenceError, FloatingPointError, ValueError, TypeError
        As :func:`linearized`.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")  # r = 2
    >>> fp.jacobian_free(point.W, point, error=[[1.0]], lr=0.1)  # −η e r
    array([[-0.2]])
    """
    W, error, lr = check_step(W, point, error, lr)
    return _sum_of_outer(partial(_jacobian_free, W), point, error, lr)


def truncated(W: ArrayLike, point: FixedPoint, error: ArrayLike, lr: Real, *, k: int) -> FloatArray:
    """Return −η Σ (Gλₖ) rᵀ, with λₖ = e + WᵀGe + … + (WᵀG)ᵏe: the adjoint's series, cut after k products.

    For k → ∞ it is :func:`gradient`'s step where the spectral radius of GW is below 1. Where it is above 1,
    as in many stable networks, the series diverges, and λₖ is the farther off the larger k is. k products
    of (m, N) by (N, N), and one of (N, m) by (m, N). Book: eq-truncated.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`gradient`; any activation.
    k : int
        Products in the series, 0 or more.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    ConvergenceError, FloatingPointError, ValueError, TypeError
        As :func:`linearized`.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")  # r = 2
    >>> fp.truncated(point.W, point, error=[[1.0]], lr=0.1, k=1)  # −η (1 + 0.5) e r
    array([[-0.3]])
    """
    W, error, lr = check_step(W, point, error, lr)
    k = check_count("k", k, least=0)

    def factors(g, r, _, e):
        adjoint = e
        for _ in range(k):
            adjoint = e + (g * adjoint) @ W
        return g * adjoint, r

    return _sum_of_outer(factors, point, error, lr)


def natural(
    W: ArrayLike,
    point: FixedPoint,
    error: ArrayLike,
    lr: Real,
    *,
    covariance: ArrayLike | None = None,
) -> FloatArray:
    """Return the natural gradient's update −ηB ∇_A J Σ⁻¹B, with Σ the second moment of the inputs.

    This is steepest descent under the Fisher metric of y ~ N(Ax, σ²I); for white inputs it is ΔW₃ with
    another η. Source: Amari 1998; book: eq-natural.

    Parameters
    ----------
    W, point, error, lr
        As in :func:`reparameterized`; the network must be linear.
    covariance : (N, N) array_like, optional
        Σ, positive definite. By default that of the batch, (1/m) Σ xxᵀ, with its pseudoinverse where m < N.

    Returns
    -------
    dW : (N, N) array

    Raises
    ------
    ConvergenceError, FloatingPointError, ValueError, TypeError
        As :func:`reparameterized`.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0]], "linear")
    >>> fp.natural(point.W, point, error=[[1.0]], lr=0.1, covariance=[[2.0]])  # −η (0.5 e)(x/2) 0.5
    array([[-0.0125]])
    """
    W, error, lr = check_step(W, point, error, lr)
    with np.errstate(all="ignore"):
        B, error, x = linear_response(W, point, error)
        if covariance is None:
            # XᵀΣ⁺ is m times the pseudoinverse of X.
            whitened = len(x) * np.linalg.pinv(x).T
        else:
            covariance = check_square_matrix("covariance", covariance)
            if covariance.shape != W.shape:
                raise ValueError(
                    f"covariance must have W's shape {W.shape}, not {covariance.shape}"
                )
            symmetric = np.allclose(covariance, covariance.T, rtol=1e-5, atol=0)
            if not (symmetric and np.linalg.eigvalsh(covariance).min() > 0):
                raise ValueError("covariance must be symmetric and positive definite")
            whitened = np.linalg.solve(covariance, x.T).T
        return finite_step(-lr * (error @ B.T).T @ (whitened @ B))


reparameterized.proportional_to_lr = False  # pyright: ignore[reportFunctionMemberAccess]

# The two factors of a sample's update, −η left rightᵀ, for rows of gains, r, W r and the error: plain
# arithmetic, which arrays of other libraries understand too.
FACTORS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "linearized": _linearized,
    "linearized_without_gains": _linearized_without_gains,
    "without_transport": _without_transport,
    "jacobian_free": _jacobian_free,
}


def _sum_of_outer(factors, point, error, lr):
    """Return −η Σ over samples of left rightᵀ, (N, N), a matrix product for each part of the batch.

    ``factors`` returns left and right, one row per sample, for rows of the gains, r, W r and the error.
    """
    n = len(point.W)
    batch = [a.reshape(-1, n) for a in (point.gain, point.r, point.recurrent, error)]

    def product(part):
        left, right = factors(*(a[part] for a in batch))
        return left.T @ right

    with np.errstate(all="ignore"):
        total = reduce(np.add, map(product, parts(batch[0])))
        total *= -lr
        return finite_step(total)
