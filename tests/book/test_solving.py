"""The numbered statements of the chapter on finding fixed points, on random instances."""

import numpy as np
import pytest

from fpnotes import linear, softplus, solve, tanh
from fpnotes._iterations import Anderson
from tests.book.test_rate_networks import LIPSCHITZ, SEEDS, contracting, random_network


@pytest.mark.checks("thm-residual", "eq-residual-bound")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", LIPSCHITZ, ids=lambda f: f.name)
def test_a_residual_bounds_the_error(activation, seed):
    """‖r − r*‖ ≤ ‖F(r)‖/(1 − κ) at random r, with equality for one linear neuron."""
    kappa = 0.95
    rng, W, x = contracting(seed, kappa=kappa)
    end = solve(W, x, activation, tol=1e-14).r
    for size in (1e-3, 1, 10):
        r = end + size * rng.standard_normal((50, len(W)))
        residual = activation(r @ W.T + x) - r
        error = np.linalg.norm(r - end, axis=1)
        assert np.all(error <= np.linalg.norm(residual, axis=1) / (1 - kappa) + 1e-12)
    r = rng.standard_normal()
    assert abs(r - x[0] / (1 - kappa)) == pytest.approx(abs(kappa * r + x[0] - r) / (1 - kappa))


@pytest.mark.checks("eq-relaxation-rate")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", [tanh, softplus], ids=lambda f: f.name)
def test_error_of_a_relaxation_step(activation, seed):
    """A step from r* + u leaves the error ((1 − α)I + αGW)u, up to a term that falls as ‖u‖²."""
    rng, W, x = contracting(seed)
    point = solve(W, x, activation, tol=1e-15)
    alpha = rng.uniform(0.1, 1)
    factor = (1 - alpha) * np.eye(len(W)) + alpha * point.gain[:, None] * W
    direction = rng.standard_normal(len(W))
    sizes, rest = np.array([1e-2, 1e-3, 1e-4]), []
    for size in sizes:
        r = point.r + size * direction
        after = r + alpha * (activation(W @ r + x) - r)
        rest.append(np.linalg.norm(after - point.r - size * factor @ direction))
    order = np.diff(np.log(rest)) / np.diff(np.log(sizes))
    assert order == pytest.approx(2, abs=0.1)


@pytest.mark.checks("eq-relaxation-rate")
@pytest.mark.parametrize("seed", SEEDS)
def test_relaxation_falls_at_the_rate_of_the_largest_eigenvalue(seed):
    """Over many steps the residual shrinks by ρ(GW) a step."""
    _, W, x = random_network(seed, n=100, scale=1.0)
    point = solve(W, x, method="newton", tol=1e-14)
    rho = np.abs(np.linalg.eigvals(point.gain[:, None] * W)).max()
    r, sizes = np.zeros(100), []
    for _ in range(61):
        sizes.append(np.linalg.norm(np.tanh(W @ r + x) - r))
        r = np.tanh(W @ r + x)
    late = np.arange(20, 61)
    slope = np.polyfit(late, np.log(np.array(sizes)[late]), 1)[0]
    assert np.exp(slope) == pytest.approx(rho, rel=0.05)


@pytest.mark.checks("eq-newton")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", [tanh, softplus], ids=lambda f: f.name)
def test_newton_step_squares_the_error(activation, seed):
    """A step (I − GW)⁻¹F from r* + u ends at a distance that falls as ‖u‖²; without the inverse, as ‖u‖."""
    rng, W, x = random_network(seed, scale=1.0)
    end = solve(W, x, activation, method="newton", tol=1e-15).r
    direction = rng.standard_normal(len(W))
    sizes = np.array([1e-2, 1e-3, 1e-4])
    after = {"newton": [], "relaxation": []}
    for size in sizes:
        r = end + size * direction
        z = W @ r + x
        F = activation(z) - r
        step = np.linalg.solve(np.eye(len(W)) - activation.gain(z)[:, None] * W, F)
        after["newton"].append(np.linalg.norm(r + step - end))
        after["relaxation"].append(np.linalg.norm(r + F - end))
    order = {name: np.diff(np.log(e)) / np.diff(np.log(sizes)) for name, e in after.items()}
    assert order["newton"] == pytest.approx(2, abs=0.1)
    assert order["relaxation"] == pytest.approx(1, abs=0.1)


@pytest.mark.checks("eq-anderson")
@pytest.mark.parametrize("seed", SEEDS)
def test_anderson_step(seed):
    """The package's step is r − Δ_rγ + F − Δ_Fγ, γ by least squares; N changes solve a linear network."""
    rng, W, x = random_network(seed, n=12)
    method, history, r = Anderson(1), [], np.zeros(12)
    for _ in range(8):
        F = np.tanh(W @ r + x) - r
        history.append((r, F))
        dr, dF = (np.diff(np.array(rows).T) for rows in zip(*history, strict=True))
        gamma = np.linalg.lstsq(dF, F, rcond=None)[0]
        expected = r - dr @ gamma + F - dF @ gamma
        r = method.propose(np.arange(1), r[None], F[None], np.abs(F).max(keepdims=True))[0]
        assert r == pytest.approx(expected, abs=1e-6)

    W = rng.standard_normal((5, 5))  # relaxation would diverge
    point = solve(W, x[:5], linear, method="anderson", tol=1e-7, max_steps=9)
    assert point.r == pytest.approx(np.linalg.solve(np.eye(5) - W, x[:5]), rel=1e-4, abs=1e-4)
