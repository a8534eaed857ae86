"""Two metrics on weights: the Euclidean one, and the one that measures change in the response.

The response matrix of a linear network is A = B⁻¹ with B = G⁻¹ − W. Measuring a change of W by what it
does to A gives the distance d(W, W′) = ‖A(W) − A(W′)‖_F. Since dA = A dW A, its inner product at W
is ⟨U, V⟩_W = ⟨A U A, A V A⟩_F (book: eq-inner-product). A is a global flat coordinate, so
geodesics are straight lines in A, and every formula below is exact.

:class:`Euclidean` and :class:`Reparameterized` share a metric's methods, so that a chapter can swap them.
Tangent vectors U and V may be stacks, (..., N, N). All is written with ``autograd.numpy`` and can be
differentiated.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import autograd.numpy as np
import numpy as onp
from autograd import jacobian
from autograd.tracer import getval

from fpnotes._floats import as_by_default
from fpnotes._identity import readable
from fpnotes._inputs import check_count, check_positive, check_real_array
from fpnotes._types import ArrayLike, FloatArray
from fpnotes.network import SingularityError

__all__ = ["Euclidean", "Reparameterized", "angle", "riemann_tensor"]


class MetricLike(Protocol):
    """An inner product at every W, for stacks of tangent vectors, that autograd can differentiate."""

    def inner(self, W: Any, U: Any, V: Any, /) -> Any:
        """Return ⟨U, V⟩_W."""
        ...


class _Metric(ABC):
    """What follows from ``inner``, ``exp`` and ``log`` in any metric."""

    @abstractmethod
    def inner(self, W: FloatArray, U: FloatArray, V: FloatArray) -> Any: ...

    @abstractmethod
    def exp(self, W: FloatArray, V: FloatArray) -> Any: ...

    @abstractmethod
    def log(self, W0: FloatArray, W1: FloatArray) -> Any: ...

    @as_by_default()
    def norm(self, W: FloatArray, V: FloatArray) -> FloatArray:
        """Return the length of V at W: √⟨V, V⟩_W."""
        unit = _unit(V)
        return unit * np.sqrt(self.inner(W, V / unit[..., None, None], V / unit[..., None, None]))

    @as_by_default()
    def geodesic(self, W0: FloatArray, W1: FloatArray, t: float) -> FloatArray:
        """Return the point a fraction t of the way along the geodesic from W0 to W1, (N, N)."""
        return self.exp(W0, t * self.log(W0, W1))

    @as_by_default()
    def unit_ball(
        self, W: FloatArray, U: FloatArray, V: FloatArray, radius: float = 1.0, points: int = 201
    ) -> FloatArray:
        """Return the tangent vectors aU + bV of a given length at W, as a closed curve of (a, b).

        Parameters
        ----------
        W : (N, N) array
            Where the lengths are measured.
        U, V : (N, N) arrays
            Two directions that are not parallel: the plane of the curve.
        radius : float
            The length; 1 for the unit ball.
        points : int
            Number of points, of which the last repeats the first.

        Returns
        -------
        curve : (points, 2) array
            An ellipse; W + aU + bV are the weights that it encircles.
        """
        plane = onp.stack([U, V])
        units = _unit(plane)
        plane = plane / units[:, None, None]
        gram = self.inner(W, plane[:, None], plane)
        try:
            half = onp.linalg.cholesky(gram)
        except onp.linalg.LinAlgError:
            raise ValueError("U and V must not be parallel: they span no plane") from None
        angle = onp.linspace(0, 2 * onp.pi, check_count("points", points))
        circle = check_positive("radius", radius) * onp.stack([onp.cos(angle), onp.sin(angle)])
        # cᵀ gram c = radius² for c = half⁻ᵀ circle.
        return onp.linalg.solve(half.T, circle).T / units


@dataclass(frozen=True)
class Euclidean(_Metric):
    """The metric that gradient descent takes for granted: ⟨U, V⟩ = tr(UᵀV), the same at every W.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> metric, W = fp.Euclidean(), np.zeros((2, 2))
    >>> metric.distance(W, np.eye(2)).round(6)
    np.float64(1.414214)
    >>> metric.geodesic(W, np.eye(2), 0.5)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """

    @as_by_default()
    def inner(self, W: FloatArray, U: FloatArray, V: FloatArray) -> FloatArray:
        """Return ⟨U, V⟩_F."""
        return np.sum(U * V, axis=(-2, -1))

    @as_by_default()
    def distance(self, W0: FloatArray, W1: FloatArray) -> FloatArray:
        """Return ‖W1 − W0‖_F."""
        return self.norm(W0, W1 - W0)

    @as_by_default()
    def gradient(self, W: FloatArray, euclidean_gradient: FloatArray) -> FloatArray:
        """Return the gradient of J at W: the Euclidean one itself, a copy."""
        return 1.0 * euclidean_gradient

    @as_by_default()
    def exp(self, W: FloatArray, V: FloatArray) -> FloatArray:
        """Return where the geodesic that leaves W along V is after unit time: W + V."""
        return W + V

    @as_by_default()
    def log(self, W0: FloatArray, W1: FloatArray) -> FloatArray:
        """Return the tangent vector at W0 whose geodesic reaches W1 in unit time: W1 − W0."""
        return W1 - W0


@dataclass(frozen=True, eq=False, repr=False)
class Reparameterized(_Metric):
    """The metric in which the distance between two networks is how differently they respond.

    Parameters
    ----------
    gain : (N,) array_like, optional
        Gains g of a linear network r = G(W r + x), none of them 0; by default all 1.

    Notes
    -----
    Every method raises :class:`~fpnotes.network.SingularityError` where I − GW is singular, for W has no
    response there.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> metric = fp.Reparameterized()
    >>> W0, W1 = np.array([[0.0]]), np.array([[0.75]])  # A = 1 and A = 4
    >>> metric.distance(W0, W1)
    np.float64(3.0)
    >>> metric.geodesic(W0, W1, 1 / 3)  # A = 2
    array([[0.5]])
    """

    gain: FloatArray | None = None

    if TYPE_CHECKING:  # what it takes is wider than what it holds

        def __init__(self, gain: ArrayLike | None = None) -> None: ...

    def __post_init__(self) -> None:
        """Check the gains, and copy them."""
        if self.gain is not None:
            gain = check_real_array("gain", self.gain)
            if gain.ndim != 1 or not gain.all():
                raise ValueError("gain must be an (N,) array without zeros: G⁻¹ must exist")
            object.__setattr__(self, "gain", gain.copy())

    def __repr__(self) -> str:
        """Return one line: the shape of the gains, and a checksum that tells them apart."""
        return f"Reparameterized({'' if self.gain is None else f'gain={readable(self.gain)}'})"

    @as_by_default()
    def B(self, W: FloatArray) -> FloatArray:
        """Return B = G⁻¹ − W, (N, N)."""
        inverse_gain = onp.ones(len(W)) if self.gain is None else 1 / self.gain
        return onp.diag(inverse_gain) - W

    @as_by_default()
    def A(self, W: FloatArray) -> FloatArray:
        """Return the response matrix A = (G⁻¹ − W)⁻¹, (N, N): the flat coordinate of W."""
        return _solve(self.B(W), onp.eye(len(W)))

    @as_by_default()
    def weights(self, A: FloatArray) -> FloatArray:
        """Return the W whose response matrix is A, (N, N): the inverse of :meth:`A`."""
        return self.B(_solve(A, onp.eye(len(A))))

    @as_by_default()
    def push(self, W: FloatArray, V: FloatArray) -> FloatArray:
        """Return dA = A V A, (N, N): what a change V of the weights does to the response."""
        A = self.A(W)
        return A @ V @ A

    @as_by_default()
    def inner(self, W: FloatArray, U: FloatArray, V: FloatArray) -> FloatArray:
        """Return ⟨U, V⟩_W = ⟨A U A, A V A⟩_F."""
        A = self.A(W)
        return np.sum((A @ U @ A) * (A @ V @ A), axis=(-2, -1))

    @as_by_default()
    def distance(self, W0: FloatArray, W1: FloatArray) -> FloatArray:
        """Return d(W0, W1) = ‖A(W1) − A(W0)‖_F."""
        return Euclidean().distance(self.A(W0), self.A(W1))

    @as_by_default()
    def gradient(self, W: FloatArray, euclidean_gradient: FloatArray) -> FloatArray:
        """Return the Riemannian gradient B Bᵀ ∇J Bᵀ B, (N, N), from the Euclidean ∇J at W.

        It is the vector with ⟨grad J, V⟩_W = ⟨∇J, V⟩_F for every V (book: eq-riemannian-gradient).
        """
        B = self.B(W)
        return B @ (B.T @ euclidean_gradient @ B.T) @ B

    @as_by_default()
    def exp(self, W: FloatArray, V: FloatArray) -> FloatArray:
        """Return where the geodesic that leaves W along V is after unit time, (N, N).

        In A that is A + A V A = A(B + V)A, and so the new B is B(B + V)⁻¹B (book: eq-exp).
        """
        B = self.B(W)
        return self.B(B @ _solve(B + V, B))

    @as_by_default()
    def log(self, W0: FloatArray, W1: FloatArray) -> FloatArray:
        """Return the tangent vector at W0 whose geodesic reaches W1: B₀A₁B₀ − B₀, (N, N)."""
        B0, B1 = self.B(W0), self.B(W1)
        return B0 @ _solve(B1, B0) - B0


def _unit(V, axis: tuple | None = (-2, -1)):
    """Return the power of 2 next to the largest entry of V, (...); 1 where that is 0 or not finite.

    Measured in it, V can be squared without overflow, or underflow to 0, and no digit changes.
    """
    largest = 1.0 * onp.abs(getval(V)).max(axis=axis)
    largest = onp.where(onp.isfinite(largest) & (largest > 0), largest, onp.ones_like(largest))
    return onp.ldexp(onp.ones_like(largest), onp.frexp(largest)[1] - 1)


def _solve(matrix, right):
    """Return matrix⁻¹ right, or say that the matrix is singular."""
    try:
        return np.linalg.solve(matrix, right)
    except onp.linalg.LinAlgError:
        raise SingularityError("W is at a singularity, det(I − GW) = 0: A does not exist") from None


@as_by_default()
def angle(U: ArrayLike, V: ArrayLike) -> float:
    """Return the angle between two updates, in degrees, under the Frobenius inner product.

    Raises
    ------
    ValueError
        If either is zero, or the shapes differ.

    Examples
    --------
    >>> import fpnotes as fp
    >>> round(fp.angle([[1.0, 0.0]], [[1.0, 1.0]]), 6)
    45.0
    """
    U, V = check_real_array("U", U), check_real_array("V", V)
    if U.shape != V.shape:
        raise ValueError(f"U and V must have one shape, not {U.shape} and {V.shape}")
    if not (U.any() and V.any()):
        raise ValueError("U and V must not be zero: the angle to a zero update is undefined")
    u, v = U / _unit(U, axis=None), V / _unit(V, axis=None)
    # Kahan's formula keeps the digits of a small angle that arccos loses.
    u_hat, v_hat = u / onp.linalg.norm(u), v / onp.linalg.norm(v)
    return float(
        onp.degrees(2 * onp.arctan2(onp.linalg.norm(u_hat - v_hat), onp.linalg.norm(u_hat + v_hat)))
    )


@as_by_default()
def riemann_tensor(metric: MetricLike, W: ArrayLike) -> FloatArray:
    """Return the Riemann curvature tensor R^l_ijk of a metric at W, by automatic differentiation.

    The coordinates are the N² entries of W, row by row. A metric is flat exactly when this tensor is
    0 everywhere, and that of :class:`Reparameterized` is flat (book: thm-flat).

    Parameters
    ----------
    metric : Euclidean or Reparameterized
        Anything with an ``inner(W, U, V)`` that autograd can trace, for stacks of U and V.
    W : (N, N) array
        N up to 3 or so: the tensor has N⁸ entries.

    Returns
    -------
    R : (N², N², N², N²) array
        Indexed [l, i, j, k], with R^l_ijk = ∂_j Γ^l_ki − ∂_k Γ^l_ji + Γ^l_jp Γ^p_ki − Γ^l_kp Γ^p_ji.

    Examples
    --------
    >>> import numpy as np
    >>> import fpnotes as fp
    >>> R = fp.riemann_tensor(fp.Reparameterized(), np.array([[0.2, 0.1], [0.0, -0.3]]))
    >>> R.shape, bool(np.abs(R).max() < 1e-9)
    ((4, 4, 4, 4), True)
    """
    W = check_real_array("W", W)
    basis = onp.eye(W.size).reshape(-1, *W.shape)

    def g(w):
        matrix = np.reshape(w, W.shape)
        # Autograd warns of a metric that does not depend on W, unless it seems to.
        return metric.inner(matrix, basis[:, None], basis) + 0 * np.sum(w)

    def christoffel(w):
        """Return Γ^l_jk, indexed [l, j, k]."""
        dg = jacobian(g)(w)  # [a, b, c] = ∂_c g_ab
        lowered = (np.transpose(dg, (0, 2, 1)) + dg - np.transpose(dg, (2, 0, 1))) / 2
        return np.einsum("la,ajk->ljk", np.linalg.inv(g(w)), lowered)

    w = W.ravel()
    gamma, d_gamma = christoffel(w), jacobian(christoffel)(w)  # d_gamma [l, j, k, c] = ∂_c Γ^l_jk
    curl = np.einsum("lkij->lijk", d_gamma) + np.einsum("ljp,pki->lijk", gamma, gamma)
    return curl - np.transpose(curl, (0, 1, 3, 2))
