"""A recurrent network of rate neurons, and when its fixed points are stable.

The model is τ dr/dt = −r + f(W r + x): each neuron's rate relaxes to its f–I curve f of its net
input, which is what the other neurons send through W plus what comes from outside, x. Where the motion
stops, r = f(W r + x). Linearizing about that point gives the Jacobian (−I + GW)/τ, with G the diagonal
matrix of gains: everything about stability is a statement about the *effective weights* GW.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fpnotes._floats import as_by_default
from fpnotes._inputs import (
    check_broadcast,
    check_count,
    check_positive,
    check_rows,
    check_square_matrix,
)
from fpnotes._linear import stacks
from fpnotes._text import counted
from fpnotes._types import ArrayLike, BoolArray, FloatArray, Real
from fpnotes.activations import Activation, Curve, as_activation, evaluate, tanh

__all__ = ["RateNetwork", "SingularityError", "distance_to_singularity", "spectral_abscissa"]


class SingularityError(ValueError):
    """The weights are at, or a step lands on, a singularity: det(I − GW) = 0, and A is infinite.

    Examples
    --------
    >>> import fpnotes as fp
    >>> try:
    ...     fp.Reparameterized().distance(W0=[[1.0]], W1=[[0.0]])
    ... except fp.SingularityError as error:
    ...     print(error)
    W is at a singularity, det(I − GW) = 0: A does not exist
    """


def effective_weights(W: FloatArray, gain: FloatArray | None = None) -> FloatArray:
    """Return GW, shape (..., N, N), for gains (..., N); W itself when gain is None."""
    return W if gain is None else gain[..., :, None] * W


def spectral_abscissa(W: ArrayLike, gain: ArrayLike | None = None) -> FloatArray:
    """Return the largest real part of an eigenvalue of GW, shape (...).

    A fixed point is stable when this is below 1 (book: thm-stability), and the nearer it is to 1,
    the slower the network settles: its slowest mode decays as exp(−(1 − abscissa) t/τ).

    Parameters
    ----------
    W : (N, N) array_like
    gain : (..., N) array_like, optional
        Gains g; G = diag(g) for each sample. By default every gain is 1.

    Raises
    ------
    ValueError, TypeError
        When an argument has the wrong shape, type or value.

    Examples
    --------
    >>> import fpnotes as fp
    >>> W = [[0.5, -2.0], [2.0, 0.5]]  # eigenvalues 0.5 ± 2i: a damped oscillation
    >>> fp.spectral_abscissa(W).round(6)
    np.float64(0.5)
    """
    return _per_sample(_abscissas, W, gain)


def distance_to_singularity(W: ArrayLike, gain: ArrayLike | None = None) -> FloatArray:
    """Return the size of the smallest change of W that makes I − GW singular, shape (...).

    With the gains held, the smallest ‖ΔW‖_F for which det(I − G(W + ΔW)) = 0 is 1/‖A‖₂, one over
    the largest singular value of the response matrix A = (I − GW)⁻¹G (book: thm-distance).
    It is 0 at a singularity and infinite when every gain is 0.

    Parameters
    ----------
    W : (N, N) array_like
    gain : (..., N) array_like, optional
        Gains g; G = diag(g) for each sample. By default every gain is 1.

    Raises
    ------
    ValueError, TypeError
        When an argument has the wrong shape, type or value.

    Examples
    --------
    >>> import fpnotes as fp
    >>> fp.distance_to_singularity([[0.5, 0.0], [0.0, -1.0]]).round(6)  # add 0.5 to the first entry
    np.float64(0.5)
    """
    return _per_sample(_distances, W, gain)


def _abscissas(W, gain):
    """Return the abscissa of every row of gains, (k, N) → (k,)."""
    with np.errstate(all="ignore"):
        return np.linalg.eigvals(effective_weights(W, gain)).real.max(axis=-1)


def _distances(W, gain):
    """Return the distance of every row of gains, (k, N) → (k,)."""
    with np.errstate(all="ignore"):
        GW = effective_weights(W, gain)
        u, s, _ = np.linalg.svd(np.eye(len(W), dtype=GW.dtype) - GW)
        # A = V S⁻¹ Uᵀ G; V is orthogonal and does not change a norm.
        response = np.swapaxes(u, -1, -2) / s[..., :, None] * gain[..., None, :]
        singular = ~np.isfinite(response).all(axis=(-1, -2))
        response[singular] = 0
        return np.where(singular, 0, 1 / np.linalg.norm(response, 2, axis=(-2, -1)))


def _per_sample(function, W, gain):
    """Return a function's values for all rows of gains (..., N), which it is given some at a time."""
    W = check_square_matrix("W", W)
    n = len(W)
    gain = np.ones(n, W.dtype) if gain is None else check_rows("gain", gain, n)
    flat = gain.reshape(-1, n)
    values = np.empty(len(flat), np.result_type(W, gain))
    for part in stacks(len(flat), n):
        values[part] = function(W, flat[part])
    return values.reshape(gain.shape[:-1])[()]


@dataclass(frozen=True, eq=False, repr=False)
class RateNetwork:
    """The network τ dr/dt = −r + f(W r + x).

    Parameters
    ----------
    W : (N, N) array_like
        Recurrent weights; ``W[i, j]`` is from neuron j to neuron i.
    activation : str, Activation or callable
        The f–I curve f.
    tau : float
        Time constant τ; ``simulate`` measures time in the same unit.

    Raises
    ------
    ValueError, TypeError
        If W is not a finite real square matrix, tau is not positive, or activation is unknown.

    Examples
    --------
    >>> import fpnotes as fp
    >>> network = fp.RateNetwork([[0.5]], "linear", tau=2.0)
    >>> network.jacobian([2.0], [1.0])  # (0.5 − 1)/τ, at the fixed point r = 0.5 r + 1
    array([[-0.25]])
    >>> t, r = network.simulate([1.0], duration=40)
    >>> r[-1].round(3)
    array([2.])
    """

    W: FloatArray
    activation: Activation = tanh
    tau: float = 1.0

    if TYPE_CHECKING:  # what it takes is wider than what it holds

        def __init__(self, W: ArrayLike, activation: Curve = tanh, tau: Real = 1.0) -> None: ...

    def __post_init__(self) -> None:
        """Check the arguments, and take names and lists for what they stand for."""
        # A copy, so that training on W elsewhere cannot change this network.
        object.__setattr__(self, "W", check_square_matrix("W", self.W).copy())
        object.__setattr__(self, "activation", as_activation(self.activation))
        object.__setattr__(self, "tau", check_positive("tau", self.tau))

    def __repr__(self) -> str:
        """Return one line: how many neurons, their f–I curve and time constant."""
        return f"RateNetwork({counted(self.n, 'neuron')}, {self.activation.name}, tau={self.tau:g})"

    @property
    def n(self) -> int:
        """Number of neurons N."""
        return self.W.shape[0]

    @as_by_default()
    def drive(self, r: ArrayLike, x: ArrayLike) -> FloatArray:
        """Return the net input z = W r + x, shape (..., N), for rates r and inputs x (..., N)."""
        r, x = check_rows("r", r, self.n), check_rows("x", x, self.n)
        check_broadcast("r", r, "x", x)
        return r @ self.W.T + x

    @as_by_default()
    def velocity(self, r: ArrayLike, x: ArrayLike) -> FloatArray:
        """Return dr/dt = (−r + f(W r + x))/τ, shape (..., N)."""
        return (self._rate(self.drive(r, x)) - np.asarray(r)) / self.tau

    def _rate(self, z):
        return evaluate(self.activation, self.activation, z)

    @as_by_default()
    def gain(self, r: ArrayLike, x: ArrayLike) -> FloatArray:
        """Return the gains g = f′(W r + x), shape (..., N)."""
        return evaluate(self.activation, self.activation.gain, self.drive(r, x))

    @as_by_default()
    def jacobian(self, r: ArrayLike, x: ArrayLike) -> FloatArray:
        """Return the Jacobian of the dynamics (−I + GW)/τ at r, shape (..., N, N)."""
        GW = effective_weights(self.W, self.gain(r, x))
        return (GW - np.eye(self.n, dtype=GW.dtype)) / self.tau

    def spectral_abscissa(self, r: ArrayLike, x: ArrayLike) -> FloatArray:
        """Return the largest real part of an eigenvalue of GW at r; see :func:`spectral_abscissa`."""
        return spectral_abscissa(self.W, self.gain(r, x))

    def stable(self, r: ArrayLike, x: ArrayLike) -> BoolArray:
        """Return whether the dynamics return to r after a small push: spectral abscissa below 1."""
        return self.spectral_abscissa(r, x) < 1

    def distance_to_singularity(self, r: ArrayLike, x: ArrayLike) -> FloatArray:
        """Return the distance at r; see :func:`distance_to_singularity`."""
        return distance_to_singularity(self.W, self.gain(r, x))

    @as_by_default()
    def simulate(
        self,
        x: ArrayLike,
        duration: Real,
        r0: ArrayLike | None = None,
        *,
        samples: int = 201,
        rtol: Real = 1e-6,
        atol: Real = 1e-9,
    ) -> tuple[FloatArray, FloatArray]:
        """Integrate the dynamics under a constant input.

        Parameters
        ----------
        x : (..., N) array_like
            Input, one row per sample.
        duration : float
            Length of the simulation, in the unit of tau.
        r0 : (..., N) array_like, optional
            Rates at time 0, broadcast against x; by default the network starts at rest, r = 0.
        samples : int
            Number of equally spaced times to report, at least 2, the first 0 and the last ``duration``.
        rtol, atol : float
            Error tolerances of SciPy's adaptive Runge–Kutta pair.

        Returns
        -------
        t : (samples,) array
        r : (samples, ..., N) array

        Raises
        ------
        RuntimeError
            If the integrator gives up, as it must when rates run to infinity.
        """
        from scipy.integrate import (
            solve_ivp,
        )  # takes longer to import than all else, and only this needs it

        x = check_rows("x", x, self.n)
        start = np.zeros(self.n) if r0 is None else check_rows("r0", r0, self.n)
        check_broadcast("r0", start, "x", x)
        x, start = np.broadcast_arrays(x, start)
        times = np.linspace(
            0, check_positive("duration", duration), check_count("samples", samples, least=2)
        )
        rtol, atol = check_positive("rtol", rtol), check_positive("atol", atol)

        def velocity(t, flat):
            r = flat.reshape(x.shape)
            return (self._rate(r @ self.W.T + x) - r).ravel() / self.tau

        if start.size == 0:
            return times, np.empty((len(times), *x.shape))
        # Rates that run to infinity are reported below, not as overflows on the way.
        with np.errstate(all="ignore"):
            path = solve_ivp(
                velocity, (0, times[-1]), start.ravel(), t_eval=times, rtol=rtol, atol=atol
            )
        if not path.success:
            reached = path.t[-1] if len(path.t) else 0
            raise RuntimeError(f"the simulation stopped at t = {reached:.3g}: {path.message}")
        return path.t, path.y.T.reshape(-1, *x.shape)
