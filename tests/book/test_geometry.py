"""The statements of the chapter on the two metrics, on random instances."""

import numpy as np
import pytest

from fpnotes import distance_to_singularity, gradient, solve
from fpnotes.geometry import Euclidean, Reparameterized
from fpnotes.rules import linearized, natural, reparameterized
from fpnotes.tasks import LinearRegression

SEEDS = range(4)
METRIC = Reparameterized()


def network(seed, n=5, m=8):
    """Draw weights, and the fixed points and errors of a regression there."""
    rng = np.random.default_rng(seed)
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    task = LinearRegression(W, rng.standard_normal((m, n)), rng.standard_normal((m, n)))
    point = solve(W, task.x, "linear")
    return rng, W, task, point, task.error(point.r, task.y)


def nabla(W, point, error):
    """Return the Euclidean gradient, and the one in A."""
    return -gradient(W, point, error, 1.0), error.T @ point.x


def path_length(path):
    """Return the length of a path of weights in the response metric, by the midpoint rule."""
    step, middle = np.diff(path, axis=0), (path[1:] + path[:-1]) / 2
    A = np.linalg.inv(np.eye(path.shape[-1]) - middle)
    return np.linalg.norm(A @ step @ A, axis=(1, 2)).sum()


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
def test_the_reparameterized_rule_is_steepest_at_a_finite_distance(seed):
    """Of many W′ within distance ε none makes the linearized loss lower than W + ΔW₂, which is at ε."""
    rng, W, _, point, error = network(seed)
    _, D_A = nabla(W, point, error)
    eps = 0.7 * distance_to_singularity(W)
    eta = eps / np.linalg.norm(D_A)
    after = W + reparameterized(W, point, error, eta)
    A = METRIC.A(W)

    def change(W1):
        return np.sum(D_A * (METRIC.A(W1) - A))

    assert METRIC.distance(W, after) == pytest.approx(eps)
    lowest = change(after)
    for k in range(400):
        # Some of them anywhere in the ball, some close to the best.
        V = rng.standard_normal((5, 5))
        K = METRIC.A(after) - A + 0.05 * eps * V if k % 2 else V
        K *= eps * rng.uniform(0.9, 1) / np.linalg.norm(K)
        W1 = METRIC.weights(A + K)
        assert METRIC.distance(W, W1) <= eps * (1 + 1e-9)
        assert change(W1) > lowest


@pytest.mark.checks("thm-blow-up")
@pytest.mark.parametrize("seed", SEEDS)
def test_lengths_blow_up_toward_a_singularity(seed):
    """|uvᵀ|_W = δ⁻², the longest; on transversal lines δ²|D|_W and δ/t tend to |q|; paths diverge."""
    rng = np.random.default_rng(seed)
    n = 5
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    P, S, Qt = np.linalg.svd(np.eye(n) - W)
    u, v, delta = P[:, -1], Qt[-1], S[-1]
    straight = np.outer(u, v)
    assert METRIC.norm(W, straight) == pytest.approx(delta**-2)
    V = rng.standard_normal((500, n, n))
    V /= np.linalg.norm(V, axis=(1, 2))[:, None, None]
    assert METRIC.norm(W, V).max() < delta**-2
    # The axes of the ball are uᵢvⱼᵀ, of length 1/(sᵢsⱼ).
    axes = np.einsum("ai,jb->ijab", P, Qt).reshape(-1, n, n)
    gram = METRIC.inner(W, axes[:, None], axes)
    lengths = 1 / np.outer(S, S).ravel()
    np.testing.assert_allclose(gram, np.diag(lengths**2), atol=1e-9 * lengths.max() ** 2)
    # (2) A line in a random direction through the nearest singular W, from both sides.
    wall, D = W + delta * straight, rng.standard_normal((n, n))
    q = abs(u @ D @ v)
    for side in (1, -1):
        gaps = []
        for t in side * np.array([1e-3, 1e-4, 1e-5]) * q:
            at = wall - t * D
            d = distance_to_singularity(at)
            gaps.append([abs(d / abs(t) / q - 1), abs(d**2 * METRIC.norm(at, D) / q - 1)])
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
        P, S, Qt = np.linalg.svd(A)
        # The worst direction: AVA takes away the smallest singular value of A.
        worst = B @ (S[-1] * np.outer(P[:, -1], Qt[-1])) @ B
        for V in (*rng.standard_normal((50, 5, 5)), worst, -worst):
            V = V * 0.999 * bound / METRIC.norm(W, V)
            for start, step in ((B, -V), (A, A @ V @ A)):
                signs = np.linalg.slogdet(start + t * step)[0]
                assert (signs == signs[0]).all()
        # And the bound is attained: there W + V is singular, as is A − AVA.
        assert METRIC.norm(W, worst) == pytest.approx(bound)
        relative = np.linalg.svd(A - A @ worst @ A, compute_uv=False)
        assert relative[-1] < 1e-8 * relative[0]


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
