"""The numbered statements of book/implicit-gradient.md, evaluated on random networks."""

import re
import textwrap
from pathlib import Path

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from scipy.linalg import expm

from fpnotes import RateNetwork, gradient, linear, powerlaw, solve, tanh
from fpnotes.activations import NAMED
from fpnotes.chapters.checks import central_differences, unrolled
from fpnotes.implicit import fixed_point, resolvent

SEEDS = [0, 1, 2]
TIGHT = {"tol": 1e-13, "method": "newton"}


def network(seed, n=6, m=4, scale=0.5):
    """Return rng, weights of an N-neuron network and m inputs."""
    rng = np.random.default_rng(seed)
    W = scale * rng.standard_normal((n, n)) / np.sqrt(n)
    return rng, W, 0.3 * rng.standard_normal((m, n))


def relative_error(value, reference):
    return np.linalg.norm(value - reference) / np.linalg.norm(reference)


def matrices(W, gain):
    """Return I − GW, one per sample: (m, N, N)."""
    return np.eye(len(W)) - gain[..., None] * W


@pytest.mark.checks("eq-neuron-slope")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", NAMED)
def test_slope_of_one_neuron(seed, activation):
    """For one neuron of each f–I curve, g r/(1 − g w) is the central difference of its fixed point."""
    rng = np.random.default_rng(seed)
    w, x, h = rng.uniform(-1.5, 0.6), rng.uniform(0.1, 0.3), 1e-5

    def point(w):
        return solve([[w]], [x], activation, **TIGHT)

    r, g = point(w).r[0], point(w).gain[0]
    measured = (point(w + h).r[0] - point(w - h).r[0]) / (2 * h)
    assert g * r / (1 - g * w) == pytest.approx(measured, rel=1e-7)


def predicted_motion(W, point, dW, dx):
    """Return dr = (I − GW)⁻¹ G (dW r + dx), one row per sample."""
    push = point.gain * (point.r @ dW.T + dx)
    return np.linalg.solve(matrices(W, point.gain), push[..., None])[..., 0]


@pytest.mark.checks("eq-implicit")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", NAMED)
def test_motion_of_the_fixed_point(seed, activation):
    """dr = (I − GW)⁻¹G(dW r + dx) is the central difference of r along random dW and dx."""
    rng, W, x = network(seed)
    dW, dx, h = rng.standard_normal(W.shape), rng.standard_normal(x.shape), 1e-5
    point = solve(W, x, activation, **TIGHT)
    ends = [
        solve(W + s * h * dW, x + s * h * dx, activation, r0=point.r, **TIGHT).r for s in (1, -1)
    ]
    measured = (ends[0] - ends[1]) / (2 * h)
    assert relative_error(predicted_motion(W, point, dW, dx), measured) < 1e-7


def plain_newton(W, x, r, activation=tanh):
    """Return the fixed point that Newton's method finds from r; the package's own, which follows the
    dynamics while far away, does not stay at an unstable one."""
    for _ in range(50):
        z = W @ r + x
        K = np.eye(len(W)) - activation.gain(z)[:, None] * W
        r = r + np.linalg.solve(K, activation(z) - r)
    assert np.abs(activation(W @ r + x) - r).max() < 1e-12
    return r


@pytest.mark.checks("thm-implicit")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_one_smooth_fixed_point_nearby(seed, scale):
    """Near a fixed point with det(I − GW) ≠ 0, stable or not, a changed W and x have one fixed point
    close by, found from every start around it, and the linear prediction of it errs quadratically."""
    rng, W, _ = network(seed, scale=scale)
    z = 0.5 * rng.standard_normal(len(W))
    r, gain = np.tanh(z), 1 - np.tanh(z) ** 2
    x = z - W @ r  # makes r a fixed point
    assert RateNetwork(W).stable(r, x) == (scale < 1)
    K = np.eye(len(W)) - gain[:, None] * W
    dW, dx = rng.standard_normal(W.shape), rng.standard_normal(x.shape)
    dr = np.linalg.solve(K, gain * (dW @ r + dx))
    unit = 1e-3 / np.linalg.norm(dr)
    remainders = []
    for h in (unit, unit / 2):
        starts = r + 1e-3 * rng.standard_normal((4, len(r)))
        found = [plain_newton(W + h * dW, x + h * dx, start) for start in starts]
        for other in found[1:]:
            np.testing.assert_allclose(other, found[0], atol=1e-11)
        remainders.append(np.linalg.norm(found[0] - r - h * dr))
    assert remainders[0] / remainders[1] == pytest.approx(4, rel=0.1)


@pytest.mark.checks("thm-implicit")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_hypothesis_is_needed(seed):
    """At a fold, where det(I − GW) = 0, one side has two fixed points nearby and the other none."""
    x = np.random.default_rng(seed).uniform(0.1, 0.4)
    fold, z = 1 / (4 * x), 2 * x  # one neuron, r = [w r + x]²: a double root at 4wx = 1
    curve = powerlaw()
    assert 1 - curve.gain(z) * fold == pytest.approx(0, abs=1e-12)
    inside = np.array([[fold * (1 - 1e-4)]])
    low, high = (plain_newton(inside, x, np.array([z**2 * c]), curve)[0] for c in (0.9, 1.1))
    assert z**2 * 1e-3 < high - low < z**2 * 0.1
    r = np.linspace(0, 100 * z**2, 100_001)
    assert (curve(fold * (1 + 1e-4) * r + x) > r).all()


def adjoint(W, point, error):
    """Return λ from (I − GW)ᵀλ = e, one row per sample."""
    K = np.swapaxes(matrices(W, point.gain), -1, -2)
    return np.linalg.solve(K, error[..., None])[..., 0]


@pytest.mark.checks("eq-adjoint")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", NAMED)
def test_adjoint_replaces_one_solve_per_direction(seed, activation):
    """With (I − GW)ᵀλ = e, λ·G(dW r + dx) equals e·dr for any dW and dx; resolvent returns this λ."""
    rng, W, x = network(seed)
    point, error = solve(W, x, activation, **TIGHT), rng.standard_normal(x.shape)
    lam = adjoint(W, point, error)
    np.testing.assert_allclose(resolvent(W, point.gain, error, transpose=True), lam, rtol=1e-7)
    for _ in range(3):
        dW, dx = rng.standard_normal(W.shape), rng.standard_normal(x.shape)
        left = np.sum(lam * point.gain * (point.r @ dW.T + dx))
        right = np.sum(error * predicted_motion(W, point, dW, dx))
        assert left == pytest.approx(right, rel=1e-9)


@pytest.mark.checks("eq-gradient")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", NAMED)
def test_gradient_in_the_weights(seed, activation):
    """Σ (Gλ)rᵀ is the central difference of the mean loss in every weight, and ΔW₁ is −η times it."""
    rng, W, x = network(seed)
    y, lr = rng.standard_normal(x.shape), 0.3

    def J(W):
        return np.mean(np.sum((solve(W, x, activation, **TIGHT).r - y) ** 2, axis=-1))

    point = solve(W, x, activation, **TIGHT)
    error = 2 * (point.r - y) / len(x)
    total = sum(
        np.outer(g * lam, r)
        for g, lam, r in zip(point.gain, adjoint(W, point, error), point.r, strict=True)
    )
    assert relative_error(total, central_differences(J, W)) < 1e-7
    np.testing.assert_allclose(gradient(W, point, error, lr), -lr * total, rtol=1e-6, atol=1e-12)


@pytest.mark.checks("eq-gradient-x")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", NAMED)
def test_gradient_in_the_inputs(seed, activation):
    """Gλ, one row per sample, is the central difference of the mean loss in every input."""
    rng, W, x = network(seed)
    y = rng.standard_normal(x.shape)

    def J(x):
        return np.mean(np.sum((solve(W, x, activation, **TIGHT).r - y) ** 2, axis=-1))

    point = solve(W, x, activation, **TIGHT)
    found = point.gain * adjoint(W, point, 2 * (point.r - y) / len(x))
    assert relative_error(found, central_differences(J, x)) < 1e-7


@pytest.mark.checks("eq-error-flow")
@pytest.mark.parametrize("seed", SEEDS)
def test_error_flow(seed):
    """The solution of the adjoint equation satisfies λ = e + WᵀGλ, and iterating that map reaches it."""
    rng, W, x = network(seed, m=1)
    point, error = solve(W, x, **TIGHT), rng.standard_normal(x.shape)
    lam, g = adjoint(W, point, error)[0], point.gain[0]
    np.testing.assert_allclose(lam, error[0] + W.T @ np.diag(g) @ lam, rtol=1e-10)
    settled = np.zeros_like(lam)
    for _ in range(200):
        settled = error[0] + W.T @ (g * settled)
    np.testing.assert_allclose(settled, lam, rtol=1e-9)


@pytest.mark.checks("thm-error-flow")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("abscissa", [0.6, 0.9, 1.2])
def test_error_settles_below_an_abscissa_of_1(seed, abscissa):
    """The error network's Jacobian has the eigenvalues and the growth of the rates' own; its flow
    reaches λ when the spectral abscissa of GW is below 1, from any start, and runs away above."""
    rng = np.random.default_rng(seed)
    n = 8
    z, M = 0.3 * rng.standard_normal(n), rng.standard_normal((n, n))
    r, g = np.tanh(z), 1 - np.tanh(z) ** 2
    W = M * abscissa / np.linalg.eigvals(g[:, None] * M).real.max()
    forward = RateNetwork(W).jacobian(r, z - W @ r)
    backward = W.T @ np.diag(g) - np.eye(n)
    np.testing.assert_allclose(np.poly(backward), np.poly(forward), rtol=1e-8, atol=1e-8)
    for t in (0.5, 5.0):
        assert np.linalg.norm(expm(t * backward), 2) == pytest.approx(
            np.linalg.norm(expm(t * forward), 2)
        )
    error = rng.standard_normal(n)
    lam = np.linalg.solve((np.eye(n) - g[:, None] * W).T, error)
    # λ(t) − λ = exp(tM)(λ(0) − λ), with M the Jacobian of the error network.
    growth = [np.linalg.norm(expm(t * backward), 2) for t in (60, 120)]
    assert np.log(growth[1] / growth[0]) / 60 == pytest.approx(abscissa - 1, abs=0.02)
    for start in (None, rng.standard_normal(n)):
        end = RateNetwork(W.T * g, linear).simulate(error, 150, r0=start)[1][-1]
        assert np.allclose(end, lam, rtol=1e-3, atol=1e-3) == (abscissa < 1)


@pytest.mark.checks("thm-error-flow")
def test_error_does_not_settle_at_an_abscissa_of_1():
    """At μ_max = 1, real, the error grows as et while the rates of one tanh neuron return to 0; at a pair
    1 ± i it circles around λ for ever. `stable` is False at both."""
    neuron, zero = RateNetwork(np.ones((1, 1))), np.zeros(1)
    assert neuron.spectral_abscissa(zero, zero) == 1 and not neuron.stable(zero, zero)
    rates = np.abs(neuron.simulate(zero, 400, r0=[1.0])[1][:, 0])
    assert (np.diff(rates) < 0).all() and rates[-1] < 0.1  # as √(3/(2t))
    error = RateNetwork(np.ones((1, 1)), linear).simulate([1.0], 200)[1][-1]
    assert error == pytest.approx(200)

    W, e = np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([0.3, -0.5])
    pair = RateNetwork(W, linear)
    assert pair.spectral_abscissa(e, e) == pytest.approx(1) and not pair.stable(e, e)
    lam = np.linalg.solve((np.eye(2) - W).T, e)
    path = RateNetwork(W.T, linear).simulate(e, 60, rtol=1e-10, atol=1e-12)[1]
    np.testing.assert_allclose(np.linalg.norm(path - lam, axis=1), np.linalg.norm(lam), rtol=1e-6)


@pytest.mark.checks("clm-every-order")
@pytest.mark.parametrize("seed", SEEDS)
def test_derivatives_of_every_order(seed):
    """For one neuron with f = [z]₊², whose fixed point has a formula, and for one linear neuron, the first
    five derivatives of the fixed point in w are those of the formula, by nested grad."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 0.4)
    w = rng.uniform(0.2, 0.6) / (4 * x)
    formulas = {
        powerlaw(2): lambda w: ((1 - (1 - 4 * w * x) ** 0.5) / (2 * w)) ** 2,
        linear: lambda w: x / (1 - w),
    }
    for activation, formula in formulas.items():

        def solved(w, f=activation):
            return fixed_point(w * anp.ones((1, 1)), x * anp.ones(1), f, **TIGHT)[0]

        point = min(w, 0.9)
        for _ in range(5):
            solved, formula = grad(solved), grad(formula)
            assert solved(point) == pytest.approx(formula(point), rel=1e-7)


@pytest.mark.checks("eq-resolvent-derivative")
@pytest.mark.parametrize("seed", SEEDS)
def test_derivative_of_the_resolvent(seed):
    """du = (I − GW)⁻¹(db + dG W u + G dW u) is the central difference of u, and the cotangents
    v, v⊙Wu and (Gv)uᵀ read from it are what autograd returns."""
    rng, W, b = network(seed)
    gain = rng.uniform(0.2, 1.0, b.shape)
    dW, dg, db = (rng.standard_normal(a.shape) for a in (W, gain, b))
    u, h = resolvent(W, gain, b, tol=1e-12), 1e-5
    predicted = np.linalg.solve(
        matrices(W, gain), (db + dg * (u @ W.T) + gain * (u @ dW.T))[..., None]
    )[..., 0]
    ends = [resolvent(W + s * dW, gain + s * dg, b + s * db, tol=1e-12) for s in (h, -h)]
    assert relative_error(predicted, (ends[0] - ends[1]) / (2 * h)) < 1e-7

    c = rng.standard_normal(b.shape)
    v = np.linalg.solve(np.swapaxes(matrices(W, gain), 1, 2), c[..., None])[..., 0]
    for argnum, by_hand in enumerate([(gain * v).T @ u, v * (u @ W.T), v]):
        found = grad(lambda *a: (c * resolvent(*a, tol=1e-12)).sum(), argnum)(W, gain, b)
        np.testing.assert_allclose(found, by_hand, rtol=1e-9, atol=1e-11)


@pytest.mark.checks("eq-unrolled-error")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 5, 30])
def test_error_of_an_unrolled_slope(seed, k):
    """For one linear neuron, the slope of k unrolled steps misses wᵏ + k(1 − w)wᵏ⁻¹ of the true one."""
    rng = np.random.default_rng(seed)
    w, x = rng.uniform(-0.9, 0.9), rng.uniform(0.5, 2)

    def slope(r):
        return grad(lambda W: r(W, np.array([x]))[0])(np.array([[w]]))[0, 0]

    true = slope(lambda W, x: fixed_point(W, x, "linear"))
    missing = (true - slope(lambda W, x: unrolled(W, x, "linear", k))) / true
    assert missing == pytest.approx(w**k + k * (1 - w) * w ** (k - 1), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_backward_rules_in_tabs_are_those_that_run(name):
    root = Path(__file__).parents[2]
    page = (root / "book/implicit-gradient.md").read_text(encoding="utf-8")
    source = (root / f"fpnotes/frameworks/{name}.py").read_text(encoding="utf-8")
    (tabs,) = re.findall(r"^`````{tab-set}\n(.*?)^`````$", page, re.DOTALL | re.MULTILINE)
    shown = re.findall(r"^```python\n(.*?)\n```$", tabs, re.DOTALL | re.MULTILINE)
    assert len(shown) == 2
    (block,) = [code for code in shown if ("ctx" in code) == (name == "torch")]
    assert block in source or textwrap.indent(block, "    ") in source
