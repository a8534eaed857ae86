"""The statements of the chapter that compares the rules on a linear map, on random instances."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad, jacobian

from fpnotes import solve
from fpnotes.chapters.linear import BUDGETS, DRAWS, RATES, RESPONSE_RATES, draw, rows, task
from fpnotes.chapters.reproduce import results
from fpnotes.optimizers import Adam, Momentum
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.tasks import LinearRegression
from fpnotes.training import train

SEEDS = [0, 1, 2]


def random_task(seed, n, m, radius=0.5):
    """Draw a linear regression whose targets are not those of a network."""
    rng = np.random.default_rng(seed)
    W0 = radius * rng.standard_normal((n, n)) / np.sqrt(n)
    return LinearRegression(W0=W0, x=rng.standard_normal((m, n)), y=rng.standard_normal((m, n)))


@pytest.mark.slow  # the first 100 steps are tested in tests/package/test_training.py too
@pytest.mark.parametrize(
    ("rule", "lr", "losses"),
    [
        (gradient, 0.1, (3.195, 5.975e-01, 1.177e-01, 4.238e-02)),
        (gradient, 3.0, (3.195, 6.287e-02, 2.475e-02, 1.934e-02)),
        (reparameterized, 0.1, (3.195, 1.108, 1.212e-01, 3.132e-02)),
        (reparameterized, 3.0, (3.195, 1.355e-03, 1.368e-08, 4.027e-14)),
        (linearized, 3.0, (3.195, 1.365e-03, 1.377e-08, 4.053e-14)),
    ],
)
def test_published_run(rule, lr, losses):
    """An independent run of the published protocol had these losses after 0, 100, 500, 1000 steps.

    To 1 %, also where ΔW₁ bounces: a relative change of W₀ by 10⁻¹⁰ moves its loss after 1000 steps
    by 10⁻⁵.
    """
    history = train(LinearRegression.published(), rule, lr, 1000, progress=False)
    np.testing.assert_allclose(history.loss[[0, 100, 500, 1000]], losses, rtol=0.01)


def test_draw():
    """The targets are those of a network of radius 0.5, with noise of size 0.01; W₀ has radius 0.75."""
    data = draw(3, n=400, m=200)
    assert data.x.shape == (200, 400) and data.x.std() == pytest.approx(0.1, rel=0.02)
    assert np.linalg.norm(data.W0, "fro") / np.sqrt(400) == pytest.approx(0.75, rel=0.02)
    rng = np.random.default_rng(3)
    rng.standard_normal((200, 400))
    W_hat = 0.5 * rng.standard_normal((400, 400)) / np.sqrt(400)
    noise = data.y - np.linalg.solve(np.eye(400) - W_hat, data.x.T).T
    assert noise.std() == pytest.approx(0.01, rel=0.02)


def test_table_is_whole():
    """The stored table has every rule at every rate, in every draw, after every number of steps."""
    table = results("linear-memory").set_index(["rule", "lr", "seed", "steps"]).loss
    expected = {
        (rule.__name__, lr, seed, steps)
        for rates, most in ((RATES, 1000), (RESPONSE_RATES, 300))
        for rule, lrs in rates.items()
        for lr in lrs
        for seed in DRAWS
        for steps in BUDGETS
        if steps <= most
    }
    assert set(table.index) == expected and len(table) == len(expected)
    assert (table > 0).all()


@pytest.mark.parametrize(
    ("rule", "lr"),
    [(gradient, 1.0), (Momentum(gradient, 0.9), 0.1), (Adam(gradient), 0.01), (linearized, 14.0)],
)
def test_table_again(rule, lr):
    """The stored losses are those of a run made anew, after 20 and 50 steps."""
    table = results("linear-memory").set_index(["rule", "lr", "seed", "steps"]).loss
    losses = train(task(2), rule, lr, 50, progress=False).loss
    for steps in (20, 50):
        assert losses[steps] == pytest.approx(table[rule.__name__, lr, 2, steps], rel=1e-3)


def test_rows_of_a_run_that_diverged():
    """A run that stops early has an infinite loss in every row after it."""
    history = train(draw(0, n=10, m=5), reparameterized, 60.0, 60, progress=False)
    assert history.diverged_at is not None and 20 < len(history.loss) <= 60
    found = {row["steps"]: row["loss"] for row in rows({("r", 60.0, 0): history}, 100)}
    assert np.isfinite(found[20]) and found[100] == np.inf
    assert set(found) == {steps for steps in BUDGETS if steps <= 100}


def crossings(task, lr):
    """Return the gradient rule's step, and where in 0 < t ≤ 1 the chapter's formula finds singularities."""
    point = solve(task.W0, task.x, "linear")
    error = task.error(point.r, task.y)
    B = np.eye(len(task.W0)) - task.W0
    mu = np.linalg.eigvals(-lr * point.r @ np.linalg.solve(B, np.linalg.solve(B.T, error.T)))
    return gradient(task.W0, point, error, lr), 1 / mu.real[(mu.imag == 0) & (mu.real >= 1)]


@pytest.mark.checks("eq-crossings")
@pytest.mark.parametrize("lr", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_crossings(seed, lr):
    """The count is that of the sign changes of det(I − W − tΔW₁) on a fine grid, and at each it is 0."""
    task = random_task(seed, 7, 4)
    dW, roots = crossings(task, lr)
    B = np.eye(7) - task.W0
    for t in roots:
        singular = np.linalg.svd(B - t * dW, compute_uv=False)
        assert singular[-1] < 1e-9 * singular[0]
    # Grid points lie between the roots, so that the determinant changes its sign at each.
    ends = np.sort(np.r_[0, roots, 1])
    between = (ends[1:] + ends[:-1]) / 2
    grid = np.sort(np.r_[np.linspace(0, 1, 2001), between])
    signs = np.linalg.slogdet(B - grid[:, None, None] * dW)[0]
    assert np.sum(signs[1:] != signs[:-1]) == len(roots)


def test_crossings_are_met():
    """The instances of the test above include steps that meet singularities, and steps that do not."""
    counts = [
        len(crossings(random_task(seed, 7, 4), lr)[1])
        for seed in range(6)
        for lr in (0.01, 0.3, 3.0)
    ]
    assert 0 in counts and max(counts) > 0


@pytest.mark.checks("eq-sharpness")
@pytest.mark.parametrize("seed", SEEDS)
def test_sharpness(seed):
    """At a zero of the loss autograd's Hessian has the stated eigenvalues, largest and condition."""
    n, m = 5, 3
    rng = np.random.default_rng(seed)
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    X = rng.standard_normal((n, m))
    A = np.linalg.inv(np.eye(n) - W)
    R = A @ X  # the targets: the loss is 0 here

    def J(flat):
        B = anp.eye(n) - anp.reshape(flat, (n, n))
        return anp.sum((anp.linalg.solve(B, X) - R) ** 2) / m

    hessian = jacobian(grad(J))(W.ravel())
    found = np.sort(np.linalg.eigvalsh(hessian))[::-1]
    sigma, rho = (np.linalg.svd(K, compute_uv=False) for K in (A, R))
    stated = np.sort(2 / m * np.outer(sigma**2, rho**2).ravel())[::-1]
    np.testing.assert_allclose(found[: n * m], stated, rtol=1e-7, atol=1e-9 * found[0])
    np.testing.assert_allclose(found[n * m :], 0, atol=1e-9 * found[0])
    np.testing.assert_allclose(found[0], 2 / m * (sigma[0] * rho[0]) ** 2)
    kappa = (sigma[0] / sigma[-1] * rho[0] / rho[-1]) ** 2
    np.testing.assert_allclose(found[0] / found[n * m - 1], kappa, rtol=1e-6)
    V = rng.standard_normal((n, n))
    applied = 2 / m * A.T @ A @ V @ R @ R.T
    np.testing.assert_allclose(hessian @ V.ravel(), applied.ravel(), rtol=1e-7, atol=1e-9)


@pytest.mark.checks("eq-lookahead")
@pytest.mark.parametrize("share", [0.3, 0.9, 1.3])
@pytest.mark.parametrize("seed", SEEDS)
def test_lookahead(seed, share):
    """Steps with the gradient at a moved A multiply each mode by 1 − h + h², also where that exceeds 1."""
    n, m = 6, 4
    task = random_task(seed, n, m)
    X, Y = task.x.T, task.y.T
    _, s, Qt = np.linalg.svd(X, full_matrices=False)
    ell = 2 * s**2 / m
    lr = share / ell.max()
    A = np.linalg.inv(np.eye(n) - task.W0)
    start = (A @ X - Y) @ Qt.T
    for _ in range(5):
        ahead = A - lr * 2 / m * (A @ X - Y) @ X.T
        A = A - lr * 2 / m * (ahead @ X - Y) @ X.T
    h = lr * ell
    np.testing.assert_allclose((A @ X - Y) @ Qt.T, (1 - h + h**2) ** 5 * start, atol=1e-9)
    assert (1 - h + h**2).max() > 1 or share < 1
