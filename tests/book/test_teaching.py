"""What the page for teachers states as a result, on random instances."""

import numpy as np
import pytest

from fpnotes.rules import reparameterized
from fpnotes.solvers import solve
from fpnotes.tasks import LinearRegression


def excess_after_newton_rate(seed, color):
    """Return what one step of ΔW₂ at η = 1/ℓ_max leaves of J's excess over its minimum."""
    n, m = 6, 15
    rng = np.random.default_rng(seed)
    white = np.sqrt(m) * np.linalg.qr(rng.standard_normal((m, n)))[0]
    x, y = white * color, rng.standard_normal((m, n))
    task = LinearRegression(0.5 * rng.standard_normal((n, n)) / np.sqrt(n), x, y)
    point = solve(task.W0, x, "linear")
    lr = 1 / np.linalg.eigvalsh(2 / m * x.T @ x).max()
    W = task.W0 + reparameterized(task.W0, point, task.error(point.r, y), lr)
    least = task.loss(x @ np.linalg.lstsq(x, y, rcond=None)[0], y)
    after = task.loss(np.linalg.solve(np.eye(n) - W, x.T).T, y)
    return (after - least) / (task.loss(point.r, y) - least)


@pytest.mark.checks("clm-teaching-newton")
@pytest.mark.parametrize("seed", range(5))
def test_newton_in_the_response(seed):
    """One step of ΔW₂ at η = 1/ℓ is at the minimum with white inputs, and not with colored ones."""
    assert abs(excess_after_newton_rate(seed, 0.7)) < 1e-10
    assert excess_after_newton_rate(seed, np.geomspace(1, 0.3, 6)) > 1e-3
