"""The statements of the chapter on flatness and the natural gradient, on random instances."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from scipy.linalg import expm, logm, polar

from fpnotes import distance_to_singularity, solve
from fpnotes.chapters.geodesics import circumferences, geodesic
from fpnotes.geometry import riemann_tensor
from fpnotes.rules import gradient, linearized, natural, reparameterized
from fpnotes.tasks import LinearRegression
from tests.book.metric import METRIC, SEEDS, nabla, network, path_length


class OneSided:
    """The inner product ⟨AU, AV⟩_F."""

    def inner(self, W, U, V):
        A = anp.linalg.inv(anp.eye(len(W)) - W)
        return anp.sum((A @ U) * (A @ V), axis=(-2, -1))


def loss(task, W):
    """Return the mean squared error of a regression with the response of W, however stable."""
    return ((task.x @ METRIC.A(W).T - task.y) ** 2).sum(axis=1).mean()


def least_squares(task):
    """Return the response of least loss, and that loss."""
    A = np.linalg.lstsq(task.x, task.y, rcond=None)[0].T
    return A, ((task.x @ A.T - task.y) ** 2).sum(axis=1).mean()


def climb(margin, start, rng, steps=400):
    """Return the largest margin that a random search climbs to from a start, with a step that adapts."""
    place, best, size = start, margin(start), 0.3
    for _ in range(steps):
        trial = place + size * rng.standard_normal(np.shape(place))
        value = margin(trial)
        better = value > best
        place, best = (trial, value) if better else (place, best)
        size *= 1.5 if better else 0.9
    return best


@pytest.mark.checks("thm-flat")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_response_is_a_flat_coordinate(seed):
    """W ↦ A is invertible both ways, and ⟨U, V⟩_W is the Euclidean product of images by differences."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        W, U, V = rng.standard_normal((3, 4, 4))
        np.testing.assert_allclose(METRIC.weights(METRIC.A(W)), W, atol=1e-8)
        np.testing.assert_allclose(METRIC.A(METRIC.weights(V)), V, atol=1e-8)
        h = 1e-6 * distance_to_singularity(W)
        dU, dV = ((METRIC.A(W + h * D) - METRIC.A(W - h * D)) / (2 * h) for D in (U, V))
        size = METRIC.norm(W, U) * METRIC.norm(W, V)
        assert abs(np.sum(dU * dV) - METRIC.inner(W, U, V)) < 1e-5 * size


@pytest.mark.checks("thm-flat")
@pytest.mark.parametrize("seed", SEEDS)
def test_no_curvature_is_found_from_the_inner_product(seed):
    """The Riemann tensor is 0 to rounding on both components, and that of the one-sided metric is not."""
    W = 0.3 * np.random.default_rng(seed).standard_normal((2, 2))
    for at in (W, W + np.diag([2.0, 0])):
        assert np.abs(riemann_tensor(METRIC, at)).max() < 1e-9
        assert np.abs(riemann_tensor(OneSided(), at)).max() > 0.1
    assert np.linalg.det(METRIC.B(W)) > 0 > np.linalg.det(METRIC.B(W + np.diag([2.0, 0])))


def to_its_corner(A, count=201):
    """Return the proof's path of responses from A to I, or to diag(−1, 1, …, 1), (2 count, N, N)."""
    t = np.linspace(0, 1, count)[:, None, None]
    turn, P = polar(A)
    F = np.eye(len(A))
    F[0, 0] = np.linalg.det(turn)
    angles = np.real(np.asarray(logm(turn @ F)))  # antisymmetric: plane rotations and their angles
    assert np.allclose(angles, -angles.T, atol=1e-6)
    return np.concatenate([turn @ ((1 - t) * P + t * np.eye(len(A))), expm((1 - t) * angles) @ F])


@pytest.mark.checks("thm-components")
@pytest.mark.parametrize("seed", range(12))
def test_two_components(seed):
    """The proof's path joins responses of one sign and meets no singular one; between two signs W does."""
    rng = np.random.default_rng(seed)
    n = 2 + seed % 4
    for _ in range(5):
        A0, A1 = rng.standard_normal((2, n, n))
        signs = [np.sign(np.linalg.det(np.linalg.inv(A))) for A in (A0, A1)]
        if signs[0] == signs[1]:
            path = np.concatenate([to_its_corner(A0), to_its_corner(A1)[::-1]])
            np.testing.assert_allclose(path[[0, -1]], [A0, A1], atol=1e-9)
            middle = len(path) // 2
            np.testing.assert_allclose(path[middle - 1], path[middle], atol=1e-6)
            # Each piece is continuous: halves of its mesh halve its largest step.
            assert np.linalg.norm(np.diff(path, axis=0), axis=(1, 2)).max() < 0.1 * n
            least = min(1, *(np.linalg.svd(A)[1][-1] for A in (A0, A1)))
            assert np.linalg.svd(path)[1].min() > least * (1 - 1e-6)
        else:
            # Any path will do: det(I − W) changes its sign, so it is 0 between two of its points.
            t = np.linspace(0, 1, 2001)[:, None, None]
            W0, W1 = METRIC.weights(A0), METRIC.weights(A1)
            W = (1 - t) * W0 + t * W1 + np.sin(np.pi * t) * rng.standard_normal((n, n))
            sign = np.sign(np.linalg.det(np.eye(n) - W))
            assert (sign[1:] != sign[:-1]).any()


@pytest.mark.checks("clm-circles")
@pytest.mark.parametrize("seed", SEEDS)
def test_circles_show_curvature(seed):
    """The circles drawn, against 2πε; and small ones anywhere, against the Riemann tensor: 1 − Kε²/6."""

    class Sphere:
        """The unit sphere in stereographic coordinates."""

        def inner(self, W, U, V):
            return 4 * anp.sum(U * V, axis=(-2, -1)) / (1 + anp.sum(W**2)) ** 2

    rng = np.random.default_rng(seed)
    W = 0.2 * rng.standard_normal((2, 2))
    for metric in (METRIC, OneSided(), Sphere()):
        plane = rng.standard_normal((2, 2, 2))
        radii, lengths = circumferences(metric, W, *plane, radius=0.1, steps=4)
        shortage = 1 - lengths / (2 * np.pi * radii)
        curvature = sectional(metric, W, *plane)
        np.testing.assert_allclose(shortage, curvature * radii**2 / 6, rtol=0.05, atol=1e-6)
        assert not isinstance(metric, Sphere) or curvature == pytest.approx(1)

    W, plane = np.zeros((2, 2)), np.array([[[1.0, 0], [0, -1]], [[0, 1], [1, 0]]])
    radii, lengths = circumferences(METRIC, W, *plane, radius=1.0)
    np.testing.assert_allclose(lengths, 2 * np.pi * radii, rtol=1e-3)
    radii, lengths = circumferences(OneSided(), W, *plane, radius=1.0)
    assert (lengths > 2 * np.pi * radii).all()
    assert sectional(OneSided(), W, *plane) == pytest.approx(-3.5)
    # A geodesic of the one-sided metric is known: a product of exponentials.
    V = 0.7 * rng.standard_normal((2, 2))
    end = np.eye(2) - expm(-V.T) @ expm(-(V - V.T))
    np.testing.assert_allclose(geodesic(OneSided(), W, V, steps=80)[-1], end, atol=1e-4)


def sectional(metric, W, U, V):
    """Return the curvature of the plane of U and V at W, from the Riemann tensor."""
    basis = np.eye(W.size).reshape(-1, *W.shape)
    g, u, v = metric.inner(W, basis[:, None], basis), U.ravel(), V.ravel()
    R = np.einsum("al,lijk,a,i,j,k->", g, riemann_tensor(metric, W), u, v, u, v)
    return R / ((u @ g @ u) * (v @ g @ v) - (u @ g @ v) ** 2)


@pytest.mark.checks("eq-geodesic")
@pytest.mark.parametrize("seed", SEEDS)
def test_geodesics(seed):
    """I − (A₀ + tK)⁻¹ is what the package follows; a bent path, its ends held, straightens as it shortens."""
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
    bends = np.sin(np.multiply.outer(np.pi * t, [1, 2]))
    start = 0.1 * rng.standard_normal((2, 5, 5))
    found = climb(lambda bend: -path_length(path + np.tensordot(bends, bend, 1)), start, rng)
    bent = path_length(path + np.tensordot(bends, start, 1))
    assert shortest < -found < shortest + 0.3 * (bent - shortest)


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


@pytest.mark.checks("thm-convex")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_along_a_geodesic(seed):
    """Its second derivative by differences is (2/m) Σ|Kx|², within bounds that are attained."""
    rng, W, task, _, _ = network(seed, m=8 if seed % 2 else 4)
    V, h = rng.standard_normal((5, 5)), 0.05
    values, vectors = np.linalg.eigh(2 * task.x.T @ task.x / len(task.x))
    K = METRIC.push(W, V)
    at = [loss(task, METRIC.exp(W, t * V)) for t in h * np.arange(-2, 3)]
    second = 2 * ((task.x @ K.T) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(np.diff(at, 2) / h**2, second, rtol=1e-6)
    np.testing.assert_allclose(np.diff(at, 3), 0, atol=1e-8 * max(at))
    assert 0 <= second <= values[-1] * np.sum(K**2)
    top = np.outer(rng.standard_normal(5), vectors[:, -1])
    np.testing.assert_allclose(
        2 * ((task.x @ top.T) ** 2).sum(axis=1).mean(), values[-1] * np.sum(top**2)
    )


@pytest.mark.checks("thm-convex")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_network_without_gradient_has_the_least_loss(seed):
    """Climbing finds no excess loss above |Bᵀ∇JBᵀ|²/2ℓ, with ℓ the least curvature that is not 0."""
    rng, W, task, _, _ = network(seed, n=3, m=6 if seed % 2 else 2)
    least = least_squares(task)[1]
    values = np.linalg.eigvalsh(2 * task.x.T @ task.x / len(task.x))
    smallest = values[values > 1e-9 * values[-1]][0]

    nabla = grad(lambda W: loss(task, W))

    def ratio(A):
        W, B = METRIC.weights(A), np.linalg.inv(A)
        excess = loss(task, W) - least
        return excess * 2 * smallest / np.sum((B.T @ nabla(W) @ B.T) ** 2)

    found = max(climb(ratio, METRIC.A(W) + rng.standard_normal((3, 3)), rng) for _ in range(3))
    assert 0.8 < found <= 1 + 1e-6


@pytest.mark.checks("thm-convex")
@pytest.mark.parametrize("n", [2, 3, 5])
def test_networks_of_one_component_that_no_geodesic_joins(n):
    """0 and diag(2, 2, 0, …) have the same sign of det, and their chord is singular in its middle."""
    W0, W1 = np.zeros((n, n)), np.diag([2.0, 2.0] + [0.0] * (n - 2))
    A0, A1 = METRIC.A(W0), METRIC.A(W1)
    np.testing.assert_allclose([np.linalg.det(A0), np.linalg.det(A1)], 1)
    assert np.linalg.matrix_rank((A0 + A1) / 2) == n - 2
    with pytest.raises(ValueError, match="singularity"):
        METRIC.geodesic(W0, W1, 0.5)


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


class Described:
    """The response metric, seen by those who describe W by θ = sinh(MW), entry by entry."""

    def __init__(self, M):
        self.M, self.inverse = M, np.linalg.inv(M)

    def theta(self, W):
        return np.sinh(self.M @ W)

    def weights(self, theta):
        return self.inverse @ anp.arcsinh(theta)

    def push(self, theta, V):
        """Return the change of W that a change V of θ is."""
        return self.inverse @ (V / anp.sqrt(1 + theta**2))

    def inner(self, theta, U, V):
        return METRIC.inner(self.weights(theta), self.push(theta, U), self.push(theta, V))


@pytest.mark.checks("thm-invariant")
@pytest.mark.parametrize("seed", SEEDS)
def test_steps_in_another_description(seed):
    """In θ = sinh(MW) a geodesic ends at ΔW₂, a straight step misses ΔW₃ by η², the gradient ΔW₁ by η."""
    rng, W, task, point, error = network(seed, n=3)
    by = Described(np.eye(3) + 0.3 * rng.standard_normal((3, 3)))
    theta = by.theta(W)
    basis = np.eye(9).reshape(-1, 3, 3)
    gram = by.inner(theta, basis[:, None], basis)
    h = 1e-5
    nabla_theta = np.array(
        [(loss(task, by.weights(theta + s)) - loss(task, by.weights(theta - s))) for s in h * basis]
    ) / (2 * h)
    grad_theta = np.linalg.solve(gram, nabla_theta).reshape(3, 3)

    nabla_A = error.T @ point.x
    poles = np.linalg.eigvals(METRIC.B(W) @ nabla_A)
    limit = 1 / max(poles[np.abs(poles.imag) < 1e-9].real.max(initial=0), 0.1)
    for lr in (0.1 * limit, 0.6 * limit):
        end = by.weights(geodesic(by, theta, -lr * grad_theta, steps=80)[-1])
        stated = W + reparameterized(W, point, error, lr)
        np.testing.assert_allclose(end, stated, rtol=1e-4, atol=1e-4 * np.abs(stated).max())
        straight = METRIC.weights(METRIC.A(W) - lr * nabla_A)  # θ = A
        np.testing.assert_allclose(straight, stated, rtol=1e-8, atol=1e-9)

    size = 1e-2 * limit * np.array([1, 0.1])
    straight = [by.weights(theta - lr * grad_theta) for lr in size]
    missed = [
        np.linalg.norm(end - W - linearized(W, point, error, lr))
        for end, lr in zip(straight, size, strict=True)
    ]
    assert np.log10(missed[0] / missed[1]) == pytest.approx(2, abs=0.1)
    plain = [by.weights(theta - lr * nabla_theta.reshape(3, 3)) for lr in size]
    missed = [
        np.linalg.norm(end - W - gradient(W, point, error, lr))
        for end, lr in zip(plain, size, strict=True)
    ]
    assert np.log10(missed[0] / missed[1]) == pytest.approx(1, abs=0.1)


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


@pytest.mark.checks("eq-kronecker", "eq-natural-rates")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_two_halves_of_the_natural_gradient(seed):
    """The Fisher metric is the Kronecker product of AᵀA and Σᵣ, from rates; the step divides by both."""
    rng, W, task, point, error = network(seed)
    A, B = METRIC.A(W), METRIC.B(W)
    second_moment = task.x.T @ task.x / len(task.x)
    rates = point.r.T @ point.r / len(point.r)
    U, V = rng.standard_normal((2, 5, 5))
    fisher = np.sum((A @ U @ A) * (A @ V @ A @ second_moment))
    np.testing.assert_allclose(np.sum((A.T @ A @ U @ rates) * V), fisher, rtol=1e-8, atol=1e-9)
    product = np.kron(A.T @ A, rates)  # rows of W one after another
    np.testing.assert_allclose(U.ravel() @ product @ V.ravel(), fisher, rtol=1e-8, atol=1e-9)
    D = nabla(W, point, error)[0]
    step = -0.3 * B @ B.T @ D @ np.linalg.inv(rates)
    np.testing.assert_allclose(natural(W, point, error, 0.3), step, rtol=1e-6, atol=1e-8)


@pytest.mark.checks("clm-few-samples")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("m", [1, 3, 4])
def test_fewer_samples_than_neurons(seed, m):
    """Both pseudoinverses change samples alike; Σ† spares A on unseen inputs, Σᵣ† W on unseen rates."""
    rng, W, task, point, error = network(seed, m=m)
    A, B = METRIC.A(W), METRIC.B(W)
    V = natural(W, point, error, 1.0)
    rates = np.linalg.pinv(point.r.T @ point.r / m)
    V_rates = -B @ B.T @ nabla(W, point, error)[0] @ rates
    np.testing.assert_allclose(A @ V @ A @ task.x.T, A @ V_rates @ A @ task.x.T, atol=1e-7)
    np.testing.assert_allclose(A @ V @ A @ task.x.T, -m * error.T, atol=1e-7)
    unseen, silent = (np.linalg.svd(a)[2][m:].T for a in (task.x, point.r))
    size = np.linalg.norm(V)
    assert np.linalg.norm(A @ V @ A @ unseen) < 1e-7 * size < 0.01 * np.linalg.norm(V @ silent)
    assert np.linalg.norm(V_rates @ silent) < 1e-7 * size
    assert np.linalg.norm(A @ V_rates @ A @ unseen) > 1e-5 * size
    assert np.linalg.norm(V - V_rates) > 1e-3 * size


@pytest.mark.checks("thm-newton")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_natural_step_is_newtons(seed):
    """Second derivatives in A and W, by differences; the factor at four η in A, and to first order in W."""
    rng, W, task, point, error = network(seed)
    A, sigma, h = METRIC.A(W), 0.7, 1e-3
    second_moment = task.x.T @ task.x / len(task.x)
    nabla_A, (best, _) = error.T @ point.x, least_squares(task)
    V = rng.standard_normal((5, 5))
    K = METRIC.push(W, V)
    fisher = np.sum(K * (K @ second_moment)) / sigma**2
    in_A = [((task.x @ (A + s * K).T - task.y) ** 2).sum(axis=1).mean() for s in (-h, 0, h)]
    np.testing.assert_allclose(np.diff(in_A, 2)[0] / h**2, 2 * sigma**2 * fisher, rtol=1e-5)
    in_W = [loss(task, W + s * V) for s in (-h, 0, h)]
    stated = 2 * sigma**2 * fisher + 2 * np.sum(nabla_A * (K @ V @ A))
    np.testing.assert_allclose(np.diff(in_W, 2)[0] / h**2, stated, rtol=1e-3)
    assert abs(np.sum(nabla_A * (K @ V @ A))) > 0.01 * fisher
    fitted = METRIC.weights(best)
    V = V / np.linalg.norm(METRIC.push(fitted, V))
    K = METRIC.push(fitted, V)
    in_W = [loss(task, fitted + s * V) for s in (-h, 0, h)]
    np.testing.assert_allclose(
        np.diff(in_W, 2)[0] / h**2, 2 * np.sum(K * (K @ second_moment)), rtol=1e-3
    )

    for lr in (0.1, 0.5, 0.9, 2.0):
        after = A - lr * nabla_A @ np.linalg.inv(second_moment)
        np.testing.assert_allclose(after - best, (1 - 2 * lr) * (A - best), rtol=1e-6, atol=1e-8)
    h = 1e-3 / np.linalg.norm(METRIC.B(W) @ nabla_A @ np.linalg.inv(second_moment), 2)
    missed = []
    for lr in (h, h / 10):
        after = METRIC.A(W + natural(W, point, error, lr))
        missed.append(np.linalg.norm(after - best - (1 - 2 * lr) * (A - best)))
    assert np.log10(missed[0] / missed[1]) == pytest.approx(2, abs=0.05)


@pytest.mark.checks("eq-natural")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_natural_gradient_of_white_inputs(seed):
    """With a batch of white inputs, of second moment sI, it is ΔW₃ at the rate η/s."""
    rng, W, task, _, _ = network(seed)
    white = np.linalg.qr(rng.standard_normal((8, 5)))[0] * np.sqrt(8 * 0.3)
    setting = LinearRegression(W, white, task.y)
    point = solve(W, setting.x, "linear")
    error = setting.error(point.r, setting.y)
    np.testing.assert_allclose(
        natural(W, point, error, 0.2), linearized(W, point, error, 0.2 / 0.3), rtol=1e-7, atol=1e-9
    )
