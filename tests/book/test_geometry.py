"""The statements of the chapter on steepest descent in two metrics, on random instances."""

import numpy as np
import pytest

from fpnotes import distance_to_singularity, gradient, solve
from fpnotes.geometry import Euclidean
from fpnotes.rules import linearized, reparameterized
from fpnotes.tasks import LinearRegression
from tests.book.metric import METRIC, SEEDS, nabla, network, path_length


@pytest.mark.checks("eq-one-neuron-length")
@pytest.mark.parametrize("seed", SEEDS)
def test_length_of_a_path_of_one_neuron(seed):
    """Summed lengths of small steps in w come to 1/(1 − w₁) − 1/(1 − w₀), on either side of the pole."""
    rng = np.random.default_rng(seed)
    for shift in (0.0, 5.0):
        w0, w1 = np.sort(rng.uniform(-3, 0.8, 2)) + shift
        w = np.linspace(w0, w1, 20_001)
        length = path_length(w[:, None, None])
        np.testing.assert_allclose(length, 1 / (1 - w1) - 1 / (1 - w0), rtol=1e-5)


@pytest.mark.checks("thm-steepest")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("metric", [Euclidean(), METRIC], ids=["euclidean", "response"])
def test_no_direction_of_that_length_is_steeper(metric, seed):
    """dJ(V) is −ε|grad J| at −ε grad J/|grad J|, above it by the squared distance elsewhere."""
    rng, W, _, point, error = network(seed)
    D, _ = nabla(W, point, error)
    grad = metric.gradient(W, D)
    length, eps = metric.norm(W, grad), 0.37
    best = -eps * grad / length
    assert metric.norm(W, best) == pytest.approx(eps)
    assert np.sum(D * best) == pytest.approx(-eps * length)
    V = np.concatenate(
        [rng.standard_normal((2000, 5, 5)), best + 0.01 * rng.standard_normal((2000, 5, 5))]
    )
    V *= eps / metric.norm(W, V)[:, None, None]
    dJ = (D * V).sum(axis=(1, 2))
    assert dJ.min() > -eps * length
    # Exactly: dJ exceeds the least value in proportion to the squared distance from the minimizer.
    excess = length / (2 * eps) * metric.norm(W, V - best) ** 2
    np.testing.assert_allclose(dJ, -eps * length + excess, rtol=1e-8, atol=1e-9)


@pytest.mark.checks("eq-riemannian-gradient")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_represents_the_change_of_the_loss(seed):
    """⟨grad J, V⟩_W is the derivative of the loss along V, by central differences."""
    rng, W, task, point, error = network(seed)
    grad = METRIC.gradient(W, nabla(W, point, error)[0])
    for _ in range(3):
        V, h = rng.standard_normal((5, 5)), 1e-5
        up, down = (
            task.loss(solve(W + s * h * V, task.x, "linear", tol=1e-13).r, task.y) for s in (1, -1)
        )
        np.testing.assert_allclose(
            METRIC.inner(W, grad, V), (up - down) / (2 * h), rtol=1e-5, atol=1e-6
        )


@pytest.mark.checks("eq-distance")
@pytest.mark.parametrize("seed", SEEDS)
def test_distance_is_disagreement_about_white_inputs(seed):
    """d(W, W′)² is ‖A − A′‖_F², and the mean squared difference of responses to white inputs."""
    rng, W, _, _, _ = network(seed)
    W1 = W + 0.3 * rng.standard_normal((5, 5))
    # The vectors ±√5 e_i are inputs with second moment I.
    x = np.sqrt(5) * np.concatenate([np.eye(5), -np.eye(5)])
    gap = np.linalg.solve(np.eye(5) - W, x.T).T - np.linalg.solve(np.eye(5) - W1, x.T).T
    np.testing.assert_allclose(METRIC.distance(W, W1) ** 2, (gap**2).sum(axis=1).mean(), rtol=1e-8)


@pytest.mark.checks("eq-inner-product")
@pytest.mark.parametrize("seed", SEEDS)
def test_inner_product_is_that_of_the_distance(seed):
    """⟨U, V⟩_W is the polarized limit of d², to second order in the step, and ⟨AUA, AVA⟩_F."""
    rng, W, _, _, _ = network(seed)
    U, V = rng.standard_normal((2, 5, 5))
    A = np.linalg.inv(np.eye(5) - W)
    stated = METRIC.inner(W, U, V)
    np.testing.assert_allclose(stated, np.sum((A @ U @ A) * (A @ V @ A)), rtol=1e-9)
    errors = []
    for h in (1e-3, 1e-4):
        # Central combinations: the terms of third order cancel.
        plus, minus = U + V, U - V
        square = [
            (METRIC.distance(W, W + h * D) ** 2 + METRIC.distance(W, W - h * D) ** 2) / 2
            for D in (plus, minus)
        ]
        errors.append(abs((square[0] - square[1]) / (4 * h**2) - stated))
    assert errors[1] < 0.02 * errors[0] + 1e-6


@pytest.mark.checks("eq-metric-gradient")
@pytest.mark.parametrize("seed", SEEDS)
def test_two_forms_of_the_gradient(seed):
    """B Bᵀ∇J BᵀB = B ∇_A J B, the gradient in the metric, and −η times it is the linearized rule's update."""
    _, W, _, point, error = network(seed)
    D, D_A = nabla(W, point, error)
    B = np.eye(5) - W
    grad = METRIC.gradient(W, D)
    np.testing.assert_allclose(B @ B.T @ D @ B.T @ B, grad, rtol=1e-9)
    np.testing.assert_allclose(B @ D_A @ B, grad, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(linearized(W, point, error, 0.2), -0.2 * grad, rtol=1e-7, atol=1e-9)


@pytest.mark.checks("thm-finite-step")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reach", [0.7, 7, 700])
def test_the_reparameterized_rule_is_steepest_at_a_finite_distance(reach, seed):
    """The linearized loss exceeds that at W + ΔW₂ by |∇_A J|/2ε (ε² − |K|² + |K − K*|²), for any ε."""
    rng, W, _, point, error = network(seed)
    _, D_A = nabla(W, point, error)
    eps = reach * distance_to_singularity(W)
    eta = eps / np.linalg.norm(D_A)
    after = W + reparameterized(W, point, error, eta)
    A = METRIC.A(W)

    def change(W1):
        return np.sum(D_A * (METRIC.A(W1) - A))

    assert METRIC.distance(W, after) == pytest.approx(eps)
    lowest, best = change(after), METRIC.A(after) - A
    for k in range(400):
        # Some of them anywhere in the ball, some close to the best.
        V = rng.standard_normal((5, 5))
        K = best + 0.05 * eps * V if k % 2 else V
        K *= eps * rng.uniform(0.9, 1) / np.linalg.norm(K)
        W1 = METRIC.weights(A + K)
        assert METRIC.distance(W, W1) <= eps * (1 + 1e-9)
        inside = eps**2 - np.sum(K**2) + np.sum((K - best) ** 2)
        excess = np.linalg.norm(D_A) / (2 * eps) * inside
        assert excess > 0
        np.testing.assert_allclose(change(W1) - lowest, excess, rtol=1e-6)


@pytest.mark.checks("thm-blow-up")
@pytest.mark.parametrize("seed", SEEDS)
def test_lengths_blow_up_toward_a_singularity(seed):
    """|uvᵀ|_W = δ⁻², the longest; on transversal lines δ²|D|_W and δ/|t| tend to |uᵀDv|; paths diverge."""
    rng = np.random.default_rng(seed)
    n = 5
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    left, sigma, right = np.linalg.svd(np.eye(n) - W)
    u, v, delta = left[:, -1], right[-1], sigma[-1]
    straight = np.outer(u, v)
    assert METRIC.norm(W, straight) == pytest.approx(delta**-2)
    V = rng.standard_normal((500, n, n))
    V /= np.linalg.norm(V, axis=(1, 2))[:, None, None]
    assert METRIC.norm(W, V).max() < delta**-2
    # The axes of the ball are uᵢvⱼᵀ, of length 1/(σᵢσⱼ).
    axes = np.einsum("ai,jb->ijab", left, right).reshape(-1, n, n)
    gram = METRIC.inner(W, axes[:, None], axes)
    lengths = 1 / np.outer(sigma, sigma).ravel()
    np.testing.assert_allclose(gram, np.diag(lengths**2), atol=1e-9 * lengths.max() ** 2)
    # (2) A line in a random direction through the nearest singular W, from both sides.
    wall, D = W + delta * straight, rng.standard_normal((n, n))
    p = abs(u @ D @ v)
    for side in (1, -1):
        gaps = []
        for t in side * np.array([1e-3, 1e-4, 1e-5]) * p:
            at = wall - t * D
            d = distance_to_singularity(at)
            gaps.append([abs(d / abs(t) / p - 1), abs(d**2 * METRIC.norm(at, D) / p - 1)])
        gaps = np.array(gaps)
        assert (gaps[-1] < 1e-2).all() and (gaps[1:] < 0.2 * gaps[:-1]).all()
    # (3) The straight way, and one with a detour, are at least as long as stated.
    for detour in (0.0, 1.0):
        t = 1 - np.geomspace(1, 1e-3, 2001)
        bend = detour * np.multiply.outer(t * (1 - t), rng.standard_normal((n, n)))
        path = W + np.multiply.outer(t, delta * straight) + 0.1 * bend
        length = path_length(path)
        bound = 1 / distance_to_singularity(path[-1]) - np.linalg.norm(METRIC.A(W))
        assert bound > 100 and length > bound * (1 - 1e-3)


@pytest.mark.checks("thm-safe-step")
@pytest.mark.parametrize("seed", SEEDS)
def test_short_steps_meet_no_singularity(seed):
    """Up to |V|_W = 1/‖I − W‖₂ the determinants of I − W − tV and A + tAVA keep their sign; not beyond."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 101)[:, None, None]
    for size in (0.3, 1.0, 3.0):
        W = size * rng.standard_normal((5, 5))
        B, A = METRIC.B(W), METRIC.A(W)
        bound = 1 / np.linalg.norm(B, 2)
        left, sigma, right = np.linalg.svd(A)
        # The worst direction: AVA takes away the smallest singular value of A.
        worst = B @ (sigma[-1] * np.outer(left[:, -1], right[-1])) @ B
        for V in (*rng.standard_normal((50, 5, 5)), worst, -worst):
            V = V * 0.999 * bound / METRIC.norm(W, V)
            for start, step in ((B, -V), (A, A @ V @ A)):
                signs = np.linalg.slogdet(start + t * step)[0]
                assert (signs == signs[0]).all()
        # And the bound is attained: there W + V is singular, as is A − AVA.
        assert METRIC.norm(W, worst) == pytest.approx(bound)
        relative = np.linalg.svd(A - A @ worst @ A, compute_uv=False)
        assert relative[-1] < 1e-8 * relative[0]


@pytest.mark.checks("eq-crossing-matrix")
@pytest.mark.parametrize("seed", SEEDS)
def test_what_decides_a_crossing_stays_bounded(seed):
    """B ∇_A J is (2/m) Σ (x − By)xᵀ; toward a wall its norm tends to a limit, and |∇_A J| to infinity."""
    rng, W, task, _, _ = network(seed)
    left, sigma, right = np.linalg.svd(np.eye(5) - W)
    approach = np.outer(left[:, -1], right[-1])
    norms = []
    for gap in (sigma[-1], 1e-2, 1e-4, 1e-6):
        at = W + (sigma[-1] - gap) * approach
        point = solve(at, task.x, "linear", on_failure="ignore", tol=1e-10)
        _, D_A = nabla(at, point, task.error(point.r, task.y))
        B = np.eye(5) - at
        stated = 2 / len(task.x) * (task.x - task.y @ B.T).T @ task.x
        np.testing.assert_allclose(B @ D_A, stated, rtol=1e-6, atol=1e-6)
        norms.append((np.linalg.norm(B @ D_A, 2), np.linalg.norm(D_A)))
        # What is safe by its length is safe by this condition: q ≤ ‖B‖₂ |V|_W for both rules.
        assert norms[-1][0] <= np.linalg.norm(B, 2) * norms[-1][1]
    assert norms[-1][1] > 1e4 * norms[0][1]
    assert abs(norms[-1][0] / norms[-2][0] - 1) < 1e-3


@pytest.mark.checks("clm-steepest-is-local")
@pytest.mark.parametrize("lr", 10.0 ** np.arange(-8, 9))
@pytest.mark.parametrize("rule", [gradient, linearized])
def test_no_learning_rate_is_small_enough_for_every_network(rule, lr):
    """At each η of 17 decades a step of each rule raises the loss of one neuron with large enough inputs."""
    x = np.sqrt(10 / lr) * np.ones((1, 1))
    task = LinearRegression(np.zeros((1, 1)), x, 2 * x)
    point = solve(task.W0, x, "linear")
    after = task.W0 + rule(task.W0, point, task.error(point.r, task.y), lr)
    response = x / (1 - after)
    assert task.loss(response, task.y) > task.loss(point.r, task.y)
