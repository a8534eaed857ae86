"""The statements of the chapter on nonlinear networks, on random instances."""

import numpy as np
import pytest

from fpnotes import gradient, powerlaw, solve
from fpnotes.geometry import Reparameterized
from fpnotes.rules import linearized, linearized_without_gains

SEEDS = [0, 1, 2]
CURVES = {
    "tanh": "tanh",
    "relu": "relu",
    "softplus": "softplus",
    "powerlaw": powerlaw(2),
    "linear": "linear",
    "sine": lambda z: np.sin(z),
}


def instance(seed, curve="tanh", n=6, m=4):
    """Draw weights, the fixed points of m samples, and an error."""
    rng = np.random.default_rng(seed)
    W = 0.4 * rng.standard_normal((n, n)) / np.sqrt(n)
    x = 0.5 * rng.standard_normal((m, n))
    if curve == "sine":  # gains of both signs
        x = 3 * x
    point = solve(W, x, CURVES[curve], tol=1e-12)
    return W, point, rng.standard_normal((m, n))


def samples(W, point, error):
    """Yield for each sample r, g, e, I − GW, I − WG and ∇ʲ."""
    eye = np.eye(len(W))
    for r, g, e in zip(point.r, point.gain, error, strict=True):
        K, M = eye - g[:, None] * W, eye - W * g
        yield r, g, e, K, M, np.outer(g * np.linalg.solve(K.T, e), r)


def alone(point, j, curve):
    """Return the fixed point of sample j as a batch of one."""
    return solve(point.W, point.x[j : j + 1], CURVES[curve], r0=point.r[j], tol=1e-12)


@pytest.mark.checks("eq-local-response")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("curve", ["tanh", "relu", "softplus"])
def test_local_response(seed, curve):
    """A moves the fixed point as central differences in x do, in both forms, also with gains of 0."""
    W, point, _ = instance(seed, curve)
    h, eye = 1e-6, np.eye(len(W))
    for j, g in enumerate(point.gain):
        A = np.linalg.solve(eye - g[:, None] * W, np.diag(g))
        np.testing.assert_allclose(A, np.diag(g) @ np.linalg.inv(eye - W * g), atol=1e-12)
        if g.all():
            np.testing.assert_allclose(A, np.linalg.inv(np.diag(1 / g) - W), atol=1e-10)
        up, down = (solve(W, point.x[j] + s * h * eye, CURVES[curve], tol=1e-13) for s in (1, -1))
        np.testing.assert_allclose((up.r - down.r).T / (2 * h), A, atol=1e-6)
    if curve == "relu":
        assert (point.gain == 0).any()


@pytest.mark.checks("eq-commute")
@pytest.mark.parametrize("seed", SEEDS)
def test_gains_commute_past_the_recurrence(seed):
    """(I − WG)ᵀG = G(I − GW)ᵀ for any diagonal G, zeros and negative gains included."""
    rng = np.random.default_rng(seed)
    W, g = rng.standard_normal((7, 7)), rng.standard_normal(7)
    g[0] = 0
    G, eye = np.diag(g), np.eye(7)
    np.testing.assert_allclose((eye - W @ G).T @ G, G @ (eye - G @ W).T, atol=1e-13)


@pytest.mark.checks("eq-linearized-nonlinear")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("curve", CURVES)
def test_linearized_rule_of_a_batch(seed, curve):
    """Both forms of ΔW₃ equal the package's: gradients between Pʲ and Qʲ, and outer products."""
    W, point, error = instance(seed, curve)
    lr = 0.3
    by_gradients = outer = 0
    for r, g, e, K, M, slope in samples(W, point, error):
        by_gradients = by_gradients - lr * M @ M.T @ slope @ K.T @ K
        outer = outer - lr * np.outer(M @ (g * e), K.T @ (K @ r))
    package = linearized(W, point, error, lr)
    np.testing.assert_allclose(by_gradients, package, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(outer, package, rtol=1e-9, atol=1e-11)


@pytest.mark.checks("eq-one-neuron-ratio")
@pytest.mark.parametrize("seed", SEEDS)
def test_one_neuron(seed):
    """For one neuron and one sample ΔW₃ is (1 − gw)⁴ times ΔW₁."""
    rng = np.random.default_rng(seed)
    for w in rng.uniform(-3, 0.9, 5):
        point = solve([[w]], rng.standard_normal((1, 1)), tol=1e-13)
        error = rng.standard_normal((1, 1))
        W = np.array([[w]])
        factor = (1 - point.gain[0, 0] * w) ** 4
        np.testing.assert_allclose(
            linearized(W, point, error, 0.1), factor * gradient(W, point, error, 0.1), rtol=1e-9
        )


@pytest.mark.parametrize(("curve", "powers"), [("relu", (-3, 1)), ("tanh", (-1, 3))])
def test_powers_of_one_neuron_near_a_singularity(curve, powers):
    """Where r and e stay bounded the powers of 1 − gw are −1 and 3; where r grows they are −3 and 1."""
    sizes = []
    for gap in (1e-3, 1e-4):
        z = 1.0 if curve == "tanh" else 1 / gap
        r, g = (np.tanh(z), 1 - np.tanh(z) ** 2) if curve == "tanh" else (z, 1.0)
        W = np.array([[(1 - gap) / g]])
        point = solve(W, [[z - W[0, 0] * r]], curve, r0=np.array([[r]]), tol=1e-12)
        error = 2 * (point.r - 0.3)
        sizes.append([abs(rule(W, point, error, 1.0)[0, 0]) for rule in (gradient, linearized)])
    slopes = -np.diff(np.log10(sizes), axis=0)[0]
    np.testing.assert_allclose(slopes, powers, atol=0.05)


@pytest.mark.checks("eq-gain-metric")
@pytest.mark.parametrize("seed", SEEDS)
def test_metric_of_one_sample(seed):
    """The norm is ‖G⁻¹ dA G⁻¹‖ with dA by differences; in its inner product PʲV Qʲ is the gradient."""
    W, point, error = instance(seed)
    rng = np.random.default_rng(seed + 100)
    for _r, g, _e, K, M, slope in samples(W, point, error):
        D, h = rng.standard_normal(W.shape), 1e-6
        units = Reparameterized(g)
        dA = (units.A(W + h * D) - units.A(W - h * D)) / (2 * h)
        np.testing.assert_allclose(dA, units.push(W, D), rtol=1e-6, atol=1e-8)
        moved = np.linalg.inv(M) @ D @ np.linalg.inv(K)
        np.testing.assert_allclose(moved, dA / np.outer(g, g), rtol=1e-5, atol=1e-7)
        V = M @ M.T @ slope @ K.T @ K
        inner = np.sum((np.linalg.inv(M) @ V @ np.linalg.inv(K)) * moved)
        np.testing.assert_allclose(inner, np.sum(slope * D), rtol=1e-8, atol=1e-11)


@pytest.mark.checks("eq-gain-factor")
@pytest.mark.parametrize("seed", SEEDS)
def test_factor_of_equal_gains(seed):
    """With all gains g, ΔW₃ is −η g⁴ B ∇_A J B; with unequal gains it is not even parallel to it."""
    rng = np.random.default_rng(seed)
    n, m = 6, 4
    W = 0.2 * rng.standard_normal((n, n)) / np.sqrt(n)
    x, error = rng.standard_normal((2, m, n))
    for g in (2.0, 0.5, -1.5):
        point = solve(W, x, lambda z, g=g: g * z, tol=1e-12)
        B = np.eye(n) / g - W
        stated = -0.1 * g**4 * B @ error.T @ x @ B
        np.testing.assert_allclose(linearized(W, point, error, 0.1), stated, rtol=1e-9, atol=1e-12)
    W, point, error = instance(seed)
    one = alone(point, 0, "tanh")
    step = linearized(W, one, error[:1], 1.0)
    plain = Reparameterized(one.gain[0]).gradient(W, gradient(W, one, error[:1], 1.0))
    cosine = np.sum(step * plain) / np.linalg.norm(step) / np.linalg.norm(plain)
    assert cosine < 0.999


@pytest.mark.checks("thm-sample-descent")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("curve", CURVES)
def test_descent_for_each_sample(seed, curve):
    """⟨ΔW₃ʲ, ∇ʲ⟩ = −η‖Ge‖²‖(I − GW)r‖², and is 0 only with ∇ʲ, for every f–I curve, falling ones too."""
    W, point, error = instance(seed, curve)
    for j, (r, g, e, K, _M, slope) in enumerate(samples(W, point, error)):
        one = alone(point, j, curve)
        change = np.sum(linearized(W, one, error[j : j + 1], 0.3) * slope)
        stated = -0.3 * np.sum((g * e) ** 2) * np.sum((K @ r) ** 2)
        np.testing.assert_allclose(change, stated, rtol=1e-7, atol=1e-14)
        assert change < 0 or not slope.any()
    if curve == "sine":
        assert (point.gain < 0).any()


@pytest.mark.checks("thm-sample-descent")
@pytest.mark.parametrize("curve", CURVES)
def test_no_descent_where_there_is_no_gradient(curve):
    """With Ge = 0 or r = 0 the sample's gradient and its ΔW₃ are both zero."""
    W, point, error = instance(0, curve)
    unaffected = np.where(point.gain == 0, 1.0, 0.0)
    assert not gradient(W, point, unaffected, 1.0).any()
    assert not linearized(W, point, unaffected, 1.0).any()
    if curve != "softplus":
        rest = solve(W, np.zeros_like(point.x), CURVES[curve], tol=1e-12)
        assert not gradient(W, rest, error, 1.0).any()
        assert not linearized(W, rest, error, 1.0).any()


@pytest.mark.checks("eq-cross-terms")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_sum_over_samples(seed):
    """The change of J is the double sum over samples; some random networks climb, under a tenth of them."""
    rng = np.random.default_rng(seed)
    ascents = 0
    for _ in range(300):
        W, z, error = rng.standard_normal((3, 2, 2))
        W = W / np.sqrt(2)
        r = np.tanh(z)
        point = solve(W, z - r @ W.T, r0=r, tol=1e-9)
        assert np.allclose(point.r, r, atol=1e-6)
        if not point.stable.all():
            continue
        slope = -gradient(W, point, error, 1.0)
        change = np.sum(linearized(W, point, error, 1.0) * slope)
        parts = list(samples(W, point, error))
        terms = np.array(
            [
                [np.sum((M @ M.T @ own @ K.T @ K) * other) for *_, other in parts]
                for *_, K, M, own in parts
            ]
        )
        np.testing.assert_allclose(change, -terms.sum(), rtol=1e-6, atol=1e-6 * np.abs(terms).max())
        assert (np.diag(terms) >= 0).all()
        ascents += change > 0
    assert 0 < ascents < 30


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_gains_make_the_sum_a_descent_direction(seed):
    W, point, error = instance(seed, "linear")
    slope = -gradient(W, point, error, 1.0)
    assert np.sum(linearized(W, point, error, 1.0) * slope) < 0


def by_error(rule, W, point):
    """Return the matrix of a rule's update, N² numbers, as a linear function of the mN errors."""
    errors = np.eye(point.r.size).reshape(-1, *point.r.shape)
    return np.stack([rule(W, point, e, 1.0).ravel() for e in errors], axis=1)


@pytest.mark.checks("thm-summed-climbs")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("curve", ["tanh", "softplus", "linear"])
def test_errors_with_which_the_sum_climbs(seed, curve):
    """∇J = 0 for (m − N)N errors; with ΔW₃ ≠ 0 there others climb; with equal gains no error does."""
    W, point, _ = instance(seed, curve, n=3, m=5)
    assert np.linalg.matrix_rank(point.r) == 3 and point.gain.all()
    step, slope = by_error(linearized, W, point), -by_error(gradient, W, point)
    kernel = np.linalg.svd(slope)[2][9:]
    assert np.abs(slope @ kernel.T).max() < 1e-10 and len(kernel) == (5 - 3) * 3
    assert np.linalg.matrix_rank(slope) == 9
    form = step.T @ slope
    values, vectors = np.linalg.eigh(form + form.T)
    if curve == "linear":
        assert np.abs(step @ kernel.T).max() < 1e-10 * np.abs(step).max()
        assert values[-1] < 1e-9 * np.abs(values).max()
        return
    assert values[-1] > 1e-6 * np.abs(values).max()
    for quiet in kernel:
        left = step @ quiet  # J is level to first order, and ΔW₃ moves on
        assert np.linalg.norm(left) > 1e-3 * np.linalg.norm(step, 2)
        toward = np.linalg.lstsq(slope, left, rcond=None)[0]
        error = (quiet + 1e-3 * toward).reshape(point.r.shape)
        change = -np.sum(linearized(W, point, error, 1.0) * gradient(W, point, error, 1.0))
        assert change > 0
        np.testing.assert_allclose(change, 1e-3 * np.sum(left**2), rtol=0.2)


@pytest.mark.checks("clm-sample-descent-is-local")
@pytest.mark.parametrize("lr", 10.0 ** np.arange(-8, 9))
@pytest.mark.parametrize("rule", [gradient, linearized, linearized_without_gains])
def test_no_learning_rate_is_small_enough_for_every_sample(rule, lr):
    """At each η of 17 decades a step of each rule raises one tanh neuron's squared loss, weighted enough."""
    W, x, weight = np.zeros((1, 1)), np.ones((1, 1)), 1e3 / lr
    before = solve(W, x, tol=1e-12)
    y = before.r - 0.2
    dW = rule(W, before, 2 * weight * (before.r - y), lr)
    after = solve(W + dW, x, tol=1e-10)
    assert abs(after.r - y) > abs(before.r - y)


def jacobian(W, point):
    """Return dr/dW, (mN, N²), from the dense definition."""
    eye = np.eye(len(W))
    A = [np.linalg.solve(eye - g[:, None] * W, np.diag(g)) for g in point.gain]
    return np.concatenate([np.kron(a, r[None]) for a, r in zip(A, point.r, strict=True)])


@pytest.mark.checks("eq-batch-metric")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("m", [2, 8])
def test_metric_of_the_batch(seed, m):
    """⟨V, V⟩ is the mean squared change of the rates, by differences; definite exactly if the rates span."""
    W, point, _ = instance(seed, m=m)
    n, h = len(W), 1e-6
    V = np.random.default_rng(seed + 100).standard_normal(W.shape)
    stated = 0
    for r, g, _e, K, _M, _slope in samples(W, point, np.zeros_like(point.r)):
        A = np.linalg.solve(K, np.diag(g))
        stated = stated + (A @ V @ r) @ (A @ V @ r) / m
    up, down = (solve(W + t * h * V, point.x, tol=1e-14) for t in (1, -1))
    measured = np.sum((up.r - down.r) ** 2, axis=1).mean() / (2 * h) ** 2
    np.testing.assert_allclose(stated, measured, rtol=1e-5)
    rank = np.linalg.matrix_rank(jacobian(W, point))
    assert rank == n * np.linalg.matrix_rank(point.r) == n * min(m, n)


@pytest.mark.checks("eq-gauss-newton")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("m", [2, 8])
def test_steepest_step_of_the_batch(seed, m):
    """The step with errors ê is −η (M + γ)⁻¹∇J, descends, and at η = ½, γ → 0 is Gauss–Newton's."""
    W, point, error = instance(seed, m=m)
    n = len(W)
    D = jacobian(W, point)
    slope = -gradient(W, point, error, 1.0).ravel()
    np.testing.assert_allclose(D.T @ error.ravel(), slope, rtol=1e-7, atol=1e-10)
    parts = list(samples(W, point, error))
    A = [np.linalg.solve(K, np.diag(g)) for _r, g, _e, K, _M, _slope in parts]
    for damping in (1.0, 1e-3):
        system = damping * np.eye(m * n)
        for j in range(m):
            for k in range(m):
                block = (point.r[j] @ point.r[k]) * A[j] @ A[k].T / m
                system[j * n : (j + 1) * n, k * n : (k + 1) * n] += block
        hats = np.linalg.solve(system, error.ravel()).reshape(m, n)
        terms = [np.kron(a.T @ e, r) for a, e, r in zip(A, hats, point.r, strict=True)]
        step = -0.3 * np.sum(terms, axis=0)
        dense = -0.3 * np.linalg.solve(D.T @ D / m + damping * np.eye(n * n), slope)
        np.testing.assert_allclose(step, dense, rtol=1e-6, atol=1e-9)
        assert step @ slope < 0
    tiny = -0.5 * np.linalg.solve(D.T @ D / m + 1e-9 * np.eye(n * n), slope)
    least_squares = np.linalg.lstsq(D, -error.ravel() * m / 2, rcond=None)[0]
    np.testing.assert_allclose(tiny, least_squares, rtol=1e-3, atol=1e-3 * np.abs(tiny).max())


@pytest.mark.checks("eq-without-gains")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("curve", CURVES)
def test_variant_without_gains(seed, curve):
    """The package's ΔW₄ is the stated sum, ΔW₃ where G = I, and −η Σ e rᵀ where every gain is 0."""
    W, point, error = instance(seed, curve)
    stated = 0
    for r, _g, e, _K, M, _slope in samples(W, point, error):
        stated = stated - 0.3 * np.outer(M @ e, M.T @ (M @ r))
    package = linearized_without_gains(W, point, error, 0.3)
    np.testing.assert_allclose(package, stated, rtol=1e-9, atol=1e-12)
    if curve == "linear":
        np.testing.assert_allclose(package, linearized(W, point, error, 0.3), rtol=1e-9, atol=1e-12)
    saturated = solve(W, 1e3 * np.sign(point.x), "tanh")
    assert not saturated.gain.any()
    delta = -0.3 * error.T @ saturated.r
    np.testing.assert_allclose(linearized_without_gains(W, saturated, error, 0.3), delta)
    assert not linearized(W, saturated, error, 0.3).any()


@pytest.mark.checks("thm-without-gains")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("curve", ["tanh", "softplus", "linear"])
def test_variant_without_gains_is_a_gradient_for_one_sample(seed, curve):
    """With positive gains ΔW₄ʲ is −ηP′∇ʲQ′, between positive definite P′ and Q′: it represents −η dJ."""
    W, point, error = instance(seed, curve)
    rng = np.random.default_rng(seed + 100)
    for j, (_r, g, _e, _K, M, slope) in enumerate(samples(W, point, error)):
        assert (g > 0).all()
        P, Q = M @ np.diag(1 / g) @ M.T, M.T @ M
        assert np.linalg.eigvalsh(P).min() > 0 and np.linalg.eigvalsh(Q).min() > 0
        step = linearized_without_gains(W, alone(point, j, curve), error[j : j + 1], 0.3)
        np.testing.assert_allclose(step, -0.3 * P @ slope @ Q, rtol=1e-7, atol=1e-11)
        D = rng.standard_normal(W.shape)
        inner = np.sum(np.linalg.solve(P, step) @ np.linalg.inv(Q) * D)
        np.testing.assert_allclose(inner, -0.3 * np.sum(slope * D), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_variant_without_gains_of_one_neuron(seed):
    """For one neuron and one sample ΔW₄ is ΔW₃/g."""
    rng = np.random.default_rng(seed)
    W, error = rng.uniform(-3, 0.9, (1, 1)), rng.standard_normal((1, 1))
    point = solve(W, rng.standard_normal((1, 1)), tol=1e-13)
    np.testing.assert_allclose(
        linearized_without_gains(W, point, error, 0.1),
        linearized(W, point, error, 0.1) / point.gain,
        rtol=1e-12,
    )


@pytest.mark.checks("eq-without-gains-descent")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("curve", CURVES)
def test_descent_of_the_variant_without_gains(seed, curve):
    """⟨ΔW₄ʲ, ∇ʲ⟩ = −η Σ g e² ‖(I − WG)r‖²: never an ascent unless a gain is negative."""
    W, point, error = instance(seed, curve)
    for j, (r, g, e, _K, M, slope) in enumerate(samples(W, point, error)):
        one = alone(point, j, curve)
        change = np.sum(linearized_without_gains(W, one, error[j : j + 1], 0.3) * slope)
        stated = -0.3 * np.sum(g * e**2) * np.sum((M @ r) ** 2)
        np.testing.assert_allclose(change, stated, rtol=1e-7, atol=1e-12)
        assert change <= 1e-12 or (g < 0).any()
