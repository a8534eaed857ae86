"""The statements of the chapter on the linearized rule, on random instances."""

from itertools import pairwise

import numpy as np
import pytest

from fpnotes import distance_to_singularity, solve
from fpnotes.geometry import angle
from fpnotes.rules import gradient, linearized, reparameterized

SEEDS = [0, 1, 2]


def problem(seed, n=12, m=7):
    """Draw a linear network and a regression; return W, x, y, its fixed points and ∂J/∂r."""
    rng = np.random.default_rng(seed)
    W = 0.7 * rng.standard_normal((n, n)) / np.sqrt(n)
    x, y = rng.standard_normal((2, m, n))
    point = solve(W, x, "linear", tol=1e-12)
    return W, x, y, point, 2 * (point.r - y) / m


def neuron(seed):
    """Draw one neuron's data; return x, y, ℓ = 2 mean x² and the best weight."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(60)
    y = rng.uniform(0.3, 2) * x + 0.1 * rng.standard_normal(60)
    return x, y, 2 * (x**2).mean(), 1 - (x**2).mean() / (x * y).mean()


def one_neuron_step(rule, w, x, y, lr):
    point = solve([[w]], x[:, None], "linear")
    return rule([[w]], point, 2 * (point.r - y[:, None]) / len(x), lr).item()


@pytest.mark.checks("eq-one-neuron-linearized")
@pytest.mark.parametrize("seed", SEEDS)
def test_one_neuron(seed):
    """For one neuron the two rules of the package take the stated steps, on both sides of w = 1."""
    x, y, _, _ = neuron(seed)
    for w in (-4.0, 0.3, 0.95, 1.2, 3.0):
        for lr in (0.01, 0.2):
            a = 1 / (1 - w)
            slope = 2 * np.mean((a * x - y) * x)
            step3 = -lr * (1 - w) ** 2 * slope
            step2 = step3 / (1 - lr * (1 - w) * slope)
            np.testing.assert_allclose(one_neuron_step(linearized, w, x, y, lr), step3, rtol=1e-7)
            found = one_neuron_step(reparameterized, w, x, y, lr)
            np.testing.assert_allclose(found, step2, rtol=1e-7)
            # And ΔW₂ is by definition the step of gradient descent in a.
            np.testing.assert_allclose(1 / (1 - w - found), a - lr * slope, rtol=1e-7)


@pytest.mark.checks("eq-linearized")
@pytest.mark.parametrize("seed", SEEDS)
def test_linearized_rule(seed):
    """Both forms of ΔW₃ are what the package computes, and ΔW₂'s derivative in η at 0."""
    W, x, y, point, error = problem(seed)
    B, grad_A = np.eye(len(W)) - W, error.T @ x
    dW = linearized(W, point, error, 0.3)
    np.testing.assert_allclose(dW, -0.3 * B @ grad_A @ B, atol=1e-9 * np.abs(dW).max())
    np.testing.assert_allclose(dW, -0.3 * (B @ error.T) @ (x @ B), atol=1e-9 * np.abs(dW).max())

    def step(lr):
        return B - np.linalg.inv(np.linalg.inv(B) - lr * grad_A)

    lr = 1e-5
    derivative = (step(lr) - step(-lr)) / (2 * lr)
    np.testing.assert_allclose(0.3 * derivative, dW, atol=1e-6 * np.abs(dW).max())


@pytest.mark.checks("thm-second-order")
@pytest.mark.parametrize("seed", range(6))
def test_second_order(seed):
    """‖ΔW₂ − ΔW₃ + η²C²B‖ is within the remainder's bound for q up to 0.95; order 2 within 5 %."""
    W, x, y, point, error = problem(seed)
    B = np.eye(len(W)) - W
    C = B @ error.T @ x
    norm = np.linalg.norm(C, 2)
    gaps, qs = [], np.array([1e-3, 3e-3, 1e-2, 0.1, 0.5, 0.95])
    for q in qs:
        lr = q / norm
        gap = reparameterized(W, point, error, lr) - linearized(W, point, error, lr)
        rest = np.linalg.norm(gap + lr**2 * C @ C @ B)
        assert rest <= q**3 * np.linalg.norm(B) / (1 - q)
        gaps.append(np.linalg.norm(gap))
    order = np.polyfit(np.log(qs[:3]), np.log(gaps[:3]), 1)[0]
    assert abs(order - 2) < 0.05 * 2
    predicted = (qs[0] / norm) ** 2 * np.linalg.norm(C @ C @ B)
    assert abs(gaps[0] / predicted - 1) < 0.01


def sine(B, C, q):
    """Return sin θ₂₃ and cos θ₂₃ of ΔW₃ ∝ −CB and ΔW₂ ∝ −(I − ηC)⁻¹CB, with η‖C‖₂ = q."""
    three = C @ B
    two = np.linalg.solve(np.eye(len(B)) - q / np.linalg.norm(C, 2) * C, three)
    two, three = two / np.linalg.norm(two), three / np.linalg.norm(three)
    cosine = np.sum(two * three)
    return np.linalg.norm(two - cosine * three), cosine


@pytest.mark.checks("eq-angle-bound")
@pytest.mark.parametrize("seed", range(6))
def test_bound_on_the_angle(seed):
    """The sine of the angle between the package's ΔW₂ and ΔW₃ is at most q, for q up to 0.999."""
    W, x, _, point, error = problem(seed)
    B = np.eye(len(W)) - W
    C = B @ error.T @ x
    for q in (1e-3, 0.1, 0.5, 0.9, 0.999):
        lr = q / np.linalg.norm(C, 2)
        theta = angle(*(rule(W, point, error, lr) for rule in (reparameterized, linearized)))
        assert 0 < np.sin(np.radians(theta)) <= q and theta < 90
        np.testing.assert_allclose(np.sin(np.radians(theta)), sine(B, C, q)[0], rtol=1e-6)


@pytest.mark.checks("eq-angle-bound")
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.99])
def test_bound_on_the_angle_is_attained_and_not_passed(q):
    """A rotation C attains sin θ₂₃ = q; no hill climb over B and C passes it, and one comes near."""
    turn = np.array([[q, -np.sqrt(1 - q**2)], [np.sqrt(1 - q**2), q]])
    np.testing.assert_allclose(sine(np.eye(2), turn, q)[0], q, rtol=1e-9)
    best = 0.0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        place = rng.standard_normal((2, 3, 3))
        reached = sine(place[0], place[1], q)[0]
        for _ in range(4000):
            tried = place + rng.choice([0.003, 0.03, 0.3]) * rng.standard_normal(place.shape)
            found, cosine = sine(tried[0], tried[1], q)
            assert found <= q * (1 + 1e-9) and cosine > 0
            if found > reached:
                place, reached = tried, found
        best = max(best, reached)
    assert best > 0.97 * q


def relative_gaps(best, W, x, noise, share, steps):
    """Train W by ΔW₂ in A; return q and ‖ΔW₂ − ΔW₃‖/‖ΔW₃‖ at each step, and the share of the error left."""
    A, m = np.linalg.inv(np.eye(len(W)) - W), len(x)
    lr = share * m / np.linalg.norm(x, 2) ** 2  # this share of 2/ℓmax
    target, gaps, start = x @ best.T + noise, [], np.linalg.norm(x @ (A - best).T)
    for _ in range(steps):
        B, grad_A = np.linalg.inv(A), 2 / m * (x @ A.T - target).T @ x
        C = B @ grad_A
        three = lr * C @ B
        gap = np.linalg.norm(np.linalg.solve(np.eye(len(W)) - lr * C, three) - three)
        gaps.append((lr * np.linalg.norm(C, 2), gap / np.linalg.norm(three)))
        A = A - lr * grad_A
    return np.array(gaps), np.linalg.norm(x @ (A - best).T) / start


@pytest.mark.checks("clm-agree")
@pytest.mark.parametrize("n, m", [(6, 4), (5, 30)])
@pytest.mark.parametrize("seed", SEEDS)
def test_two_rules_agree_if_the_response_stays_invertible(seed, n, m):
    """At three fixed rates q and the relative gap fall below 1e-4 for an invertible Â, with noise or not."""
    rng = np.random.default_rng(seed)
    W, other = 0.4 * rng.standard_normal((2, n, n)) / np.sqrt(n)
    x = np.linalg.qr(rng.standard_normal((max(m, n), min(m, n))))[0].reshape(-1, min(m, n))
    x = (x if m > n else x.T) * rng.uniform(1, 2, (m, 1))  # of full rank, not too badly conditioned
    noise = rng.standard_normal((m, n))
    noise = noise - x @ np.linalg.pinv(x) @ noise  # what no response answers
    for share in (0.1, 0.5, 0.9):
        gaps, left = relative_gaps(np.linalg.inv(np.eye(n) - other), W, x, noise, share, 400)
        assert gaps[0, 0] > 1e-3 and left < 1e-5
        assert (gaps[-1] < 1e-4).all()


@pytest.mark.checks("clm-agree")
@pytest.mark.parametrize("seed", SEEDS)
def test_two_rules_need_not_agree_if_the_response_becomes_singular(seed):
    """For an Â of rank N − 1 the error vanishes and the gap does not; one neuron keeps q = 2ηc₂."""
    rng = np.random.default_rng(seed)
    n, m = 3, 12
    x = rng.standard_normal((m, n))
    u, sigma, vt = np.linalg.svd(np.eye(n) + 0.2 * rng.standard_normal((n, n)))
    best = (u * np.r_[sigma[:-1], 0]) @ vt
    gaps, left = relative_gaps(best, np.zeros((n, n)), x, 0 * x, 0.3, 120)
    assert left < 1e-3 and (gaps[-20:] > 0.01).all()
    x = rng.standard_normal((9, 1))
    gaps, left = relative_gaps(np.zeros((1, 1)), np.zeros((1, 1)), x, 0 * x, 0.3, 40)
    np.testing.assert_allclose(gaps[:, 0], 2 * 0.3, rtol=1e-6)  # 2ηc₂, as η = 0.3/c₂


@pytest.mark.checks("eq-logistic")
@pytest.mark.parametrize("seed", SEEDS)
def test_logistic_map(seed):
    """The package's ΔW₃ on one neuron moves u = (1 − w)/(1 − ŵ) by the stated map, on both sides."""
    x, y, L, w_hat = neuron(seed)
    for h in (0.1, 1.0, 2.5, 4.0):
        for u in (-1.5, 0.1, 0.8, 1.3, 3.0):
            w = 1 - u * (1 - w_hat)
            after = w + one_neuron_step(linearized, w, x, y, h / L)
            stated = (1 + h) * u - h * u**2
            np.testing.assert_allclose((1 - after) / (1 - w_hat), stated, rtol=1e-6, atol=1e-6)


@pytest.mark.checks("thm-logistic")
@pytest.mark.parametrize("seed", SEEDS)
def test_where_the_linearized_rule_converges(seed):
    """For h < 2 all starts in (0, ū) converge and none outside; for h > 2 neither rule does, locally.

    The map is that of u, which eq-logistic ties to the package's rule: u → −∞ is w → +∞.
    """
    rng = np.random.default_rng(seed)
    for h in np.r_[rng.uniform(0.05, 1.9, 8), 1.0]:
        edge = (1 + h) / h
        u = np.r_[rng.uniform(0, edge, 2000), edge * np.array([1e-6, 1 - 1e-6])]
        for _ in range(3000):
            u = (1 + h) * u - h * u**2
        np.testing.assert_allclose(u, 1, atol=1e-9)
    for h in (0.01, 0.7, 1.9, 2.5, 4.0, 30.0):
        u = np.r_[-rng.uniform(1e-3, 3, 200), (1 + h) / h + rng.uniform(1e-3, 3, 200)]
        for _ in range(2000):
            before, u = u, np.maximum((1 + h) * u - h * u**2, -1e9)
            assert ((u < before) | (u == -1e9)).all()
        assert (u < -1e8).all()
    for h, converges in ((1.99, True), (2.01, False)):
        u, s = 1 + 1e-4, 1 + 1e-4
        for _ in range(4000):
            u, s = (1 + h) * u - h * u**2, s - h * (s - 1)
        assert (abs(u - 1) < 1e-6) == (abs(s - 1) < 1e-6) == converges
    x, y, curvature, w_hat = neuron(seed)
    for h in (0.3, 1.7, 2.5):  # Both rules of the package multiply a small error by 1 − h.
        for rule in (linearized, reparameterized):
            away = [
                w_hat + t + one_neuron_step(rule, w_hat + t, x, y, h / curvature)
                for t in (1e-5, -1e-5)
            ]
            np.testing.assert_allclose((away[0] - away[1]) / 2e-5, 1 - h, atol=1e-3)


@pytest.mark.checks("eq-gradient-link")
@pytest.mark.parametrize("seed", SEEDS)
def test_two_gradients(seed):
    """∇J = Aᵀ ∇_A J Aᵀ, with ∇J from the adjoint and ∇_A J by central differences of J in A."""
    W, x, y, point, error = problem(seed, n=5)
    A, m = np.linalg.inv(np.eye(5) - W), len(x)
    grad_A, h = np.empty((5, 5)), 1e-4
    for index in np.ndindex(5, 5):
        step = np.zeros((5, 5))
        step[index] = h
        up, down = (np.sum((x @ (A + sign * step).T - y) ** 2) / m for sign in (1, -1))
        grad_A[index] = (up - down) / (2 * h)
    stated = A.T @ grad_A @ A.T
    scale = np.abs(stated).max()
    np.testing.assert_allclose(-gradient(W, point, error, 1.0), stated, atol=1e-7 * scale)


@pytest.mark.checks("eq-preconditioned")
@pytest.mark.parametrize("seed", SEEDS)
def test_preconditioned_gradient(seed):
    """ΔW₃ is BBᵀ ΔW₁ BᵀB, with two matrices whose eigenvalues are positive."""
    W, _, _, point, error = problem(seed)
    B = np.eye(len(W)) - W
    dW = linearized(W, point, error, 0.3)
    stated = (B @ B.T) @ gradient(W, point, error, 0.3) @ (B.T @ B)
    np.testing.assert_allclose(dW, stated, atol=1e-8 * np.abs(dW).max())
    assert np.linalg.eigvalsh(B @ B.T).min() > 0 and np.linalg.eigvalsh(B.T @ B).min() > 0


@pytest.mark.checks("thm-linearized-descends")
@pytest.mark.parametrize("seed", range(6))
def test_the_linearized_rule_descends(seed):
    """⟨∇J, ΔW₃⟩ = −η‖∇_A J‖², also at unstable W, and a small step lowers the solved loss by that."""
    rng = np.random.default_rng(seed)
    n, m = 8, 5
    W = rng.choice([0.5, 3.0]) * rng.standard_normal((n, n)) / np.sqrt(n)
    x, y = rng.standard_normal((2, m, n))
    point = solve(W, x, "linear", tol=1e-12)
    error = 2 * (point.r - y) / m
    grad_A = error.T @ x
    lr = 1e-5 / (np.linalg.norm(np.eye(n) - W, 2) * np.linalg.norm(grad_A, 2))
    dW, dJ = linearized(W, point, error, lr), -gradient(W, point, error, 1.0)
    rate = -lr * np.sum(grad_A**2)
    for share in (1, 1e3, 1e7):  # the direction at every η, the fall of the loss at a small one
        dot = np.sum(dJ * linearized(W, point, error, share * lr))
        np.testing.assert_allclose(dot, share * rate, rtol=1e-6)

    def J(W):
        return np.sum((np.linalg.solve(np.eye(n) - W, x.T).T - y) ** 2) / m

    np.testing.assert_allclose(J(W + dW) - J(W), rate, rtol=1e-2)


@pytest.mark.checks("thm-linearized-descends")
@pytest.mark.parametrize("seed", SEEDS)
def test_where_the_linearized_rule_does_not_move(seed):
    """Where ∇_A J = 0 though W is not the network that made the targets, ∇J = 0 and ΔW₃ = 0."""
    rng = np.random.default_rng(seed)
    n, m = 6, 3
    other = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    x = rng.standard_normal((m, n))
    y = np.linalg.solve(np.eye(n) - other, x.T).T
    # Another response that answers these m < N inputs alike:
    unseen = np.eye(n) - x.T @ np.linalg.pinv(x.T)
    A = np.linalg.inv(np.eye(n) - other) + 0.5 * rng.standard_normal((n, n)) @ unseen
    W = np.eye(n) - np.linalg.inv(A)
    assert np.linalg.norm(W - other) > 0.1
    point = solve(W, x, "linear", tol=1e-12)
    error = 2 * (point.r - y) / m
    for rule in (gradient, linearized):
        assert np.linalg.norm(rule(W, point, error, 1.0)) < 1e-8


def near(seed, delta, n=9, m=6):
    """Return a network at distance δ from a singularity: its u, σ and v, the problem and ℓᵤ."""
    rng = np.random.default_rng(seed)
    u, sigma, vt = np.linalg.svd(np.eye(n) - 0.6 * rng.standard_normal((n, n)) / np.sqrt(n))
    sigma[-1] = delta
    W = np.eye(n) - u @ np.diag(sigma) @ vt
    x, y = rng.standard_normal((2, m, n))
    point = solve(W, x, "linear", tol=1e-12)
    s = 2 / m * np.sum((x @ u[:, -1]) ** 2)
    return u, sigma, vt.T, W, x, y, point, 2 * (point.r - y) / m, s


@pytest.mark.checks("eq-singular-coordinates")
@pytest.mark.parametrize("seed", SEEDS)
def test_singular_coordinates(seed):
    """In singular vectors of B, ΔW₁ is vᵢᵀ∇_A J uⱼ divided by σᵢσⱼ and ΔW₃ is that times σᵢσⱼ."""
    u, sigma, v, W, x, _, point, error, _ = near(seed, 0.05)
    H = v.T @ error.T @ x @ u
    pairs = np.outer(sigma, sigma)
    for rule, stated in ((gradient, -0.3 * H / pairs), (linearized, -0.3 * H * pairs)):
        found = u.T @ rule(W, point, error, 0.3) @ v
        np.testing.assert_allclose(found, stated, atol=1e-8 * np.abs(stated).max())


@pytest.mark.checks("thm-near-singularity")
@pytest.mark.parametrize("seed", SEEDS)
def test_near_a_singularity(seed):
    """δ³‖ΔW₁‖ → ηℓᵤ while ‖ΔW₃‖ stays bounded; they change δ by ηℓᵤ/δ³ and ηℓᵤδ, to first order.

    And the whole step of ΔW₃ multiplies δ by 1 + ηℓᵤ for small η, at every small δ.
    """
    lr, gaps, sizes = 0.1, [], []
    for delta in (1e-2, 1e-3, 1e-4):
        u, _, v, W, _, _, point, error, s = near(seed, delta)
        np.testing.assert_allclose(distance_to_singularity(W), delta, rtol=1e-6)
        dW1, dW3 = gradient(W, point, error, lr), linearized(W, point, error, lr)
        adds1, adds3 = (-u[:, -1] @ dW @ v[:, -1] for dW in (dW1, dW3))
        ratios = (np.linalg.norm(dW1) * delta**3, adds1 * delta**3, adds3 / delta)
        gaps.append([abs(ratio / (lr * s) - 1) for ratio in ratios])
        sizes.append(np.linalg.norm(dW3))
        t = 1e-5  # a fraction of the step: the statement is of first order
        change = distance_to_singularity(W + t * dW3) - distance_to_singularity(W)
        np.testing.assert_allclose(change, t * adds3, rtol=0.05)
        whole = distance_to_singularity(W + 1e-2 * dW3) / delta
        assert abs((whole - 1) / (1e-2 * lr * s) - 1) < 0.05 + 20 * delta
    assert (np.diff(gaps, axis=0) < 0).all() and np.max(gaps[-1]) < 0.02
    np.testing.assert_allclose(sizes[-1], sizes[-2], rtol=0.05)


@pytest.mark.checks("thm-near-singularity")
@pytest.mark.parametrize("seed", SEEDS)
def test_scale_of_the_step_near_a_singularity(seed):
    """C = B ∇_A J has a limit as δ → 0: halving δ changes it by half as much again, to a finite matrix."""
    found = []
    for delta in 1e-3 / 2.0 ** np.arange(4):
        _, _, _, W, x, _, _, error, _ = near(seed, delta)
        found.append((np.eye(len(W)) - W) @ error.T @ x)
    moved = [np.linalg.norm(one - other) for one, other in pairwise(found)]
    np.testing.assert_allclose(np.array(moved[1:]) / moved[:-1], 0.5, rtol=0.01)
    assert moved[-1] < 1e-2 * np.linalg.norm(found[-1])


@pytest.mark.checks("thm-no-crossing")
@pytest.mark.parametrize("n, m", [(2, 3), (6, 4), (5, 9)])
def test_when_a_step_crosses_a_wall(n, m):
    """The determinant on each way of the package's steps has a zero exactly if C has such an eigenvalue."""
    t, seen = np.linspace(0, 1, 4001)[:, None, None], set()

    def met(start, end):
        """Say whether start + t (end − start) is singular for a t in [0, 1]; its zeros are 1/(1 − ratio)."""
        ratio = np.linalg.eigvals(np.linalg.solve(start, end))
        zeros = 1 / (1 - ratio[np.abs(ratio - 1) > 1e-9])
        inside = (np.abs(zeros.imag) < 1e-7) & (zeros.real > 0) & (zeros.real <= 1)
        sides = np.linalg.slogdet(start + t * (end - start))[0]
        assert (np.diff(sides) != 0).sum() % 2 == inside.sum() % 2
        return bool(inside.any())

    for seed in range(6):
        W, x, _, point, error = problem(seed, n, m)
        A, B, grad_A = np.linalg.inv(np.eye(n) - W), np.eye(n) - W, error.T @ x
        C = B @ grad_A
        mu = np.linalg.eigvals(C)
        real = mu.real[(np.abs(mu.imag) < 1e-9) & (np.abs(mu) > 1e-9)]
        for lr in np.geomspace(0.3, 30, 9) / np.linalg.norm(C, 2):
            two, three = (rule(W, point, error, lr) for rule in (reparameterized, linearized))
            over, over3 = bool((real >= 1 / lr).any()), bool((real <= -1 / lr).any())
            assert met(A, A - lr * grad_A) == over == met(B, B - two)
            assert met(B, B - three) == over3
            assert not (over or over3) or lr * np.linalg.norm(C, 2) >= 1
            seen |= {(2, over), (3, over3)}
    assert seen == {(2, False), (2, True), (3, False), (3, True)}


@pytest.mark.checks("thm-no-crossing")
@pytest.mark.parametrize("sign", [1, -1])
def test_below_one_no_step_crosses_a_wall(sign):
    """No hill climb on the largest or least real eigenvalue of C at ‖C‖₂ = 1 passes 1, and all come near."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        W, x, y = (0.5 * rng.standard_normal(shape) for shape in ((3, 3), (4, 3), (4, 3)))

        def margin(W, x, y):
            B = np.eye(3) - W
            C = B @ (x @ np.linalg.inv(B).T - y).T @ x
            mu = sign * np.linalg.eigvals(C) / np.linalg.norm(C, 2)
            real = mu.real[np.abs(mu.imag) < 1e-12]
            return real.max() if real.size else -1.0

        best = margin(W, x, y)
        for _ in range(2000):
            width = rng.choice([0.01, 0.1])
            tried = [one + width * rng.standard_normal(one.shape) for one in (W, x, y)]
            if (found := margin(*tried)) > best:
                (W, x, y), best = tried, found
        assert 0.9 < best <= 1 + 1e-9


@pytest.mark.checks("eq-matrix-logistic")
@pytest.mark.parametrize("seed", SEEDS)
def test_matrix_logistic_map(seed):
    """On white inputs ΔW₃ moves M = ÂB by the stated map; a negative eigenvalue runs off at any η."""
    rng = np.random.default_rng(seed)
    n, m, scale = 6, 10, rng.uniform(0.5, 2)
    x = scale * np.sqrt(m) * np.linalg.qr(rng.standard_normal((m, n)))[0]
    best = np.eye(n) + 0.4 * rng.standard_normal((n, n))
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    # Beside the targets of a network, something that no network answers.
    noise = rng.standard_normal((m, n))
    y = x @ best.T + noise - x @ (x.T @ noise) / (m * scale**2)
    for h in (0.05, 0.7, 1.9):
        lr = h / (2 * scale**2)
        point = solve(W, x, "linear", tol=1e-12)
        dW = linearized(W, point, 2 * (point.r - y) / m, lr)
        M = best @ (np.eye(n) - W)
        np.testing.assert_allclose(
            best @ (np.eye(n) - W - dW), (1 + h) * M - h * M @ M, atol=1e-9 * np.abs(M).max() ** 2
        )
    # Now B = Â⁻¹M with an eigenvalue of −0.1.
    basis = rng.standard_normal((n, n))
    M = basis @ np.diag([-0.1, 0.5, 0.8, 1.0, 1.1, 1.2]) @ np.linalg.inv(basis)
    for h in (0.01, 0.1, 1.0):
        u, grown = -0.1, M.copy()
        while u > -1e4:
            u, grown = (1 + h) * u - h * u**2, (1 + h) * grown - h * grown @ grown
        assert np.linalg.norm(grown, 2) > 0.99e4


@pytest.mark.checks("eq-products")
@pytest.mark.parametrize("seed", SEEDS)
def test_products_only(seed):
    """Be and Bᵀx are the stated products of e and r, and ΔW₃ is their sum over samples."""
    W, x, _, point, error = problem(seed)
    B = np.eye(len(W)) - W
    dW = np.zeros_like(W)
    for e, r, sample in zip(error, point.r, x, strict=True):
        left, right = e - W @ e, B.T @ (B @ r)
        np.testing.assert_allclose(left, B @ e, atol=1e-12)
        np.testing.assert_allclose(right, B.T @ sample, atol=1e-9)
        dW -= 0.3 * np.outer(left, right)
    np.testing.assert_allclose(linearized(W, point, error, 0.3), dW, atol=1e-10)


@pytest.mark.checks("clm-products-only")
@pytest.mark.parametrize("n, m", [(12, 7), (7, 12)])
def test_multiplications_of_the_linearized_rule(n, m):
    """Three products of x, e and W give the package's ΔW₃, with 3N²m multiplications and no solve."""
    W, x, _, point, error = problem(0, n, m)
    count = 0

    def product(left, right):
        nonlocal count
        count += left.shape[0] * left.shape[1] * right.shape[1]
        return left @ right

    left = error.T - product(W, error.T)  # with W
    right = x.T - product(W.T, x.T)  # with Wᵀ
    dW = -0.3 * product(left, right.T)
    np.testing.assert_allclose(dW, linearized(W, point, error, 0.3), atol=1e-9)
    assert count == 3 * n**2 * m
