"""The statements of the chapter on other ways to the same fixed points, on random instances."""

from functools import partial

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from scipy.optimize import minimize

from fpnotes import RateNetwork, fixed_point, gradient, resolvent, solve
from fpnotes.chapters import rivals
from fpnotes.chapters.reproduce import results
from fpnotes.chapters.rivals import (
    Contestant,
    best_rate,
    equilibrium_propagation,
    evaluations,
    imitation,
    nudge,
    nudged_forward,
    penalized,
    symmetrized,
)
from fpnotes.rules import (
    jacobian_free,
    linearized,
    linearized_without_gains,
    truncated,
    without_transport,
)
from fpnotes.tasks import Task, mean_squared_error
from fpnotes.training import train

SEEDS = [0, 1, 2]


def instance(seed, *, symmetric, n=6, m=4, size=0.5, curve="tanh"):
    """Draw weights, m fixed points of n neurons, targets, and the error of the mean squared error."""
    rng = np.random.default_rng(seed)
    W = size * rng.standard_normal((n, n)) / np.sqrt(n)
    W = (W + W.T) / np.sqrt(2) if symmetric else W
    x, y = 0.8 * rng.standard_normal((2, m, n))
    point = solve(W, x, curve, tol=1e-13)
    return W, point, y, 2 * (point.r - y) / m


def projected(W, point, error):
    """Return the projection of −∇J on the symmetric matrices."""
    down = gradient(W, point, error, 1.0)
    return (down + down.T) / 2


# ---- Settle twice ----


@pytest.mark.checks("eq-energy")
@pytest.mark.parametrize("seed", SEEDS)
def test_energy(seed):
    """Differences of the energy are the slope f⁻¹(r) − Wr − x, its Hessian at a fixed point is A⁻¹."""
    W, point, _, _ = instance(seed, symmetric=True)
    x = point.x[0]

    def energy(r):
        # The integral of artanh from 0 to r.
        integral = r * anp.arctanh(r) + anp.log(1 - r**2) / 2
        return anp.sum(integral) - r @ W @ r / 2 - x @ r

    r = np.random.default_rng(seed).uniform(-0.9, 0.9, len(W))
    np.testing.assert_allclose(grad(energy)(r), np.arctanh(r) - W @ r - x, rtol=1e-9, atol=1e-11)
    rest, g, h = point.r[0], point.gain[0], 1e-5
    np.testing.assert_allclose(grad(energy)(rest), 0, atol=1e-9)
    shifts = h * np.eye(len(W))
    hessian = [(grad(energy)(rest + s) - grad(energy)(rest - s)) / (2 * h) for s in shifts]
    A = np.linalg.solve(np.eye(len(W)) - g[:, None] * W, np.diag(g))
    np.testing.assert_allclose(hessian @ A, np.eye(len(W)), atol=1e-6)


@pytest.mark.checks("eq-energy-falls")
@pytest.mark.parametrize("seed", SEEDS)
def test_energy_falls(seed):
    """Along the dynamics dE/dt is the sum stated, never above 0, at any rates and any size of W."""
    rng = np.random.default_rng(seed)
    W = 3 * rng.standard_normal((5, 5))
    W = W + W.T
    network, x = RateNetwork(W, tau=1.7), rng.standard_normal(5)
    for r in rng.uniform(-0.99, 0.99, (200, 5)):
        z, u = W @ r + x, np.arctanh(r)
        slope = u - W @ r - x
        stated = -np.sum((u - z) * (np.tanh(u) - np.tanh(z))) / 1.7
        assert slope @ network.velocity(r, x) == pytest.approx(stated, rel=1e-9, abs=1e-12)
        assert stated <= 0


@pytest.mark.checks("eq-nudged")
@pytest.mark.parametrize("seed", SEEDS)
def test_nudged(seed):
    """The rule's step is the quotient stated, with nudged fixed points that iteration finds."""
    W, point, y, error = instance(seed, symmetric=True)
    nu, m, total = 0.02, len(y), 0
    for x, target in zip(point.x, y, strict=True):
        for sign in (1, -1):
            r = np.zeros(len(W))
            for _ in range(2000):
                r = np.tanh(W @ r + x - sign * nu * 2 * (r - target))
            total = total + sign * np.outer(r, r)
    step = equilibrium_propagation(W, point, error, 0.7, nu=nu)
    np.testing.assert_allclose(step, 0.7 / (4 * nu * m) * total, rtol=1e-4, atol=1e-6)


@pytest.mark.checks("thm-nudged")
@pytest.mark.parametrize("curve", ["tanh", "softplus"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_of_a_nudge(seed, curve):
    """To one side the error halves with ν, to both it quarters; the limit is the gradient on symmetric W."""
    W, point, y, error = instance(seed, symmetric=True, curve=curve)
    m, wanted = len(y), projected(W, point, error)

    def rates(nu):
        W_nu, x = W - 2 * nu * np.eye(len(W)), point.x + 2 * nu * y
        return solve(W_nu, x, curve, r0=point.r, tol=1e-14).r

    one, both = [], []
    for nu in (0.02, 0.01, 0.005):
        toward, away, free = rates(nu), rates(-nu), point.r
        one.append(np.linalg.norm((toward.T @ toward - free.T @ free) / (2 * nu * m) - wanted))
        both.append(np.linalg.norm((toward.T @ toward - away.T @ away) / (4 * nu * m) - wanted))
    np.testing.assert_allclose(np.divide(one[:-1], one[1:]), 2, rtol=0.1)
    np.testing.assert_allclose(np.divide(both[:-1], both[1:]), 4, rtol=0.1)

    # −wanted is the gradient among symmetric matrices: it gives the slope of J in each of them.
    def J(W):
        return np.sum((solve(W, point.x, curve, r0=point.r, tol=1e-14).r - y) ** 2) / m

    V = np.random.default_rng(seed).standard_normal(W.shape)
    V = V + V.T
    slope = (J(W + 1e-5 * V) - J(W - 1e-5 * V)) / 2e-5
    assert slope == pytest.approx(-np.sum(wanted * V), rel=1e-5, abs=1e-8)


@pytest.mark.checks("eq-nudge-linear")
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_nudge_of_a_linear_network(seed, symmetric):
    """Both quotients have the closed forms, at small nudges and at one past the singularity of −ν."""
    W, point, y, _ = instance(seed, symmetric=symmetric, curve="linear")
    eye = np.eye(len(W))
    B, slope = eye - W, 2 * (point.r - y)
    past = 0.6 * np.abs(np.linalg.eigvals(B)).max()
    for nu in (1e-3, 0.05, past):

        def rates(nu, W=W, y=y):
            return np.linalg.solve(B + 2 * nu * eye, (point.x + 2 * nu * y).T).T

        one, both = (rates(nu) - point.r) / nu, (rates(nu) - rates(-nu)) / (2 * nu)
        np.testing.assert_allclose(one, -np.linalg.solve(B + 2 * nu * eye, slope.T).T, rtol=1e-8)
        stated = -np.linalg.solve(B @ B - 4 * nu**2 * eye, B @ slope.T).T
        np.testing.assert_allclose(both, stated, rtol=1e-6, atol=1e-9)


@pytest.mark.checks("eq-asymmetric")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_nudge_without_symmetry(seed):
    """The quotient tends to −Σ (Ae) rᵀ as ν², the gradient is Σ (Aᵀe) rᵀ; the two differ."""
    W, point, y, error = instance(seed, symmetric=False)
    forward = -resolvent(W, point.gain, point.gain * error).T @ point.r
    backward = np.zeros_like(W)
    for r, g, e in zip(point.r, point.gain, error, strict=True):
        A = np.linalg.solve(np.eye(len(W)) - g[:, None] * W, np.diag(g))
        backward -= np.outer(A.T @ e, r)
    np.testing.assert_allclose(gradient(W, point, error, 1.0), backward, rtol=1e-8, atol=1e-10)
    off = [
        np.linalg.norm(nudged_forward(W, point, error, 1.0, nu=nu) - forward) for nu in (0.08, 0.04)
    ]
    assert off[0] / off[1] == pytest.approx(4, rel=0.15)
    assert np.linalg.norm(forward - backward) > 0.01 * np.linalg.norm(backward)


# ---- Stop early ----


@pytest.mark.checks("eq-truncated")
@pytest.mark.parametrize("seed", SEEDS)
def test_truncated(seed):
    """The adjoint lacks (WᵀG)ᵏ⁺¹λ, and the package's rule takes its step with this λₖ."""
    W, point, _, error = instance(seed, symmetric=False, size=1.2)
    for k in (0, 1, 4):
        step = np.zeros_like(W)
        for r, g, e in zip(point.r, point.gain, error, strict=True):
            back = W.T * g
            cut = sum(np.linalg.matrix_power(back, power) @ e for power in range(k + 1))
            adjoint = np.linalg.solve(np.eye(len(W)) - back, e)
            rest = np.linalg.matrix_power(back, k + 1) @ adjoint
            np.testing.assert_allclose(adjoint - cut, rest, rtol=1e-8, atol=1e-10)
            step -= 0.2 * np.outer(g * cut, r)
        np.testing.assert_allclose(truncated(W, point, error, 0.2, k=k), step, rtol=1e-9)


@pytest.mark.checks("thm-truncated")
@pytest.mark.parametrize("k", [0, 1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_when_a_truncated_adjoint_descends(seed, k):
    """Optimized errors find an ascent exactly where the symmetric part of (WG)ᵏ⁺¹ exceeds 1; and part 1."""
    n, found = 5, {True: 0, False: 0}
    eye = np.eye(n)
    for size in (0.5, 1.0, 2.0, 4.0, 16.0):
        rng = np.random.default_rng(seed)
        W, z = size * rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal(n)
        g = 1 - np.tanh(z) ** 2
        powers = [np.linalg.matrix_power(W.T * g, power) for power in range(k + 1)]
        whole, cut = g[:, None] * np.linalg.inv(eye - W.T * g), g[:, None] * sum(powers)

        def descent(e, whole=whole, cut=cut):
            """Return the cosine of Gλₖ to Gλ, and so of the step's angle to the gradient's."""
            return (cut @ e) @ (whole @ e) / (np.linalg.norm(cut @ e) * np.linalg.norm(whole @ e))

        least = min(minimize(descent, e).fun for e in rng.standard_normal((4, n)))
        power = np.linalg.matrix_power(W * g, k + 1)
        most = np.linalg.eigvalsh((power + power.T) / 2).max()
        if abs(most - 1) > 0.05:
            assert (least > 0) == (most < 1)
            found[bool(most < 1)] += 1
        # Part 1: what is left out vanishes for every error exactly if ρ(GW) < 1.
        left = [np.linalg.norm(np.linalg.matrix_power(W.T * g, power)) for power in (60, 120)]
        assert (left[1] < left[0]) == (np.abs(np.linalg.eigvals(g[:, None] * W)).max() < 1)
    assert found[True] and found[False]


def test_jacobian_free_is_no_term():
    W, point, _, error = instance(0, symmetric=False)
    step = jacobian_free(W, point, error, 0.3)
    np.testing.assert_allclose(step, -0.3 * (point.gain * error).T @ point.r, rtol=1e-12)


# ---- Pay for stability ----


@pytest.mark.checks("eq-penalty-gradient")
@pytest.mark.parametrize("seed", SEEDS)
def test_penalty_gradient(seed):
    """The stated ∇R is autograd's for two curves; the rule's step is that of J + γR for tanh."""
    curves = {  # f′ and f″
        "tanh": (
            lambda z: 1 - anp.tanh(z) ** 2,
            lambda z: -2 * np.tanh(z) * (1 - np.tanh(z) ** 2),
        ),
        "softplus": (
            lambda z: 1 / (1 + anp.exp(-z)),
            lambda z: 1 / ((1 + np.exp(-z)) * (1 + np.exp(z))),
        ),
    }
    for name, (gain, second) in curves.items():
        W, point, y, error = instance(seed, symmetric=False, curve=name)
        m, x = len(y), point.x

        def R(W, x=x, gain=gain, name=name, m=m):
            z = anp.dot(fixed_point(W, x, name, tol=1e-13), W.T) + x
            return anp.sum(gain(z) ** 2 * anp.sum(W**2, axis=1)) / m

        z = point.recurrent + x
        pull = 2 / m * second(z) * np.sum(W**2, axis=1)
        adjoint = resolvent(W, point.gain, pull, transpose=True)
        stated = 2 / m * np.sum(point.gain**2, axis=0)[:, None] * W
        stated = stated + (point.gain * adjoint).T @ point.r
        np.testing.assert_allclose(grad(R)(W), stated, rtol=1e-7, atol=1e-10)
        if name == "tanh":
            step = penalized(W, point, error, 0.5, strength=0.3)
            down = gradient(W, point, error, 0.5) - 0.5 * 0.3 * stated
            np.testing.assert_allclose(step, down, rtol=1e-9, atol=1e-12)


# ---- In brief ----


@pytest.mark.checks("eq-least-control")
@pytest.mark.parametrize("seed", SEEDS)
def test_least_control(seed):
    """ψ is (I − GW)(y − r) to first order; with linear neurons its update is ΔW_s with y for r."""
    W, point, _, _ = instance(seed, symmetric=False)
    m, direction = len(point.r), np.random.default_rng(seed).standard_normal(point.r.shape)
    left = []
    for size in (0.02, 0.01):
        y = point.r + size * direction
        e = 2 * (point.r - y) / m
        np.testing.assert_allclose(y - point.r, -m / 2 * e)
        psi = y - np.tanh(y @ W.T + point.x)
        left.append(np.linalg.norm(psi - (y - point.r - point.gain * ((y - point.r) @ W.T))))
    assert left[0] / left[1] == pytest.approx(4, rel=0.1)

    W, point, y, e = instance(seed, symmetric=False, curve="linear")
    psi = y - y @ W.T - point.x
    np.testing.assert_allclose(psi, -m / 2 * (e - e @ W.T), rtol=1e-9, atol=1e-11)

    def effort(W):
        return np.sum((y - y @ W.T - point.x) ** 2) / 2

    V, h = np.random.default_rng(seed).standard_normal(W.shape), 1e-5
    slope = (effort(W + h * V) - effort(W - h * V)) / (2 * h)
    assert slope == pytest.approx(-np.sum((psi.T @ y) * V), rel=1e-6)
    forward = without_transport(W, point, e, 1.0)
    # ΔW_s with y in the place of r at the sender.
    np.testing.assert_allclose(forward, -(e - e @ W.T).T @ point.r, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(psi.T @ y, -m / 2 * (e - e @ W.T).T @ y, rtol=1e-9, atol=1e-11)


# ---- The comparison ----


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("start", rivals.STARTS)
def test_a_task_starts_where_it_should(symmetric, start):
    task = imitation(3, start, symmetric)
    point = solve(task.W0, task.x)
    assert point.spectral_abscissa.max() == pytest.approx(start, abs=0.01)
    assert np.array_equal(task.W0, task.W0.T) == symmetric


def test_nudged_points_need_the_error_only():
    W, point, y, error = instance(1, symmetric=False)
    found = nudge(point, error, 0.03, tol=1e-12).r
    wanted = np.tanh(found @ W.T + point.x - 2 * 0.03 * (found - y))
    np.testing.assert_allclose(found, wanted, atol=1e-10)


def test_a_symmetrized_step_is_symmetric_and_nearest():
    W, point, _, error = instance(0, symmetric=True)
    step, whole = (
        symmetrized(W, point, error, 0.1, rule=linearized),
        linearized(W, point, error, 0.1),
    )
    np.testing.assert_allclose(step, step.T)
    V = np.random.default_rng(0).standard_normal(W.shape)
    assert np.sum((whole - step) * (V + V.T)) == pytest.approx(0, abs=1e-12)


def test_projected_terms_of_the_linearized_rule_descend_and_those_without_gains_need_not():
    """For W = Wᵀ the slope along the projected ΔW₃ is −‖K S Kᵀ‖², K = I − GW and S the projected gradient."""
    rng = np.random.default_rng(0)
    climbs = 0
    for _ in range(100):
        W = rng.standard_normal((2, 2)) * rng.uniform(0.2, 1.2)
        W = (W + W.T) / 2
        batch = solve(W, 2 * rng.standard_normal((20, 2)), on_failure="ignore")
        batch = batch[batch.converged & (batch.spectral_abscissa < 1)]
        for j, error in enumerate(rng.standard_normal((len(batch.r), 1, 2))):
            point = batch[j : j + 1]
            S = -projected(W, point, error)
            slope, variant = (
                np.sum(symmetrized(W, point, error, 1.0, rule=rule) * S)
                for rule in (linearized, linearized_without_gains)
            )
            K = np.eye(2) - point.gain[0][:, None] * W
            assert slope == pytest.approx(-np.sum((K @ S @ K.T) ** 2), rel=1e-6, abs=1e-12)
            climbs += variant > 1e-9
    assert climbs > 0


def test_a_run_of_the_table_can_be_made_again():
    """The draw, the rule and the budget are those of the code as it stands."""
    chosen = "method == 'jacobian_free' and not symmetric and start == 0.5 and best and seed == 0"
    row = results("rivals-runs").query(chosen).iloc[0]
    rate, loss = float(row["rate"]), float(row["loss"])
    rule, own = rivals.methods(False)["jacobian_free"]
    contestant = Contestant(False, 0.5, "jacobian_free", rule, own)
    count = partial(rivals.products, nudged=False)
    history = train(contestant.task(0), rule, rate, 112, progress=False, record=count)
    assert contestant.spent(history)[-1] > rivals.BUDGET
    assert contestant.loss(history) == pytest.approx(loss, rel=1e-3)
    end = rivals.at_end(contestant, rate, 0, history)
    assert end == pytest.approx({name: row[name] for name in end}, rel=1e-3)


def test_the_end_of_a_run_is_that_of_its_budget(monkeypatch):
    """Steps beyond the budget change nothing, and where no fixed point is found nothing settles."""
    rule, own = rivals.methods(False)["jacobian_free"]
    contestant = Contestant(False, 0.5, "jacobian_free", rule, own)
    count = partial(rivals.products, nudged=False)
    monkeypatch.setattr(rivals, "BUDGET", 100)
    run = partial(train, contestant.task(0), rule, 0.5, progress=False, record=count)
    long, last = run(40), contestant.within(run(40))
    assert 0 < last < 39 and contestant.loss(long) == long.loss[last] / long.loss[0]
    end = rivals.at_end(contestant, 0.5, 0, long)
    assert end == rivals.at_end(contestant, 0.5, 0, run(last + 1))
    W = train(contestant.task(0), rule, 0.5, last, progress=False).W
    assert end["abscissa"] == solve(W, contestant.task(0).x).spectral_abscissa.max()
    monkeypatch.setattr(rivals, "solve", partial(solve, method="relaxation", max_steps=2))
    assert rivals.at_end(contestant, 0.5, 0, long) == {"settling": np.inf, "abscissa": -np.inf}


@pytest.mark.parametrize("best", [0.01, 0.4, 30])
def test_rates_go_on_until_the_best_lies_inside(best):
    def losses(rates):
        return {rate: [abs(np.log(rate / best))] * 3 for rate in rates}

    tried, found = best_rate(losses)
    assert min(tried) < found < max(tried) and abs(np.log2(found / best)) <= 0.5
    assert set(np.diff(np.log2(sorted(tried))).round(9)) == {1.0}


def test_what_a_run_costs(monkeypatch):
    """A gradient run costs its evaluations, and N/3 + 2 for each step; its loss is that within the budget."""
    rng = np.random.default_rng(0)
    x, y = 0.5 * rng.standard_normal((2, 5, 4))
    task = Task(0.3 * rng.standard_normal((4, 4)), x, y, mean_squared_error, "tanh")
    count = partial(rivals.products, nudged=False)
    history = train(task, gradient, 0.1, 10, progress=False, record=count)
    points = solve(task.W0, x)
    contestant = Contestant(False, 0.5, "gradient", *rivals.methods(False)["gradient"])
    spent = contestant.spent(history)
    assert spent[0] == pytest.approx(points.steps.mean())
    assert spent[1] - spent[0] == pytest.approx(history.recorded["products"][1] + rivals.N / 3 + 2)
    monkeypatch.setattr(rivals, "BUDGET", spent[4] + 0.5)
    assert contestant.loss(history) == history.loss[4] / history.loss[0]
    monkeypatch.setattr(rivals, "PARTS", np.array([spent[0] / 2, spent[3], spent[4] + 0.5]))
    expected = history.loss[[0, 3, 4]] / history.loss[0]
    np.testing.assert_array_equal(contestant.curve(history), expected)
    np.testing.assert_allclose(evaluations(np.array([10, 280, 283])), [10, 280, 283 + rivals.N])
