"""The statements of the chapter on learning the response, on random instances."""

import re

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from scipy.optimize import least_squares, minimize

from fpnotes import solve, spectral_abscissa
from fpnotes.network import SingularityError
from fpnotes.rules import gradient, reparameterized
from fpnotes.tasks import LinearRegression
from fpnotes.training import train

SEEDS = [0, 1, 2]
SHAPES = [(6, 4), (5, 9)]  # neurons and samples: fewer samples than neurons, and more


def random_task(seed, n, m):
    """Draw a linear regression, its targets not those of a network."""
    rng = np.random.default_rng(seed)
    W0 = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    return LinearRegression(W0=W0, x=rng.standard_normal((m, n)), y=rng.standard_normal((m, n)))


def response(W):
    return np.linalg.inv(np.eye(len(W)) - W)


def loss(A, task):
    return ((task.x @ A.T - task.y) ** 2).sum() / len(task.x)


def gradient_in_A(A, task):
    """Return the gradient of the loss in A by autograd, which knows nothing of errors."""
    return grad(lambda A: anp.sum((task.x @ A.T - task.y) ** 2) / len(task.x))(A)


def modes(task):
    """Return the curvatures ℓ, largest first, with those that are zero, and the rows vᵢᵀ."""
    _, sigma, Vt = np.linalg.svd(task.x.T)
    ell = np.zeros(len(task.x))
    ell[: len(sigma)] = 2 * sigma**2 / len(task.x)
    return ell, Vt


def at(W, task):
    """Return the fixed points at W, and the error there."""
    point = solve(W, task.x, "linear")
    return point, task.error(point.r, task.y)


@pytest.mark.checks("eq-one-neuron-in-a")
@pytest.mark.parametrize("w0", [-6.0, 0.8, 1.5])
@pytest.mark.parametrize("share", [0.1, 0.7, 1.1])
def test_one_neuron_in_a(w0, share):
    """One neuron trained by ΔW₂ follows the closed form, response and loss, also where it diverges."""
    task = LinearRegression.one_neuron(w0)
    x, y = task.x[:, 0], task.y[:, 0]
    c0, c1, c2 = (y**2).mean(), (x * y).mean(), (x**2).mean()
    a0, a_hat, lr = 1 / (1 - w0), c1 / c2, share / c2
    history = train(
        task, reparameterized, lr, 12, progress=False, record={"w": lambda W, point: W[0, 0]}
    )
    assert history.diverged_at is None
    factor = (1 - 2 * lr * c2) ** np.arange(13)
    a = 1 / (1 - history.recorded["w"])
    np.testing.assert_allclose(a - a_hat, factor * (a0 - a_hat), rtol=1e-7, atol=1e-12)
    least = c0 - c1**2 / c2
    excess = factor**2 * (c0 - 2 * c1 * a0 + c2 * a0**2 - least)
    np.testing.assert_allclose(history.loss - least, excess, rtol=1e-7, atol=1e-14)


@pytest.mark.checks("eq-response-loss")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_response_loss(seed, n, m):
    """The solved network has the loss of its response, which on a line of A is an upward parabola."""
    task = random_task(seed, n, m)
    A = response(task.W0)
    point, _ = at(task.W0, task)
    np.testing.assert_allclose(task.loss(point.r, task.y), loss(A, task), rtol=1e-8)
    rng = np.random.default_rng(seed + 100)
    V = rng.standard_normal((n, n))
    V /= np.linalg.norm(V)
    curvature = 2 / m * np.linalg.norm(V @ task.x.T) ** 2
    line = np.linspace(-40, 40, 9)  # with singular A in between, or not
    losses = np.array([loss(A + t * V, task) for t in line])
    np.testing.assert_allclose(np.diff(losses, 2), curvature * 10.0**2, rtol=1e-9)
    assert curvature >= 0 and np.isfinite(loss(np.zeros((n, n)), task))


@pytest.mark.checks("eq-gradient-A")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_in_A(seed, n, m):
    """The sum over samples of error times input is what autograd finds by differentiating J in A."""
    task = random_task(seed, n, m)
    _, error = at(task.W0, task)
    np.testing.assert_allclose(
        error.T @ task.x, gradient_in_A(response(task.W0), task), rtol=1e-6, atol=1e-8
    )


@pytest.mark.checks("eq-gradient-link")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_link(seed, n, m):
    """The gradient rule's ∇J is Aᵀ ∇_A J Aᵀ, and so is what autograd finds through the inverse."""
    task = random_task(seed, n, m)
    W, A = task.W0, response(task.W0)
    linked = A.T @ gradient_in_A(A, task) @ A.T
    point, error = at(W, task)
    np.testing.assert_allclose(-gradient(W, point, error, 1.0), linked, rtol=1e-6, atol=1e-8)
    by_autograd = grad(
        lambda W: anp.sum((task.x @ anp.linalg.inv(anp.eye(n) - W).T - task.y) ** 2) / m
    )(W)
    np.testing.assert_allclose(by_autograd, linked, rtol=1e-9, atol=1e-11)


def logistic_loss(A, x, y):
    """Return a convex loss that is no square: the mean of log(1 + exp(r)) − y r."""
    return anp.sum(anp.logaddexp(0.0, anp.dot(x, A.T)) - y * anp.dot(x, A.T)) / len(x)


def squared_loss(A, x, y):
    return anp.sum((anp.dot(x, A.T) - y) ** 2) / len(x)


@pytest.mark.checks("thm-critical")
@pytest.mark.parametrize("convex", [squared_loss, logistic_loss])
def test_no_false_minimum(convex):
    """Every point found by solving ∇J = 0 in W has ∇_A J = 0 and the least loss of all A, for two losses."""
    rng = np.random.default_rng(0)
    n, m, found = 2, 8, 0
    x = rng.standard_normal((m, n))
    y = 1 / (1 + np.exp(-x + 0.5 * rng.standard_normal((m, n))))
    in_A = grad(convex)
    least = minimize(
        lambda a: (convex(a.reshape(n, n), x, y), in_A(a.reshape(n, n), x, y).ravel()),
        np.zeros(n * n),
        jac=True,
        tol=1e-10,
    ).fun
    # ∇J by autograd through the inverse, which does not know of the link:
    slope = grad(lambda W: convex(anp.linalg.inv(anp.eye(n) - W), x, y))

    def residual(w):
        """Return ∇J times 1 + ‖W‖², which on a plateau does not vanish at infinity."""
        return (1 + w @ w) * slope(w.reshape(n, n)).ravel()

    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 100}
    for _ in range(15):  # Look for critical points of any kind, not for minima.
        start = 1.5 * rng.standard_normal(n * n)
        W = least_squares(residual, start, **tight).x.reshape(n, n)
        if np.linalg.norm(residual(W.ravel())) < 1e-10:
            A = response(W)
            assert np.linalg.norm(in_A(A, x, y)) < 1e-8
            np.testing.assert_allclose(convex(A, x, y), least, rtol=1e-9)
            found += 1
    assert found >= 3


@pytest.mark.checks("thm-critical")
def test_false_minimum_with_tied_weights():
    """Where not all weights are free, a minimum need not be global: two neurons that share one weight."""
    x, y = np.eye(2), np.array([[2.0, -1.0], [3.0, -0.5]])
    w = np.linspace(-8, 8, 16_002)
    J = [loss(response(np.array([[0, v], [v, 0]])), LinearRegression(np.eye(2), x, y)) for v in w]
    inner = [i for i in range(1, len(w) - 1) if J[i - 1] > J[i] < J[i + 1]]
    assert max(J[i] for i in inner) > 1.1 * min(J)


@pytest.mark.checks("eq-reparameterized")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_reparameterized(seed, n, m):
    """The package's ΔW₂ leads to the weights whose response is A − η ∇_A J, by explicit inverses."""
    task = random_task(seed, n, m)
    W, A = task.W0, response(task.W0)
    point, error = at(W, task)
    for lr in (0.01, 0.3):
        landing = A - lr * gradient_in_A(A, task)
        dW = reparameterized(W, point, error, lr)
        expected = np.eye(n) - W - np.linalg.inv(landing)
        assert np.abs(dW - expected).max() < 1e-6 * np.abs(expected).max()
        np.testing.assert_allclose(response(W + dW), landing, rtol=1e-5, atol=1e-6)


@pytest.mark.checks("eq-woodbury")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_woodbury(seed, n, m):
    """The form with one m×m factorization equals the definition, and the package, to rounding."""
    task = random_task(seed, n, m)
    W, X = task.W0, task.x.T
    point, error = at(W, task)
    B, E, lr = np.eye(n) - W, error.T, 0.2
    definition = B - np.linalg.inv(np.linalg.inv(B) - lr * E @ X.T)
    form = -lr * B @ E @ np.linalg.inv(np.eye(m) - lr * X.T @ B @ E) @ X.T @ B
    scale = np.abs(definition).max()
    assert np.abs(form - definition).max() < 1e-10 * scale
    assert np.abs(reparameterized(W, point, error, lr) - definition).max() < 1e-10 * scale


@pytest.mark.checks("thm-descent-on-A")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_descent_on_A(seed, n, m):
    """Twenty steps of ΔW₂ are twenty steps of gradient descent on A, to 1e-9 relative in W.

    On the way W may pass 10³, where no solve leaves a residual below 1e-13: tol stays as it is.
    """
    task = random_task(seed, n, m)
    lr = 0.5 / modes(task)[0].max()
    A = response(task.W0)
    for _ in range(20):
        A = A - lr * gradient_in_A(A, task)
    W = train(task, reparameterized, lr, 20, progress=False).W
    expected = np.eye(n) - np.linalg.inv(A)
    assert np.linalg.norm(W - expected) < 1e-9 * np.linalg.norm(expected)


@pytest.mark.checks("thm-descent-on-A")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_descent_on_A_converges_below_two_over_L(seed, n, m):
    """Below η = 2/ℓmax the loss only falls, to least squares; at 2/ℓmax not, and above it diverges."""
    task = random_task(seed, n, m)
    ell, _ = modes(task)
    largest = np.linalg.eigvalsh(2 / m * task.x.T @ task.x).max()
    np.testing.assert_allclose(largest, ell.max())
    least = loss((np.linalg.pinv(task.x) @ task.y).T, task)

    def losses(lr, steps):
        A, found = response(task.W0), []
        for _ in range(steps):
            found.append(loss(A, task))
            A = A - lr * 2 / m * (task.x @ A.T - task.y).T @ task.x
        return np.array(found)

    safe = losses(1.98 / largest, 3000)
    assert (np.diff(safe) <= 1e-12 * safe[0]).all()
    np.testing.assert_allclose(safe[-1], least, rtol=1e-5, atol=1e-5 * safe[0])
    assert losses(2.1 / largest, 400)[-1] > 1e6 * safe[0]
    assert losses(2 / largest, 3000)[-1] > least + 1e-3 * safe[0]


@pytest.mark.checks("eq-learning-curve")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_learning_curve(seed, n, m):
    """The closed form gives every loss of a training run by ΔW₂ to 1e-9, with J∞ > 0 when m > N."""
    task = random_task(seed, n, m)
    ell, Vt = modes(task)
    seen = ell > 1e-12
    D0 = (task.x @ response(task.W0).T - task.y).T
    floor = ((task.y.T @ Vt[~seen].T) ** 2).sum() / m
    assert (floor > 0.01) == (m > n)
    share = ((D0 @ Vt[seen].T) ** 2).sum(axis=0) / m
    for lr in (0.2 / ell.max(), 1.5 / ell.max()):
        history = train(task, reparameterized, lr, 25, progress=False)
        k = np.arange(26)[:, None]
        expected = floor + ((1 - lr * ell[seen]) ** (2 * k) * share).sum(axis=1)
        np.testing.assert_allclose(history.loss, expected, rtol=1e-9)


@pytest.mark.checks("eq-still-descent")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_still_descent(seed, n, m):
    """Both lines hold with a remainder of second order: halving η quarters it."""
    task = random_task(seed, n, m)
    W, A = task.W0, response(task.W0)
    B = np.eye(n) - W
    slope_in_A = gradient_in_A(A, task)
    slope = A.T @ slope_in_A @ A.T
    point, error = at(W, task)

    def remainders(lr):
        dW = reparameterized(W, point, error, lr)
        first = dW + lr * (B @ B.T) @ slope @ (B.T @ B)
        gain = -np.sum(dW * slope) - lr * np.sum(slope_in_A**2)
        return np.array([np.linalg.norm(first), gain])

    order = np.log2(np.abs(remainders(2e-4) / remainders(1e-4)))
    np.testing.assert_allclose(order, 2, atol=0.05)
    assert -np.sum(reparameterized(W, point, error, 1e-4) * slope) > 0


def direction(W, x, y, lr):
    """Return ⟨∇J, ΔW₂⟩, ∇_A J and the loss before and after; ΔW₂ by its definition, with inverses."""
    A, task = response(W), LinearRegression(W, x, y)
    slope_in_A = 2 / len(x) * (x @ A.T - y).T @ x
    after = A - lr * slope_in_A
    dW = np.eye(len(W)) - W - np.linalg.inv(after)
    inner = np.sum(A.T @ slope_in_A @ A.T * dW)
    return inner, slope_in_A, loss(A, task), loss(after, task)


@pytest.mark.checks("thm-leaves-uphill")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_step_goes_down_although_its_direction_may_not(seed, n, m):
    """Up to η = 2/ℓmax no loss rises and the formula holds, uphill directions included, which occur."""
    uphill = 0
    for k in range(40):
        task = random_task([seed, k], n, m)
        for share in (0.1, 0.9, 1.0):
            lr = share * 2 / modes(task)[0].max()
            inner, slope, before, after = direction(task.W0, task.x, task.y, lr)
            B = np.eye(n) - task.W0
            stated = -lr * np.sum(slope * np.linalg.solve(np.eye(n) - lr * slope @ B, slope))
            np.testing.assert_allclose(inner, stated, rtol=1e-6)
            assert after <= before * (1 + 1e-12)
            uphill += inner > 0 and share < 1
    assert uphill >= 10


@pytest.mark.checks("thm-leaves-uphill")
@pytest.mark.parametrize("seed", SEEDS)
def test_direction_below_its_rate_is_downhill(seed):
    """No hill climb on cos(∇J, ΔW₂) over W, x, y gets it to 0 at η‖∇_A J·B‖₂ = 0.99; at 1.5 all pass it."""
    n, m = 3, 4

    def cosine(packed, share):
        W, x, y = np.split(packed.reshape(n + 2 * m, n), [n, n + m])
        slope = direction(W, x, y, 0.0)[1]
        lr = share / np.linalg.norm(slope @ (np.eye(n) - W), 2)
        inner, slope, _, _ = direction(W, x, y, lr)
        B = np.eye(n) - W
        dW = B - np.linalg.inv(np.linalg.inv(B) - lr * slope)
        link = np.linalg.inv(B).T @ slope @ np.linalg.inv(B).T
        return inner / np.linalg.norm(dW) / np.linalg.norm(link)

    for share, uphill in ((0.99, False), (1.5, True)):
        rng = np.random.default_rng(seed)
        place = np.r_[0.5 * rng.standard_normal(n * n), rng.standard_normal(2 * n * m)]
        best = cosine(place, share)
        for _ in range(1500):
            tried = place + rng.choice([0.01, 0.1, 0.5]) * rng.standard_normal(place.size)
            if (found := cosine(tried, share)) > best:
                place, best = tried, found
        assert (best > 0) == uphill


@pytest.mark.checks("thm-leaves-uphill")
def test_one_neuron_leaves_uphill_exactly_where_it_jumps():
    """For one neuron ⟨∇J, ΔW₂⟩ > 0 exactly if a changes its sign, at 1000 random weights and rates."""
    rng, seen = np.random.default_rng(0), set()
    for _ in range(1000):
        W, (x, y) = rng.uniform(-9, 9, (1, 1)), rng.standard_normal((2, 3, 1))
        lr = rng.uniform(0, 1) * 3 / np.sum(x**2)  # up to 2/ℓmax
        inner, slope, _, _ = direction(W, x, y, lr)
        a = response(W).item()
        jumps = a * (a - lr * slope.item()) < 0
        assert (inner > 0) == jumps
        seen.add(jumps)
    assert seen == {True, False}


class Counted:
    """Products and one factorization as they are done by hand, with their multiplications counted."""

    def __init__(self):
        self.count = 0

    def product(self, left, right):
        self.count += left.shape[0] * left.shape[1] * right.shape[1]
        return left @ right

    def solve(self, M, right):
        """Eliminate, without pivots, and substitute back."""
        M, right = M.copy(), right.copy()
        for k in range(len(M)):
            for i in range(k + 1, len(M)):
                factor = M[i, k] / M[k, k]
                M[i, k + 1 :] -= factor * M[k, k + 1 :]
                right[i] -= factor * right[k]
                self.count += 1 + M[i, k + 1 :].size + right[k].size
        for k in reversed(range(len(M))):
            right[k] = right[k] / M[k, k]
            self.count += right[k].size
            for i in range(k):
                right[i] -= M[i, k] * right[k]
                self.count += right[k].size
        return right


@pytest.mark.checks("clm-woodbury-cost")
@pytest.mark.parametrize("n, m", [(60, 10), (60, 40), (60, 60), (150, 60)])
def test_multiplications_of_the_woodbury_form(n, m):
    """Counted one by one, the multiplications of a ΔW₂ equal to the package's are those stated, to 2 %."""
    task = random_task(0, n, m)
    point, error = at(task.W0, task)
    B, E, X, lr, by = np.eye(n) - task.W0, error.T, task.x.T, 0.01, Counted()
    BE, XB = by.product(B, E), by.product(X.T, B)
    middle = by.solve(np.eye(m) - lr * by.product(X.T, BE), XB)
    dW = -lr * by.product(BE, middle)
    np.testing.assert_allclose(dW, reparameterized(task.W0, point, error, lr), atol=1e-9)
    assert abs(by.count / (3 * n**2 * m + 2 * n * m**2 + m**3 / 3) - 1) < 0.02


@pytest.mark.checks("thm-safe-rate")
@pytest.mark.parametrize("n, m", SHAPES)
@pytest.mark.parametrize("seed", range(6))
def test_safe_rate(seed, n, m):
    """The determinant along the step vanishes at 1/μ and only there, and counts the jumps over it."""
    task = random_task(seed, n, m)
    A = response(task.W0)
    slope = gradient_in_A(A, task)
    mu = np.linalg.eigvals(np.linalg.solve(A, slope))
    positive = mu.real[(np.abs(mu.imag) < 1e-9) & (mu.real > 1e-9)]

    def side(lr):
        return np.linalg.slogdet(A - lr * slope)[0] * np.linalg.slogdet(A)[0]

    for root in 1 / positive:
        singular = np.linalg.svd(A - root * slope, compute_uv=False)
        assert singular[-1] < 1e-8 * singular[0]
    first = 1 / positive.max() if positive.size else 1e3
    assert all(side(lr) == 1 for lr in np.linspace(0, 0.999 * first, 200))
    for lr in np.geomspace(1e-3, 1e3, 61):
        assert side(lr) == (-1) ** np.sum(positive > 1 / lr)


@pytest.mark.checks("thm-safe-rate")
@pytest.mark.parametrize("n, m", SHAPES)
def test_unsafe_rate_is_refused(n, m):
    """The package refuses the step onto a singular A, says which η are safe, and takes those just below."""
    refused = 0
    for seed in range(6):
        task = random_task(seed, n, m)
        point, error = at(task.W0, task)
        B = np.eye(n) - task.W0
        mu = np.linalg.eigvals(B @ error.T @ task.x)
        positive = mu.real[(np.abs(mu.imag) < 1e-9) & (mu.real > 1e-9)]
        if positive.size:
            safe = 1 / positive.max()
            with pytest.raises(SingularityError) as refusal:
                reparameterized(task.W0, point, error, safe)
            named = re.search(r"below (\S+) is safe", str(refusal.value))
            assert named
            np.testing.assert_allclose(float(named[1]), safe, rtol=1e-5)
            assert np.isfinite(reparameterized(task.W0, point, error, 0.99 * safe)).all()
            refused += 1
    assert refused >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_stability_is_seen_in_the_response(seed):
    """W is stable exactly if every eigenvalue of its response has a positive real part."""
    rng = np.random.default_rng(seed)
    seen = set()
    for _ in range(20):
        W = 1.1 * rng.standard_normal((8, 8)) / np.sqrt(8)
        stable = bool((np.linalg.eigvals(response(W)).real > 0).all())
        assert stable == (spectral_abscissa(W) < 1)
        seen.add(stable)
    assert seen == {True, False}
