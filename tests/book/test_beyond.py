"""The statements of the chapter on how far the idea goes, on random instances."""

import numpy as np
import pytest

from fpnotes import reparameterized, solve, train
from fpnotes.optimizers import Adam, InResponse, Momentum, response_step
from fpnotes.tasks import LinearRegression

SEEDS = range(3)


def random_task(seed, n=6, m=9):
    rng = np.random.default_rng(seed)
    W0 = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    return LinearRegression(W0, rng.standard_normal((m, n)), rng.standard_normal((m, n)))


def at(task, W):
    point = solve(W, task.x, "linear")
    return point, task.error(point.r, task.y)


def response(W):
    return np.linalg.inv(np.eye(len(W)) - W)


def slope_in_A(task, A):
    return 2 / len(task.x) * (task.x @ A.T - task.y).T @ task.x


def curvatures(task):
    """Return the curvatures ℓ of the loss in A, and its eigenvectors as columns."""
    return np.linalg.eigh(2 / len(task.x) * task.x.T @ task.x)


@pytest.mark.checks("eq-momentum")
@pytest.mark.parametrize("seed", SEEDS)
def test_momentum(seed):
    """The package's step is the sum over earlier steps D of β to the power of their age, times D."""
    rng = np.random.default_rng(seed)
    D, beta = rng.standard_normal((8, 3, 3)), rng.uniform(0.1, 0.95)
    steps = iter(D)
    rule = Momentum(lambda W, point, error, lr: next(steps), beta)
    for k in range(8):
        expected = sum(beta ** (k - j) * D[j] for j in range(k + 1))
        np.testing.assert_allclose(rule(None, None, None, 1.0), expected, rtol=1e-10, atol=1e-12)
    same = Momentum(lambda W, point, error, lr: D[0], 0.5)
    taken = [same(None, None, None, 1.0) for _ in range(60)]
    np.testing.assert_allclose(taken[-1], D[0] / (1 - 0.5), rtol=1e-12)


@pytest.mark.checks("eq-adam")
@pytest.mark.parametrize("seed", SEEDS)
def test_adam(seed):
    """The package's step is η times a weighted mean of D over the root of a weighted mean of D²."""
    rng = np.random.default_rng(seed)
    D, b1, b2, lr = rng.standard_normal((7, 3, 3)), 0.8, 0.95, 0.03
    steps = iter(D)
    rule = Adam(lambda W, point, error, lr: lr * next(steps), b1, b2)
    for k in range(1, 8):
        age = np.arange(k - 1, -1, -1)
        m = np.tensordot(b1**age / (b1**age).sum(), D[:k], 1)
        v = np.tensordot(b2**age / (b2**age).sum(), D[:k] ** 2, 1)
        expected = lr * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(rule(None, None, None, lr), expected, rtol=1e-9)
    first = Adam(lambda W, point, error, lr: lr * D[0])(None, None, None, lr)
    np.testing.assert_allclose(np.abs(first), lr, rtol=1e-5)


@pytest.mark.checks("eq-seen-in-weights")
@pytest.mark.parametrize("seed", SEEDS)
def test_in_response(seed):
    """Both lines agree with each other and the package, and W + ΔW has the response A + D."""
    task = random_task(seed)
    W, A = task.W0, response(task.W0)
    B = np.eye(6) - W
    D = 0.1 * np.random.default_rng(seed + 50).standard_normal((6, 6))
    first = B - np.linalg.inv(A + D)
    second = np.linalg.solve(np.eye(6) + B @ D, B @ D @ B)
    found = InResponse(lambda W, point, error, lr: D)(W, *at(task, W), 1.0)
    np.testing.assert_allclose(second, first, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found, first, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(response(W + found), A + D, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        InResponse(response_step)(W, *at(task, W), 0.02),
        reparameterized(W, *at(task, W), 0.02),
        rtol=1e-8,
        atol=1e-10,
    )


def heavy_ball(task, lr, beta, steps):
    """Return the parts of A X − Y along the eigenvectors of curvature, after every step on A."""
    A, V = response(task.W0), 0
    best = (np.linalg.pinv(task.x) @ task.y).T
    _, Q = curvatures(task)
    parts = []
    for _ in range(steps + 1):
        parts.append((A - best) @ Q)
        V = beta * V - lr * slope_in_A(task, A)
        A = A + V
    return np.array(parts), A


@pytest.mark.checks("eq-heavy-ball")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", [0.3, 0.9])
def test_heavy_ball(seed, beta):
    """Each mode of the heavy ball on A obeys the recursion, and the package's run in W is that ball."""
    task = random_task(seed)
    ell, _ = curvatures(task)
    lr = 0.5 / ell.max()
    d, _ = heavy_ball(task, lr, beta, 20)
    np.testing.assert_allclose(d[1], (1 - lr * ell) * d[0], rtol=1e-8, atol=1e-10)
    expected = (1 + beta - lr * ell) * d[1:-1] - beta * d[:-2]
    np.testing.assert_allclose(d[2:], expected, rtol=1e-7, atol=1e-9)
    _, A = heavy_ball(task, lr, beta, 19)
    rule = InResponse(Momentum(response_step, beta))
    found = response(train(task, rule, lr, 20, progress=False).W)
    np.testing.assert_allclose(found, A, rtol=1e-6, atol=1e-8)


@pytest.mark.checks("eq-heavy-ball-modes")
@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9, 0.99])
def test_heavy_ball_modes(beta):
    """Both roots have modulus √β in the window, one is larger outside it, and reaches 1 at 2(1 + β)."""
    root = np.sqrt(beta)
    low, high = (1 - root) ** 2, (1 + root) ** 2

    def modulus(product):
        return np.abs(np.roots([1, -(1 + beta - product), beta])).max()

    for product in np.linspace(low, high, 52)[1:-1]:
        assert modulus(product) == pytest.approx(root, rel=1e-10)
    for product in (0.5 * low, 0.9 * low, 1.01 * high):
        assert modulus(product) > root * (1 + 1e-6)
    edge = 2 * (1 + beta)
    assert modulus(edge) == pytest.approx(1) and modulus(1.01 * edge) > 1 > modulus(0.99 * edge)
    for kappa in (3.0, 50.0):
        least = (np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1)
        # At the least β the window is exactly as wide as the modes: its ends have the ratio κ.
        assert ((1 + least) / (1 - least)) ** 2 == pytest.approx(kappa)


@pytest.mark.checks("eq-noise-ridge")
@pytest.mark.parametrize("seed", SEEDS)
def test_noise_ridge(seed):
    """The mean loss over 40,000 noises is J + σ²‖A‖², whose slope vanishes at the stated A."""
    task = random_task(seed)
    A, sigma, m = response(task.W0), 0.3, len(task.x)
    rng = np.random.default_rng(seed + 9)
    noises = sigma * rng.standard_normal((40_000, *task.x.shape))
    losses = (((task.x + noises) @ A.T - task.y) ** 2).sum(axis=(1, 2)) / m
    expected = task.loss(task.x @ A.T, task.y) + sigma**2 * (A**2).sum()
    assert abs(losses.mean() - expected) < 5 * losses.std() / np.sqrt(len(losses))
    X, Y = task.x.T, task.y.T
    best = Y @ X.T @ np.linalg.inv(X @ X.T + m * sigma**2 * np.eye(6))
    slope = slope_in_A(task, best) + 2 * sigma**2 * best
    assert np.abs(slope).max() < 1e-10


def size_limit(k, share, c, points=4000):
    """Return the limit at η = share/ℓ_max from the definition: a sum over the Marchenko–Pastur density."""
    low, high = (1 - c**-0.5) ** 2, (1 + c**-0.5) ** 2
    nu = np.linspace(low, high, points + 2)[1:-1]
    p = np.sqrt((high - nu) * (nu - low)) / nu
    return (nu * (1 - share * nu / high) ** (2 * k) * p).sum() / (nu * p).sum()


@pytest.mark.checks("eq-size-limit")
@pytest.mark.parametrize("c", [2, 4])
def test_size_limit(c):
    """At N = 400 the loss of ΔW₂ after 1, 3 and 10 steps is within 10 % of the limit, for two shapes."""
    n = 400
    rng = np.random.default_rng(c)
    x = 0.1 * rng.standard_normal((n // c, n))
    W_hat = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    W0 = 0.6 * rng.standard_normal((n, n)) / np.sqrt(n)
    task = LinearRegression(W0, x, np.linalg.solve(np.eye(n) - W_hat, x.T).T)
    top = 2 * c * 0.01 * (1 + c**-0.5) ** 2
    ell = 2 * np.linalg.svd(x, compute_uv=False) ** 2 / len(x)
    assert ell.max() == pytest.approx(top, rel=0.05)
    history = train(task, reparameterized, 0.8 / top, 10, progress=False)
    for k in (1, 3, 10):
        assert history.loss[k] / history.loss[0] == pytest.approx(size_limit(k, 0.8, c), rel=0.1)


@pytest.mark.checks("eq-best-memory")
@pytest.mark.parametrize("c", [2, 4])
def test_best_memory(c):
    """At N = 400 the largest modulus of a root is √(m/N), nearly, and a little less or more β gives more."""
    n, s = 400, 0.1
    x = s * np.random.default_rng(c).standard_normal((n // c, n))
    ell = 2 * np.linalg.svd(x, compute_uv=False) ** 2 / len(x)

    def slowest(beta):
        """Return the largest root at the rate that suits the extreme modes best at this β."""
        moduli = []
        for lr in np.linspace(0.5, 1.5, 41) / (2 * c * s**2):
            sum_of_roots = 1 + beta - lr * ell
            root = np.sqrt(sum_of_roots.astype(complex) ** 2 - 4 * beta)
            moduli.append(np.abs([sum_of_roots + root, sum_of_roots - root]).max() / 2)
        return min(moduli)

    beta, lr = 1 / c, 1 / (2 * c * s**2)
    assert (1 + np.sqrt(beta)) ** 2 / ell.max() == pytest.approx(lr, rel=0.03)
    kappa = np.sqrt(ell.max() / ell.min())
    assert ((kappa - 1) / (kappa + 1)) ** 2 == pytest.approx(beta, rel=0.05)
    best = slowest(beta)
    assert best == pytest.approx(np.sqrt(beta), rel=0.05)
    assert slowest(0.7 * beta) > best and slowest(1.4 * beta) > best
