"""The numbered statements of the chapter on finding fixed points, on random instances."""

import numpy as np
import pytest
from scipy.optimize import brentq

from fpnotes import ConvergenceError, linear, softplus, solve, tanh
from fpnotes._iterations import Anderson
from tests.book.test_rate_networks import LIPSCHITZ, SEEDS, contracting, random_network


@pytest.mark.checks("thm-residual", "eq-residual-bound")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", LIPSCHITZ, ids=lambda f: f.name)
def test_a_residual_bounds_the_error(activation, seed):
    """‖r − r*‖ ≤ ‖F(r)‖/(1 − χ) at random r, with equality for one linear neuron."""
    chi = 0.95
    rng, W, x = contracting(seed, chi=chi)
    end = solve(W, x, activation, tol=1e-14).r
    for size in (1e-3, 1, 10):
        r = end + size * rng.standard_normal((50, len(W)))
        residual = activation(r @ W.T + x) - r
        error = np.linalg.norm(r - end, axis=1)
        assert np.all(error <= np.linalg.norm(residual, axis=1) / (1 - chi) + 1e-12)
    r = rng.standard_normal()
    assert abs(r - x[0] / (1 - chi)) == pytest.approx(abs(chi * r + x[0] - r) / (1 - chi))


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
    """Over many steps the residual shrinks by ρ(GW) at each step."""
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


class Counted(float):
    """A number that counts the multiplications and divisions it takes part in."""

    count = 0

    def __mul__(self, other):
        Counted.count += 1
        return Counted(float(self) * float(other))

    __rmul__ = __mul__

    def __truediv__(self, other):
        Counted.count += 1
        return Counted(float(self) / float(other))

    def __add__(self, other):
        return Counted(float(self) + float(other))

    __radd__ = __add__

    def __sub__(self, other):
        return Counted(float(self) - float(other))


def counted(values):
    """Return an array of numbers that count their multiplications, and set the count to 0."""
    Counted.count = 0
    return np.vectorize(Counted, otypes=[object])(values)


def least_squares(columns, target):
    """Return the coefficients of the best combination of the columns, by Gram and Schmidt."""
    Q, p = columns.copy(), columns.shape[1]
    R = np.zeros((p, p), dtype=object)
    for k in range(p):
        R[k, k] = Counted(np.sqrt(float(Q[:, k] @ Q[:, k])))
        Q[:, k] = Q[:, k] / R[k, k]
        for later in range(k + 1, p):
            R[k, later] = Q[:, k] @ Q[:, later]
            Q[:, later] = Q[:, later] - Q[:, k] * R[k, later]
    gamma = Q.T @ target
    for k in reversed(range(p)):
        gamma[k] = (gamma[k] - R[k, k + 1 :] @ gamma[k + 1 :]) / R[k, k]
    return gamma


@pytest.mark.checks("clm-costs")
@pytest.mark.parametrize("n", [30, 60])
def test_multiplications_of_a_step(n):
    """Counted one by one: N² for W r, N³/3 for the factors of I − GW, p²N and a few pN for Anderson's γ."""
    rng, p = np.random.default_rng(n), 6
    W, r = rng.standard_normal((n, n)), rng.standard_normal(n)

    product = counted(W) @ r
    assert Counted.count == n**2
    np.testing.assert_allclose(product.astype(float), W @ r)

    LU = counted(W)
    for k in range(n):
        LU[k + 1 :, k] = LU[k + 1 :, k] / LU[k, k]
        LU[k + 1 :, k + 1 :] = LU[k + 1 :, k + 1 :] - np.outer(LU[k + 1 :, k], LU[k, k + 1 :])
    assert abs(Counted.count / (n**3 / 3) - 1) < 2 / n
    factors = LU.astype(float)
    np.testing.assert_allclose((np.tril(factors, -1) + np.eye(n)) @ np.triu(factors), W, atol=1e-8)

    dF, F = W[:, :p], r
    gamma = least_squares(counted(dF), F)
    np.testing.assert_allclose(gamma.astype(float), np.linalg.lstsq(dF, F, rcond=None)[0])
    assert p**2 * n < Counted.count < p**2 * n + 3 * p * n


@pytest.mark.checks("clm-small-residual")
def test_a_small_residual_need_not_mean_a_small_error():
    """At w = 1, f = tanh, r = 0 a residual of x goes with an error of (3x)^(1/3), and no factor bounds it."""
    x = 10.0 ** -np.arange(3, 10)
    residual = np.tanh(x)
    error = np.array([brentq(lambda r, x=x: np.tanh(r + x) - r, 0, 1, xtol=1e-15) for x in x])
    np.testing.assert_allclose(error, np.cbrt(3 * x), rtol=0.02)
    assert np.all(np.diff(error / residual) > 0) and error[-1] > 1e5 * residual[-1]


@pytest.mark.checks("clm-batch")
@pytest.mark.parametrize("method", ["auto", "relaxation", "anderson", "newton"])
@pytest.mark.parametrize("seed", SEEDS)
def test_each_sample_of_a_batch_is_judged_by_itself(seed, method):
    """Rates and verdict of a sample are those of the sample alone, beside others that fail or nearly fail."""
    rng = np.random.default_rng(seed)
    good, bad = 0.25 - rng.exponential(0.2, 4) - 0.01, 0.25 + rng.exponential(0.2, 3) + 0.01
    x = rng.permutation([*good, *bad, 0.2499, 1e6])[:, None]
    W = [[1.0]]
    batch = solve(W, x, "powerlaw", method=method, on_failure="ignore")
    np.testing.assert_array_equal(batch.converged, x[:, 0] < 0.25)
    for sample, r, converged in zip(x, batch.r, batch.converged, strict=True):
        alone = solve(W, sample, "powerlaw", method=method, on_failure="ignore")
        assert alone.converged == converged
        if converged:
            assert r == pytest.approx(alone.r, abs=1e-6)
    with pytest.raises(ConvergenceError, match=f"{len(bad) + 1} of {len(x)}"):
        solve(W, x, "powerlaw", method=method)
