"""The statements of the chapter on stability, on random networks."""

import numpy as np
import pytest
from scipy.linalg import expm

from fpnotes import RateNetwork, distance_to_singularity, solve, spectral_abscissa
from fpnotes.network import effective_weights


def gaussian(rng, n, scale=1.0):
    """Return weights with entries of variance scale²/N."""
    return scale * rng.standard_normal((n, n)) / np.sqrt(n)


def with_block(rng, block, n=5, size=0.6):
    """Return a random matrix similar to ``block`` beside eigenvalues of modulus below ``size``."""
    rest = n - len(block)
    K = np.zeros((n, n))
    K[: len(block), : len(block)] = block
    small = rng.standard_normal((rest, rest))
    K[len(block) :, len(block) :] = size * small / (np.linalg.norm(small, 2) + 1e-9)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0] + 0.2 * rng.standard_normal((n, n))
    return basis @ K @ np.linalg.inv(basis)


@pytest.mark.checks("eq-jacobian")
@pytest.mark.parametrize("curve", ["tanh", "softplus", "powerlaw"])
@pytest.mark.parametrize("seed", range(4))
def test_jacobian(seed, curve):
    """(−I + GW)/τ equals the numerical derivative of dr/dt at a fixed point, for three f–I curves."""
    rng = np.random.default_rng(seed)
    W, x = gaussian(rng, 6, 0.4), 0.4 * rng.standard_normal(6)
    point = solve(W, x, curve)
    network = RateNetwork(W, curve, tau=2.5)
    h = 1e-6
    columns = [
        (network.velocity(point.r + h * e, x) - network.velocity(point.r - h * e, x)) / (2 * h)
        for e in np.eye(6)
    ]
    M = (-np.eye(6) + np.diag(point.gain) @ W) / 2.5
    np.testing.assert_allclose(np.stack(columns, axis=1), M, atol=1e-7)
    np.testing.assert_allclose(network.jacobian(point.r, x), M, atol=1e-14)


@pytest.mark.checks("thm-stability")
@pytest.mark.parametrize("seed", range(6))
def test_the_abscissa_predicts_whether_a_push_dies_out(seed):
    """A fixed point of a tanh network, pushed slightly, is returned to exactly if the abscissa is below 1."""
    rng = np.random.default_rng(seed)
    n = 8
    W = gaussian(rng, n, 2.0)
    x = 0.4 * rng.standard_normal((12, n))
    point = solve(
        W, x, r0=rng.uniform(-1, 1, x.shape), tol=1e-12, method="newton", on_failure="ignore"
    )
    clear = point.converged & (np.abs(point.spectral_abscissa - 1) > 0.1)
    assert clear.sum() >= 4
    r, x, stable = point.r[clear], x[clear], point.stable[clear]
    start = r + 1e-5 * rng.standard_normal(r.shape)
    _, path = RateNetwork(W).simulate(x, 150, start, rtol=1e-8, atol=1e-12)
    # By then a growth of 0.1/τ has multiplied the push by e¹⁵, and a decay has shrunk it as much.
    moved = np.linalg.norm(path - r, axis=-1)
    np.testing.assert_array_equal(moved.max(axis=0) < 1e-2, stable)
    np.testing.assert_array_equal(moved[-1] < 1e-6, stable)


@pytest.mark.checks("thm-stability")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mu", [0.7, 1.3])
def test_the_verdict_without_a_basis_of_eigenvectors(seed, mu):
    """e^{Mt} tends to 0 or grows as the abscissa says, for a Jordan block of size 3 in a random basis."""
    K = with_block(np.random.default_rng(seed), mu * np.eye(3) + 2 * np.eye(3, k=1))
    size = [np.linalg.norm(expm((K - np.eye(5)) * t)) for t in (0, 40, 200)]
    assert size[2] < 1e-12 if mu < 1 else size[2] > size[1] > size[0]


@pytest.mark.checks("eq-settling")
@pytest.mark.parametrize("seed", range(6))
def test_settling_rate(seed):
    """The logarithm of a random push falls at the rate (1 − μ_max)/τ in the end, in a nonlinear network."""
    rng = np.random.default_rng(seed)
    W, x, tau = gaussian(rng, 12, 1.2), rng.standard_normal(12), 3.0
    point = solve(W, x, tol=1e-14, method="newton")
    gap = (1 - point.spectral_abscissa) / tau
    assert gap > 0
    M = RateNetwork(W, tau=tau).jacobian(point.r, x)
    push = 1e-3 * rng.standard_normal(12)
    # The simulation, until 10 e-foldings: after that its errors would show.
    _, r = RateNetwork(W, tau=tau).simulate(x, 10 / gap, point.r + push, rtol=1e-11, atol=1e-15)
    linear = expm(10 / gap * M) @ push
    error = np.linalg.norm(r[-1] - point.r - linear)
    assert error < 0.03 * np.linalg.norm(linear)
    # The limit, along the linear flow.
    late = [np.log(np.linalg.norm(expm(t / gap * M) @ push)) * gap / t for t in (30, 300)]
    assert late[1] == pytest.approx(-gap, rel=0.05)
    assert abs(late[1] + gap) < abs(late[0] + gap)


@pytest.mark.checks("eq-circular")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("entries", ["normal", "sign"])
def test_circular_law(seed, entries):
    """A share c² of the eigenvalues of random W lies within cρ, the nearer the larger N."""
    rng = np.random.default_rng(seed)
    c, error = np.linspace(0.1, 1, 10), {}
    for n, draws in ((40, 10), (400, 1)):
        shape = (draws, n, n)
        J = rng.standard_normal(shape) if entries == "normal" else rng.choice([-1.0, 1.0], shape)
        moduli = np.abs(np.linalg.eigvals(0.7 * J / np.sqrt(n)))
        share = (moduli[..., None] <= 0.7 * c).mean(axis=1)
        error[n] = np.abs(share - c**2).max(axis=1).mean()
    assert error[400] < 0.05 and error[400] < error[40] / 2


@pytest.mark.checks("eq-radius")
@pytest.mark.parametrize("seed", range(3))
def test_effective_radius(seed):
    """For gains independent of W the spectral radius of GW is ρ√(mean g²), and not ρ times the mean gain."""
    rng = np.random.default_rng(seed)
    n, rho = 400, 1.4
    g = rng.choice([0.1, 0.3, 1.0], n, p=[0.5, 0.25, 0.25])
    radius = np.abs(np.linalg.eigvals(effective_weights(gaussian(rng, n, rho), g))).max()
    assert radius == pytest.approx(rho * np.sqrt((g**2).mean()), rel=0.12)
    assert radius > 1.2 * rho * g.mean()


def damped_radius(K, alpha):
    """Return the spectral radius of the damped iteration's linear part."""
    return np.abs(np.linalg.eigvals((1 - alpha) * np.eye(len(K)) + alpha * K)).max()


@pytest.mark.checks("thm-damped")
@pytest.mark.parametrize("seed", range(8))
def test_damped_iteration(seed):
    """Just below the bound on α the iteration r ← r + αF converges, just above it diverges, for random W."""
    rng = np.random.default_rng(seed)
    n = 10
    W = gaussian(rng, n, 0.9) - 0.4 * seed * np.ones((n, n)) / n
    W += (0.8 - spectral_abscissa(W)) * np.eye(n)
    mu = np.linalg.eigvals(W)
    bound = (2 * (1 - mu.real) / np.abs(1 - mu) ** 2).min()
    x = rng.standard_normal(n)
    goal = np.linalg.solve(np.eye(n) - W, x)
    for alpha, converges in ((0.8 * bound, True), (1.25 * bound, False)):
        assert np.all(np.abs(1 - alpha + alpha * mu) < 1) == converges
        r = np.zeros(n)
        for _ in range(600):
            r = r + alpha * (W @ r + x - r)
        error = np.linalg.norm(r - goal) / np.linalg.norm(goal)
        assert error < 1e-3 if converges else error > 10


@pytest.mark.checks("thm-damped")
@pytest.mark.parametrize("mu", [-2.0, -5.0, 0.5])
def test_damped_iteration_real_eigenvalue(mu):
    """For a real eigenvalue μ of a tanh network the bound is 2/(1 − μ): convergence below, none above."""
    bound = 2 / (1 - mu)
    for alpha, converges in ((0.95 * bound, True), (1.05 * bound, False)):
        r = np.array([1e-3])
        for _ in range(400):
            r = r + alpha * (np.tanh(mu * r) - r)
        assert (abs(r[0]) < 1e-5) == converges


@pytest.mark.checks("thm-damped")
@pytest.mark.parametrize("seed", range(5))
def test_damped_iteration_of_a_nonlinear_network(seed):
    """Near a fixed point of a tanh network the error shrinks below the bound on α and grows above it."""
    rng = np.random.default_rng(seed)
    W, x = gaussian(rng, 8, 0.8) - 2 * np.ones((8, 8)) / 8, 0.5 * rng.standard_normal(8)
    point = solve(W, x, tol=1e-14, method="newton")
    mu = np.linalg.eigvals(effective_weights(W, point.gain))
    bound = (2 * (1 - mu.real) / np.abs(1 - mu) ** 2).min()
    push = 1e-6 * rng.standard_normal(8)
    for alpha, shrinks in ((0.8 * bound, True), (1.25 * bound, False)):
        factor = np.abs(1 - alpha + alpha * mu).max()
        r = point.r + push
        for _ in range(round(10 / abs(np.log(factor)))):
            r = r + alpha * (np.tanh(W @ r + x) - r)
        size = np.linalg.norm(r - point.r) / np.linalg.norm(push)
        assert size < 1e-2 if shrinks else size > 1e2


@pytest.mark.checks("thm-damped")
@pytest.mark.parametrize("seed", range(5))
def test_no_damping_helps_an_unstable_point(seed):
    """With an eigenvalue of real part above 1 no α > 0 makes the damped iteration contract."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0.1, 3)
    K = with_block(rng, [[1.05, -angle], [angle, 1.05]])
    assert all(damped_radius(K, alpha) > 1 for alpha in np.geomspace(1e-4, 10, 40))


@pytest.mark.checks("eq-singular")
@pytest.mark.parametrize("seed", range(6))
def test_singular(seed):
    """det(I − GW) is 0 exactly where 1 is an eigenvalue of GW, and there the response to input diverges."""
    rng = np.random.default_rng(seed)
    W, g = gaussian(rng, 7), rng.uniform(0.2, 1, 7)
    mu = np.linalg.eigvals(g[:, None] * W)
    real = mu[np.abs(mu.imag) < 1e-12].real
    scale = 1 / real[np.argmax(np.abs(real))]  # N is odd, so there is a real one
    K = scale * g[:, None] * W
    assert abs(np.linalg.det(np.eye(7) - K)) < 1e-10
    assert abs(np.linalg.det(np.eye(7) - 0.9 * K)) > 1e-6
    response = [np.linalg.norm(np.linalg.solve(np.eye(7) - (1 - h) * K, g)) for h in (1e-4, 1e-6)]
    assert response[1] == pytest.approx(100 * response[0], rel=0.05)


@pytest.mark.checks("thm-crossing")
@pytest.mark.parametrize("seed", range(20))
def test_crossing(seed):
    """Along a random path of W and G, det(I − GW) > 0 until stability is lost, and 0 there only if the
    eigenvalue that crosses is real.
    """
    rng = np.random.default_rng(seed)
    n = 6
    W0, W1 = gaussian(rng, n, 0.3), gaussian(rng, n, 4.0)
    g0, g1 = rng.uniform(0.5, 1, (2, n))
    W1 += np.diag((1.5 - spectral_abscissa(W1, g1)) / g1)  # now G₁W₁ has abscissa 1.5

    def K(s):
        return ((1 - s) * g0 + s * g1)[:, None] * ((1 - s) * W0 + s * W1)

    s = np.linspace(0, 1, 401)
    above = np.array([spectral_abscissa(K(t)) for t in s]) >= 1
    assert not above[0] and above.any()
    high = s[np.argmax(above)]
    low = high - s[1]
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if spectral_abscissa(K(middle)) < 1 else (low, middle)
    before = np.linspace(0, low - 1e-6, 50)
    assert all(np.linalg.det(np.eye(n) - K(t)) > 0 for t in before)
    mu = np.linalg.eigvals(K(high))
    crossing = mu[np.abs(mu.real - 1) < 1e-6]
    at_crossing = np.linalg.det(np.eye(n) - K(high))
    if np.abs(crossing.imag).max() < 1e-6:
        assert abs(at_crossing) < 1e-6 and np.linalg.det(np.eye(n) - K(high + 1e-4)) < 0
    else:
        assert at_crossing > 1e-4


def test_both_kinds_of_crossing_occur_in_the_chapter():
    """The two networks of two neurons lose stability at s = 1, one singular there and one not."""
    for W, determinant in (([[0, 1], [1, 0]], 0), ([[1, -1], [1, 1]], 1)):
        W = np.array(W, dtype=float)
        assert spectral_abscissa(W) == pytest.approx(1)
        assert np.linalg.det(np.eye(2) - W) == pytest.approx(determinant, abs=1e-12)


@pytest.mark.checks("thm-distance")
@pytest.mark.parametrize("seed", range(6))
def test_distance(seed):
    """The rank-one step of size 1/‖A‖₂ makes I − G(W + ΔW) singular, and no smaller random step does."""
    rng = np.random.default_rng(seed)
    W, g = gaussian(rng, 6, 1.2), rng.uniform(0.1, 1, 6)
    A = np.linalg.inv(np.eye(6) - g[:, None] * W) @ np.diag(g)
    U, sigma, Vt = np.linalg.svd(A)
    distance = 1 / sigma[0]
    assert distance_to_singularity(W, g) == pytest.approx(distance, rel=1e-10)
    nearest = np.outer(Vt[0], U[:, 0]) / sigma[0]
    for norm in ("fro", 2):
        assert np.linalg.norm(nearest, norm) == pytest.approx(distance)

    def smallest_singular_value(change):
        return np.linalg.svd(np.eye(6) - g[:, None] * (W + change), compute_uv=False)[..., -1]

    assert smallest_singular_value(nearest) < 1e-12
    changes = rng.standard_normal((2000, 6, 6))
    # The spectral norm is the smaller of the two, so its ball is the larger.
    changes *= 0.99 * distance / np.linalg.norm(changes, 2, axis=(1, 2))[:, None, None]
    assert (smallest_singular_value(changes) > 1e-6).all()
    # Why: A ΔW cannot have the eigenvalue 1.
    assert np.abs(np.linalg.eigvals(A @ changes)).max() <= 0.99 + 1e-12


@pytest.mark.checks("eq-distance-gap")
@pytest.mark.parametrize("seed", range(5))
def test_distance_and_gap(seed):
    """With gains 1 the distance is at most min |1 − μ|: equal for normal W, far smaller for a chain."""
    rng = np.random.default_rng(seed)

    def gap(W):
        return np.abs(1 - np.linalg.eigvals(W)).min()

    W = gaussian(rng, 8)
    assert distance_to_singularity(W) < gap(W)
    basis = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    spiral = np.kron(np.diag([1, 2, 0.5, -1]), [[0.3, -0.8], [0.8, 0.3]])
    for normal in (W + W.T, W - W.T, basis @ spiral @ basis.T):
        assert distance_to_singularity(normal) == pytest.approx(gap(normal), rel=1e-9)
    chain = rng.uniform(2, 4) * np.eye(10, k=-1)
    assert gap(chain) == 1 and distance_to_singularity(chain) < 0.01
