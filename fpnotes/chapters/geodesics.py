"""Shortest paths and circles in any metric, found from its inner product and from nothing else."""

import numpy as np
from autograd import grad

from fpnotes._types import FloatArray
from fpnotes.geometry import MetricLike


def geodesic(metric: MetricLike, W: FloatArray, V: FloatArray, steps: int = 20) -> FloatArray:
    """Return points of the geodesic that leaves W along V, by Runge–Kutta steps of fourth order.

    A geodesic is a path on which the action, the time integral of ½⟨Ẇ, Ẇ⟩_W, is stationary. With the momentum
    P of ⟨Ẇ, ·⟩_W = ⟨P, ·⟩_F, the Euler–Lagrange equation is Ṗ = ½ ∂⟨Ẇ, Ẇ⟩_W/∂W, at fixed Ẇ.

    Parameters
    ----------
    metric
        Anything with an ``inner(W, U, V)`` that autograd can trace, for stacks of U and V.
    W, V : (N, N) arrays
        Where the path starts, and its velocity there.
    steps : int
        Number of steps to time 1.

    Returns
    -------
    path : (steps + 1, N, N) array
        At times 0 to 1; the last is exp_W(V).
    """
    basis = np.eye(W.size).reshape(-1, *W.shape)
    action = grad(lambda W, V: metric.inner(W, V, V) / 2)

    def gram(W):
        return metric.inner(W, basis[:, None], basis)

    def flow(state):
        W, P = state
        V = np.linalg.solve(gram(W), P.ravel()).reshape(W.shape)
        return np.stack([V, action(W, V)])

    state = np.stack([W, (gram(W) @ V.ravel()).reshape(W.shape)])
    path, h = [state[0]], 1 / steps
    for _ in range(steps):
        k1 = flow(state)
        k2 = flow(state + h / 2 * k1)
        k3 = flow(state + h / 2 * k2)
        k4 = flow(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        path.append(state[0])
    return np.stack(path)


def circumferences(
    metric: MetricLike,
    W: FloatArray,
    U: FloatArray,
    V: FloatArray,
    radius: float,
    steps: int = 20,
    points: int = 16,
) -> tuple[FloatArray, FloatArray]:
    """Return the lengths of the circles about W, in the plane of directions that U and V span.

    A circle is where the geodesics in all directions of the plane are after one and the same length. Its own
    length is measured in the metric, with its tangents from the Fourier series of its points.

    Parameters
    ----------
    metric, W
        As in :func:`geodesic`.
    U, V : (N, N) arrays
        Two directions that are not parallel.
    radius : float
        The radius of the largest circle.
    steps, points : int
        How many circles, and of how many points.

    Returns
    -------
    radii, lengths : (steps,) arrays
    """
    plane = np.stack([U, V])
    half = np.linalg.cholesky(metric.inner(W, plane[:, None], plane))
    first, second = np.tensordot(np.linalg.inv(half), plane, axes=1)  # orthonormal at W
    angles = 2 * np.pi * np.arange(points) / points
    rays = [radius * (np.cos(a) * first + np.sin(a) * second) for a in angles]
    circles = np.stack([geodesic(metric, W, ray, steps)[1:] for ray in rays], axis=1)
    waves = 1j * np.fft.fftfreq(points, 1 / points) * (2 * np.arange(points) != points)
    spectrum = waves[:, None, None] * np.fft.fft(circles, axis=1)
    tangents = np.fft.ifft(spectrum, axis=1).real
    speed = [
        [np.sqrt(metric.inner(*place)) for place in zip(circle, tangent, tangent, strict=True)]
        for circle, tangent in zip(circles, tangents, strict=True)
    ]
    return radius * np.arange(1, steps + 1) / steps, 2 * np.pi * np.mean(speed, axis=1)
