"""Solving r = f(W r + x) for a whole batch, and an honest account of how it went.

``solve`` returns a :class:`FixedPoint`. Its ``converged`` has one entry per sample, and certifies the
residual of the very r that is returned. A sample that fails neither spoils the others nor hides among them.
"""

import warnings
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fpnotes._batch import METHODS, Batch
from fpnotes._certificate import Certificate, tolerance
from fpnotes._inputs import check_count, check_rows, check_square_matrix
from fpnotes._linear import Factors
from fpnotes._text import counted
from fpnotes._types import ArrayLike, BoolArray, FloatArray, IntArray, Method, OnFailure, Real
from fpnotes.activations import Activation, Curve, as_activation, evaluate
from fpnotes.network import spectral_abscissa

__all__ = ["ConvergenceError", "FixedPoint", "solve"]


class ConvergenceError(RuntimeError):
    """Some samples did not reach a fixed point; ``point`` holds what was reached.

    Examples
    --------
    >>> import fpnotes as fp
    >>> try:
    ...     fp.solve([[2.0]], [[0.0], [1.0]], "softplus")  # softplus(2r + x) > r for every r ≥ 0
    ... except fp.ConvergenceError as error:
    ...     print(error.point.converged)
    [False False]
    """

    def __init__(self, message: str, point: "FixedPoint | None" = None):
        super().__init__(message)
        self.point: FixedPoint | None = point


def _read_only(a):
    a.flags.writeable = False
    return a


@dataclass(frozen=True, eq=False, repr=False)
class FixedPoint:
    """Fixed points of a network, one per sample, and how the solve went.

    ``point[ok]``, with a boolean mask, a slice or an array of indices, holds the chosen samples alone. Its
    arrays are read-only, so that the certificate stays true of them: work in a copy, ``point.r.copy()``.

    Attributes
    ----------
    r : (..., N) array
        Rates. Where ``converged`` is False, where the solve gave up: not a fixed point.
    gain : (..., N) array
        Gains f′(W r + x).
    x : (..., N) array
        The inputs, a copy.
    recurrent : (..., N) array
        W r, the input that the network gives itself: the net input is z = W r + x.
    W : (N, N) array
        The weights, a copy: it stays what r was solved for when W is trained further.
    residual : (...) array
        Largest ``|f(W r + x) − r|`` of each sample, at the r above.
    converged : (...) bool array
        Whether ``residual`` is small enough to certify r, as :func:`solve` says under tol, and every gain
        is finite.
    steps : (...) int array
        Evaluations of f(W r + x) that each sample took to find r; 0 where one linear solve did.

    Examples
    --------
    >>> import fpnotes as fp
    >>> point = fp.solve([[0.5]], [[1.0], [3.0]], "linear")
    >>> point
    FixedPoint(1 neuron, 2 samples, 2 converged, largest residual 0)
    >>> point.r
    array([[2.],
           [6.]])
    >>> point[point.r[:, 0] > 3].x
    array([[3.]])
    >>> point.spectral_abscissa, point.stable
    (array([0.5, 0.5]), array([ True,  True]))
    """

    r: FloatArray
    gain: FloatArray
    x: FloatArray
    recurrent: FloatArray
    W: FloatArray
    residual: FloatArray
    converged: BoolArray
    steps: IntArray

    # Of I − W, where the network is linear and solve has factored it for good.
    _factors: ClassVar[Factors | None] = None

    def __post_init__(self) -> None:
        """Copy whatever can still be written to."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, np.ndarray) and value.flags.writeable:
                object.__setattr__(self, name, _read_only(value.copy()))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be computed again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make arrays read-only again, which no pickle does."""
        vars(self).update(state)
        self.__post_init__()

    def __repr__(self) -> str:
        """Return one line: how large the network and the batch are, and how the solve went."""
        size = f"{counted(len(self.W), 'neuron')}, {counted(np.size(self.converged), 'sample')}"
        return (
            f"FixedPoint({size}, {np.sum(self.converged)} converged, "
            f"largest residual {np.max(self.residual, initial=0):.3g})"
        )

    def __getitem__(self, samples: Any) -> "FixedPoint":
        """Return the FixedPoint of some of the samples, of the same W.

        Parameters
        ----------
        samples : mask, array of indices, slice or int
            Anything that picks from an array of the shape of ``converged``.

        Raises
        ------
        IndexError
            When there are no such samples, or when this is a single unbatched sample.
        """
        shape, n = np.shape(self.converged), len(self.W)
        if not shape:
            raise IndexError("this FixedPoint is of a single sample: there are none to choose from")
        try:
            rows = np.arange(np.size(self.converged)).reshape(shape)[samples]
        except IndexError as error:
            raise IndexError(f"no such samples in a FixedPoint of shape {shape}: {error}") from None
        neurons = ("r", "gain", "x", "recurrent")
        chosen = FixedPoint(
            **{name: _read_only(getattr(self, name).reshape(-1, n)[rows]) for name in neurons},
            W=self.W,
            residual=self.residual.ravel()[rows],
            converged=self.converged.ravel()[rows],
            steps=self.steps.ravel()[rows],
        )
        object.__setattr__(chosen, "_factors", self._factors)
        return chosen

    @cached_property
    def spectral_abscissa(self) -> FloatArray:
        """Largest real part of an eigenvalue of GW, shape (...); NaN where GW is not finite.

        Computed when first asked for.
        """
        gain = self.gain.reshape(-1, len(self.W))
        with np.errstate(all="ignore"):
            known = np.isfinite(np.abs(gain).max(axis=1) * np.abs(self.W).max())
        abscissa = np.full(len(gain), np.nan, gain.dtype)
        abscissa[known] = spectral_abscissa(self.W, gain[known])
        return _read_only(abscissa.reshape(self.converged.shape))[()]

    @property
    def stable(self) -> BoolArray:
        """Whether the network, pushed slightly off r, returns to it: bool, shape (...).

        A fixed point is stable when the spectral abscissa is below 1. Where the solve did not converge
        there is no fixed point to judge, and the answer is False.
        """
        return (self.spectral_abscissa < 1) & self.converged


def solve(
    W: ArrayLike,
    x: ArrayLike,
    activation: Curve = "tanh",
    *,
    r0: ArrayLike | None = None,
    tol: Real | None = None,
    max_steps: int = 1000,
    method: Method = "auto",
    on_failure: OnFailure = "raise",
) -> FixedPoint:
    """Find r = f(W r + x) for every sample of a batch.

    By default a sample is first relaxed, r ← f(W r + x). If that is slow, Anderson acceleration takes
    over, then Newton's method, cautiously at first, and at last a continuation from the network without
    recurrence, which does not depend on r0. A linear network is solved directly, by one factorization for
    all samples.

    Where a network has several fixed points, none of these promises the one at which it would settle from
    r0. All but relaxation may end at a fixed point that the dynamics would leave, which ``stable`` shows; so
    does relaxation from a symmetric start, which stops at a saddle between the attractors. And as its first
    steps are a whole τ long, relaxation too may cross to another attractor, stable like the right one: of
    91 strongly coupled networks of three neurons it did so in 7. For the network's own attractor follow
    :meth:`fpnotes.network.RateNetwork.simulate`, and give ``solve`` its last state as r0.

    Parameters
    ----------
    W : (N, N) array_like
        Recurrent weights, ``W[i, j]`` from neuron j to neuron i.
    x : (..., N) array_like
        Inputs, one row per sample; a single unbatched x is an (N,) array.
    activation : str, Activation or callable
        The f–I curve, see :func:`fpnotes.activations.as_activation`.
    r0 : (..., N) array_like, optional
        Where to start, broadcast against x; by default from rest, r = 0. In a network with several
        fixed points it decides which is found.
    tol : float, optional
        A sample has converged when its largest ``|f(W r + x) − r|`` is at most tol times the largest ``|r|``
        and at most tol times the largest ``|b|``, where b = f(z) − GW r, at z = W r + x, is what drives the
        network linearized at r; in a linear network b is x. So rates that run away are not certified, nor
        are rates because they are small. Where rounding forbids so small a residual, one of two roundings
        is enough; where it leaves r or b fewer than three digits, the sample has not converged. By default
        1e-8, or 1e-5 in float32.
    max_steps : int
        Steps allowed to each method, an evaluation of f(W r + x) each after a first one; "auto" gives
        most of them fewer. A float32 sample that single precision cannot certify is solved once more, in
        double precision.
    method : {"auto", "relaxation", "anderson", "newton"}
        Which way to go; the book's chapter on solving describes them.
    on_failure : {"raise", "warn", "ignore"}
        What to do when a sample does not converge.

    Returns
    -------
    FixedPoint
        In float32 when W and x both are, else in float64.

    Raises
    ------
    ConvergenceError
        When a sample did not converge and ``on_failure`` is "raise". Its ``point`` holds the result.
    ValueError, TypeError
        When an argument has the wrong shape, type or value; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> W = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> point = fp.solve(W, [[1.0, 0.0], [0.0, 2.0]], "relu")
    >>> point.r.round(6)
    array([[1., 0.],
           [1., 1.]])
    """
    W = check_square_matrix("W", W)
    x = check_rows("x", x, len(W))
    dtype = np.result_type(W, x)
    # Copies in C order: the caller may train W in place, and rows must be views of r, not copies.
    W, x = np.array(W, dtype, order="C"), np.array(x, dtype, order="C")
    return solve_checked(
        W,
        x,
        activation,
        r0=r0,
        tol=tol,
        max_steps=max_steps,
        method=method,
        on_failure=on_failure,
    )


def solve_checked(
    W: FloatArray,
    x: FloatArray,
    activation: Curve,
    *,
    r0: ArrayLike | None,
    tol: Real | None,
    max_steps: int,
    method: Method,
    on_failure: OnFailure,
) -> FixedPoint:
    """Do what solve does for W and x that are checked, of one dtype, in C order, and not written to again."""
    f, n, dtype = as_activation(activation), len(W), W.dtype
    if r0 is None:
        r = np.zeros(x.shape, dtype)
    else:
        r0 = check_rows("r0", r0, n)
        try:
            r = np.array(np.broadcast_to(r0, x.shape), dtype, order="C")
        except ValueError:
            raise ValueError(
                f"r0 of shape {r0.shape} must broadcast to the shape of x, {x.shape}"
            ) from None
    tol = tolerance(tol, dtype)
    max_steps = check_count("max_steps", max_steps)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if on_failure not in ("raise", "warn", "ignore"):
        raise ValueError(f"on_failure must be raise, warn or ignore, not {on_failure!r}")

    batch = Batch(W, f, x.reshape(-1, n), r.reshape(-1, n))
    batch.solve(tol, max_steps, method)
    samples = x.shape[:-1]
    point = FixedPoint(
        r=_read_only(r),
        gain=_read_only(batch.gain.reshape(x.shape)),
        x=_read_only(x),
        recurrent=_read_only(batch.recurrent.reshape(x.shape)),
        W=_read_only(W),
        residual=_read_only(batch.residual.reshape(samples))[()],
        converged=_read_only(batch.converged.reshape(samples))[()],
        steps=_read_only(batch.steps.reshape(samples))[()],
    )
    object.__setattr__(point, "_factors", batch.factors)
    if on_failure != "ignore" and not np.all(point.converged):
        message = failure(point, tol, f) + (
            " With on_failure='ignore' it is returned, and point[point.converged] leaves these samples out."
        )
        if on_failure == "raise":
            raise ConvergenceError(message, point)
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    return point


@np.errstate(all="ignore")
def failure(point: FixedPoint, tol: float, f: Activation) -> str:
    """Say how many samples failed, how badly, and what to try."""
    residual, converged = np.ravel(point.residual), np.ravel(point.converged)
    worst = int(np.argmax(np.where(converged, -np.inf, residual)))
    n = len(point.W)
    x, r, recurrent, gain = (
        a.reshape(-1, n) for a in (point.x, point.r, point.recurrent, point.gain)
    )
    one = slice(worst, worst + 1)
    z = recurrent[one] + x[one]
    drive = Certificate(tol, f, point.W).drive(x[one], z, evaluate(f, f, z), gain[one])[0].item()
    try:
        where = f"{spectral_abscissa(point.W, gain[worst]):.3g}"
    except (ValueError, np.linalg.LinAlgError):  # gains or weights beyond the range of floats
        where = "unknown"
    message = (
        f"{np.sum(~converged)} of {converged.size} samples did not converge to tol={tol:g}. The "
        f"worst is sample {worst}, with residual {residual[worst]:.3g} and spectral abscissa of GW "
        f"{where} there (stable below 1). A residual may be tol times the largest |r|, here "
        f"{np.abs(r[worst]).max():.3g}, and tol times the largest |b|, here {drive:.3g}, where "
        "b = f(z) − GWr is what drives the network near r. "
    )
    if (
        residual[worst] <= tol * min(np.abs(r[worst]).max(), drive)
        and np.isfinite(gain[worst]).all()
    ):
        message += (
            "This one is small enough, but x or b is lost in the roundings of f(W r + x), which any r nearby "
            f"would satisfy as well. No other tol helps: {point.W.dtype} numbers cannot say where the fixed "
            "point is."
        )
    else:
        message += (
            "Try another r0, a larger max_steps or a larger tol; if the network has no fixed point for this "
            "input, none will be found."
        )
    infinite = np.sum(~np.isfinite(residual))
    if infinite:
        message += f" At {infinite} of the samples r or f(W r + x) is not finite."
    broken = np.sum(~np.isfinite(gain).all(axis=1))
    if broken:
        message += (
            f" At {broken} of the samples a gain f′(z) is not finite: look at how f is written."
        )
    return message + " The result is in the error's .point."
