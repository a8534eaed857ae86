"""The statements of the chapter on flatness and the natural gradient, on random instances."""

import numpy as np
import pytest

from fpnotes import distance_to_singularity
from fpnotes.rules import linearized, natural, reparameterized
from tests.book.metric import METRIC, SEEDS, nabla, network, path_length


@pytest.mark.checks("thm-flat")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_response_is_a_flat_coordinate(seed):
    """W ↦ A is invertible and an isometry, to its differential by differences; both signs of det occur."""
    rng = np.random.default_rng(seed)
    signs = set()
    for _ in range(20):
        W, V, h = rng.standard_normal((4, 4)), rng.standard_normal((4, 4)), 1e-7
        np.testing.assert_allclose(METRIC.weights(METRIC.A(W)), W, atol=1e-8)
        h *= distance_to_singularity(W)
        dA = (METRIC.A(W + h * V) - METRIC.A(W - h * V)) / (2 * h)
        np.testing.assert_allclose(np.linalg.norm(dA), METRIC.norm(W, V), rtol=1e-4)
        signs.add(np.sign(np.linalg.det(METRIC.B(W))))
    assert signs == {-1, 1}


@pytest.mark.checks("eq-geodesic")
@pytest.mark.parametrize("seed", SEEDS)
def test_geodesics(seed):
    """I − (A₀ + tK)⁻¹ is what the package follows; with its ends held, no bent path is shorter."""
    rng, W0, _, _, _ = network(seed)
    A0 = METRIC.A(W0)
    D = rng.standard_normal((5, 5)) * 0.5 / np.linalg.norm(np.linalg.inv(A0), 2)
    D /= np.linalg.norm(D, 2) / np.linalg.norm(D) * 2
    t = np.linspace(0, 1, 201)
    path = np.eye(5) - np.linalg.inv(A0 + np.multiply.outer(t, D))
    for s, W in zip(t[::50], path[::50], strict=True):
        np.testing.assert_allclose(METRIC.geodesic(W0, path[-1], s), W, atol=1e-9)

    shortest = path_length(path)
    assert shortest == pytest.approx(np.linalg.norm(D), rel=1e-3)
    for _ in range(3):
        bend = np.multiply.outer(np.sin(np.pi * t), rng.standard_normal((5, 5)))
        assert path_length(path + 0.05 * bend) > shortest


@pytest.mark.checks("thm-mirror")
@pytest.mark.parametrize("seed", range(8))
def test_a_line_is_singular_where_the_mirrored_geodesic_is_at_infinity(seed):
    """The times of singular W on the line are one minus those of singular A on the geodesic."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(10):
        W0, W1 = 1.5 * rng.standard_normal((2, 4, 4))
        B0, B1, A0, A1 = METRIC.B(W0), METRIC.B(W1), METRIC.A(W0), METRIC.A(W1)

        def times(start, end):
            # start + t (end − start) is singular: −1/t is an eigenvalue of start⁻¹(end − start).
            mu = np.linalg.eigvals(np.linalg.solve(start, end - start))
            t = -1 / mu[np.abs(mu.imag) < 1e-9 * np.abs(mu)].real
            return np.sort(t[(t > 0) & (t < 1)])

        line, geodesic = times(B0, B1), times(A0, A1)
        assert len(line) == len(geodesic)
        np.testing.assert_allclose(line, np.sort(1 - geodesic), atol=1e-7)
        found += len(line)
    assert found > 0


@pytest.mark.checks("eq-exp")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_exponential_map(seed):
    """I − B(B+V)⁻¹B is at distance |V|_W, and along −η grad J it is W + ΔW₂ of the package."""
    rng, W, _, point, error = network(seed)
    B = np.eye(5) - W
    for size in (0.1, 1.0):
        V = size * rng.standard_normal((5, 5))
        end = np.eye(5) - B @ np.linalg.inv(B + V) @ B
        np.testing.assert_allclose(METRIC.exp(W, V), end, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(
            METRIC.A(end), METRIC.A(W) + METRIC.push(W, V), rtol=1e-7, atol=1e-8
        )
        np.testing.assert_allclose(METRIC.distance(W, end), METRIC.norm(W, V), rtol=1e-7)
    V = -0.3 * METRIC.gradient(W, nabla(W, point, error)[0])
    end = np.eye(5) - B @ np.linalg.inv(B + V) @ B
    np.testing.assert_allclose(end - W, reparameterized(W, point, error, 0.3), rtol=1e-6, atol=1e-8)


@pytest.mark.checks("eq-exp-series")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_exponential_map_to_second_order(seed):
    """What W + V − VAV leaves out of exp_W(V) is of third order, and W + V leaves out the second."""
    rng, W, _, _, _ = network(seed)
    V, A = 0.1 * rng.standard_normal((5, 5)), METRIC.A(W)
    h = np.array([1e-2, 1e-3])
    end = [METRIC.exp(W, s * V) for s in h]
    first = [np.linalg.norm(E - W - s * V) for s, E in zip(h, end, strict=True)]
    second = [np.linalg.norm(E - W - s * V + s**2 * V @ A @ V) for s, E in zip(h, end, strict=True)]
    assert np.log10(first[0] / first[1]) == pytest.approx(2, abs=0.05)
    assert np.log10(second[0] / second[1]) == pytest.approx(3, abs=0.05)


@pytest.mark.checks("eq-fisher")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_fisher_metric(seed):
    """It is the second-order coefficient of twice the relative entropy of two networks' responses."""
    rng, W, task, _, _ = network(seed)
    sigma, V = 0.7, rng.standard_normal((5, 5))
    A = METRIC.A(W)
    second_moment = task.x.T @ task.x / len(task.x)
    dA = A @ V @ A
    stated = np.sum(dA * (dA @ second_moment)) / sigma**2
    # Twice the divergence of N(Ax, σ²I) from N(A′x, σ²I), averaged over x, is ‖(A − A′)x‖²/σ².
    h = 1e-5
    gap = task.x @ (METRIC.A(W + h * V) - METRIC.A(W - h * V)).T / (2 * h)
    np.testing.assert_allclose((gap**2).sum(axis=1).mean() / sigma**2, stated, rtol=1e-6)
    # And the covariance of the score, estimated from draws of r, within five standard errors.
    x = task.x[rng.integers(len(task.x), size=40_000)]
    xi = sigma * rng.standard_normal(x.shape)
    score = ((xi @ dA) * x).sum(axis=1) / sigma**2
    error = (score**2).std() / np.sqrt(len(x))
    assert abs((score**2).mean() - stated) < 5 * error and error < 0.05 * stated


@pytest.mark.checks("eq-natural")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_natural_gradient(seed):
    """The package's update represents −dJ in the Fisher metric, and is ΔW₃ for white inputs."""
    rng, W, task, point, error = network(seed)
    D, D_A = nabla(W, point, error)
    A, B = METRIC.A(W), METRIC.B(W)
    second_moment = task.x.T @ task.x / len(task.x)
    step = natural(W, point, error, 1.0)
    np.testing.assert_allclose(
        step, -B @ D_A @ np.linalg.inv(second_moment) @ B, rtol=1e-6, atol=1e-8
    )
    for _ in range(3):
        V = rng.standard_normal((5, 5))
        inner = np.sum((A @ step @ A) * (A @ V @ A @ second_moment))
        np.testing.assert_allclose(inner, -np.sum(D * V), rtol=1e-6, atol=1e-7)
    assert np.linalg.norm(step - linearized(W, point, error, 1.0)) > 0.1 * np.linalg.norm(step)
    s = 0.3
    np.testing.assert_allclose(
        natural(W, point, error, 0.2, covariance=s * np.eye(5)),
        linearized(W, point, error, 0.2 / s),
        rtol=1e-7,
        atol=1e-9,
    )
