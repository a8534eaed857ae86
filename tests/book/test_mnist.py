"""The statements of the chapter on handwritten digits, on random instances."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from fpnotes.activations import linear, tanh
from fpnotes.chapters.reproduce import euler, settling_times, unrolled
from fpnotes.network import RateNetwork
from fpnotes.rules import gradient, linearized
from fpnotes.solvers import solve
from fpnotes.tasks import cross_entropy

SEEDS = [0, 1, 2]


@pytest.mark.checks("eq-softmax-error")
@pytest.mark.parametrize("seed", SEEDS)
def test_error_of_cross_entropy(seed):
    """Cᵀ(p − 1_y)/m is what autograd finds by differentiating the mean of −log p_y in the rates."""
    rng = np.random.default_rng(seed)
    C, r, y = rng.standard_normal((5, 8)), rng.standard_normal((6, 8)), rng.integers(5, size=6)
    stated = np.empty_like(r)
    for j in range(6):
        p = np.exp(C @ r[j]) / np.exp(C @ r[j]).sum()
        stated[j] = C.T @ (p - np.eye(5)[y[j]]) / 6
        loss = cross_entropy((C @ r[j])[None], y[j : j + 1])
        np.testing.assert_allclose(loss, -np.log(p[y[j]]), rtol=1e-12)
    by_autograd = grad(lambda r: cross_entropy(r @ C.T, y))(r)
    np.testing.assert_allclose(stated, by_autograd, rtol=1e-10, atol=1e-14)


def modes(seed, n=6):
    """Draw a symmetric W with eigenvalues below 1; return it, its eigenvalues and eigenvectors."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    mu = rng.uniform(-2, 0.97, n)
    return Q * mu @ Q.T, mu, Q


@pytest.mark.checks("eq-settling-time")
@pytest.mark.parametrize("seed", SEEDS)
def test_settling_time_of_an_eigenvector(seed):
    """Started off a fixed point along an eigenvector, a share ε is left at ln(1/ε)τ/(1 − Re μ)."""
    W, mu, Q = modes(seed)
    eps = 0.01
    exact = np.log(1 / eps) / (1 - mu)
    # In a linear network from rest: inputs along the eigenvectors have their fixed points there too.
    times = settling_times(W, solve(W, Q.T, "linear"), linear, 400)
    assert ((exact <= times + 0.05) & (times <= exact + 0.3)).all()
    # A turning pair settles by its real part.
    a, b = 0.6, 2.0
    pair = np.array([[a, -b], [b, a]])
    times = settling_times(pair, solve(pair, np.eye(2), "linear"), linear)
    exact = np.log(100) / (1 - a)
    assert ((exact <= times + 0.1) & (times <= exact + 0.35)).all()


@pytest.mark.checks("eq-settling-time")
@pytest.mark.parametrize("seed", SEEDS)
def test_settling_time_near_the_fixed_point_of_tanh_neurons(seed):
    """The same holds with μ of GW close to a fixed point, whatever W's own eigenvalues are."""
    W, _, _ = modes(seed)
    x = np.random.default_rng(seed + 50).standard_normal(6)
    point = solve(W, x, tol=1e-12)
    mu, vectors = np.linalg.eig(point.gain[:, None] * W)
    k = np.argmax(np.where(np.imag(mu) == 0, np.real(mu), -np.inf))
    push = 1e-4 * np.real(vectors[:, k])
    T = np.log(100) / (1 - np.real(mu[k]))
    network = RateNetwork(W, tanh)
    _, r = network.simulate(x, T, point.r + push, samples=2, rtol=1e-10, atol=1e-14)
    left = np.linalg.norm(r[-1] - point.r) / np.linalg.norm(push)
    assert left == pytest.approx(0.01, rel=0.01)


@pytest.mark.checks("eq-euler-left")
@pytest.mark.parametrize("seed", SEEDS)
def test_what_euler_steps_leave(seed):
    """k steps from rest leave (1 − h(1 − μ))ᵏ of the way along each eigenvector, near e^(−kh(1 − μ))."""
    W, mu, Q = modes(seed)
    for k, h in ((500, 0.01), (30, 0.2)):
        point = euler(W, Q.T, "linear", steps=k, dt=h)
        left = 1 - np.sum(point.r * Q.T, axis=1) * (1 - mu)
        np.testing.assert_allclose(left, (1 - h * (1 - mu)) ** k, rtol=1e-7, atol=1e-12)
        if h == 0.01:
            np.testing.assert_allclose(left, np.exp(-5 * (1 - mu)), rtol=0.3)
            slow = mu > 0
            np.testing.assert_allclose(left[slow], np.exp(-5 * (1 - mu[slow])), rtol=0.03)


@pytest.mark.checks("eq-finite-time")
@pytest.mark.parametrize("seed", SEEDS)
def test_formula_at_finite_time(seed):
    """The formula at Euler's state, over the slope of its loss by differences, is the ratio stated."""
    rng = np.random.default_rng(seed)
    x, y, h = rng.standard_normal((1, 1)), rng.standard_normal((1, 1)), 5e-4

    def state(w, T):
        return euler(np.array([[w]]), x, "linear", steps=round(T / h), dt=h)

    def J(w, T):
        return ((state(w, T).r - y) ** 2).item()

    for w in (-1.0, 0.3, 0.9, 1.2, 1.6):
        for T in (2.0, 5.0):
            slope = (J(w + 1e-5, T) - J(w - 1e-5, T)) / 2e-5
            at, W = state(w, T), np.array([[w]])
            error = 2 * (at.r - y)
            u = (1 - w) * T
            stated = (1 - np.exp(-u)) / (1 - (1 + u) * np.exp(-u))
            formula = -gradient(W, at, error, 1.0).item()
            assert formula / slope == pytest.approx(stated, rel=5e-3)
            assert (stated > 0) == (w < 1)
            # The linearized rule: (1 − w)³ in the place of 1/(1 − w).
            step = -linearized(W, at, error, 1.0).item()
            assert step == pytest.approx((1 - w) ** 4 * formula, rel=1e-9)


@pytest.mark.checks("eq-finite-time")
def test_formula_at_finite_time_in_its_limits():
    """Settled, the ratio is 1; towards w = 1 it is 2/u; beyond, it is negative for every T."""
    u = np.r_[np.linspace(-40, -0.01, 500), np.linspace(0.01, 40, 500)]
    ratio = (1 - np.exp(-u)) / (1 - (1 + u) * np.exp(-u))
    assert (ratio[u < 0] < 0).all() and (ratio[u > 0] > 1).all()
    assert ratio[-1] == pytest.approx(1, abs=1e-12)
    assert ratio[np.abs(u) < 0.02] * u[np.abs(u) < 0.02] == pytest.approx(2, rel=0.01)


@pytest.mark.checks("eq-through-the-steps")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_through_the_steps(seed):
    """The two sums as stated, sample by sample, and the rule, are what autograd finds through the loop."""
    rng = np.random.default_rng(seed)
    W, x, target = 1.5 * rng.standard_normal((7, 7)) / np.sqrt(7), *rng.standard_normal((2, 5, 7))
    K, h = 60, 0.1

    def loss(W):
        r = 0 * x
        for _ in range(K):
            r = r + h * (anp.tanh(anp.dot(r, W.T) + x) - r)
        return anp.mean((r - target) ** 2)

    state = euler(W, x, steps=K, dt=h)
    assert state.residual.max() > 1e-3
    error, stated = 2 * (state.r - target) / target.size, np.zeros((7, 7))
    for j in range(5):
        r = [np.zeros(7)]
        for _ in range(K):
            r.append((1 - h) * r[-1] + h * np.tanh(W @ r[-1] + x[j]))
        p = error[j]
        for k in reversed(range(K)):
            G = np.diag(1 - np.tanh(W @ r[k] + x[j]) ** 2)
            stated += h * np.outer(G @ p, r[k])
            p = (1 - h) * p + h * W.T @ G @ p
    by_autograd = grad(loss)(W)
    np.testing.assert_allclose(stated, by_autograd, rtol=1e-9, atol=1e-13)
    step = unrolled(W, state, error, 0.3, steps=K, dt=h)
    np.testing.assert_allclose(step, -0.3 * by_autograd, rtol=1e-9, atol=1e-13)
