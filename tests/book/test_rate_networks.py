"""The numbered statements of the chapter on rate networks, on random instances."""

import numpy as np
import pytest
from scipy.optimize import root_scalar

from fpnotes import RateNetwork, linear, relu, softplus, solve, tanh
from fpnotes.activations import NAMED

SEEDS = range(3)
LIPSCHITZ = (linear, tanh, relu, softplus)  # of gain at most 1


def random_network(seed, n=6, scale=0.5):
    """Return rng, W = scale·randn/√n and x = randn."""
    rng = np.random.default_rng(seed)
    return rng, scale * rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal(n)


def contracting(seed, n=8, chi=0.8):
    """Return rng, W with ‖W‖₂ = chi, and x."""
    rng, W, x = random_network(seed, n)
    return rng, W * chi / np.linalg.norm(W, 2), x


@pytest.mark.checks("eq-model")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", NAMED)
def test_the_simulation_obeys_the_model(activation, seed):
    """Along a simulated path the central difference of r times τ is −r + f(W r + x)."""
    rng, W, x = random_network(seed, scale=0.3)
    x, tau = 0.3 * x, 1 + rng.random()  # small: powerlaw may run away otherwise
    t, r = RateNetwork(W, activation, tau).simulate(x, tau, samples=2001, rtol=1e-11, atol=1e-13)
    f = NAMED[activation]
    for k in (100, 1000, 1900):  # every neuron's slope there, and no two the same
        slope = (r[k + 1] - r[k - 1]) / (t[k + 1] - t[k - 1])
        expected = -r[k] + np.array([f(W[i] @ r[k] + x[i]) for i in range(len(x))])
        assert tau * slope == pytest.approx(expected, abs=2e-6)


@pytest.mark.checks("eq-fixed-point")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", LIPSCHITZ, ids=lambda f: f.name)
def test_the_network_settles_where_r_is_f_of_its_net_input(activation, seed):
    """The rates that a simulation ends at solve r = f(W r + x), whatever τ, and solve finds them."""
    _, W, x = contracting(seed)
    ends = [
        RateNetwork(W, activation, tau).simulate(x, 150 * tau, rtol=1e-9, atol=1e-11)[1][-1]
        for tau in (1.0, 3.0)
    ]
    assert ends[0] == pytest.approx(ends[1], abs=1e-8)
    assert ends[0] == pytest.approx(activation(W @ ends[0] + x), abs=1e-8)
    assert solve(W, x, activation).r == pytest.approx(ends[0], abs=1e-6)


@pytest.mark.checks("eq-linear-response")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 4, 30])
def test_linear_response(n, seed):
    """In a linear network r = (I − W)⁻¹x, with the inverse from an SVD, also where nothing settles."""
    _, W, x = random_network(seed, n, scale=1.5)
    u, s, vh = np.linalg.svd(np.eye(n) - W)
    expected = vh.T @ ((u.T @ x) / s)
    assert solve(W, x, "linear").r == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.checks("eq-neumann")
@pytest.mark.parametrize("seed", SEEDS)
def test_sum_over_paths(seed):
    """The sum of Wᵏx is (I − W)⁻¹x when ρ(W) < 1, although ‖W‖₂ > 1; for ρ(W) > 1 its terms grow."""
    _, W, x = random_network(seed, n=12)
    radius = np.abs(np.linalg.eigvals(W)).max()
    W *= 0.9 / radius
    assert np.linalg.norm(W, 2) > 1
    total, term = np.zeros(12), x
    for _ in range(600):
        total, term = total + term, W @ term
    assert total == pytest.approx(np.linalg.solve(np.eye(12) - W, x), rel=1e-9)
    assert np.linalg.norm(np.linalg.matrix_power(W * 1.2 / 0.9, 200) @ x) > 1e6


def crossings(w, x):
    """Return the zeros of tanh(w r + x) − r."""
    grid = np.linspace(-1.2, 1.2, 24_001)
    above = np.tanh(w * grid + x) > grid
    return [
        root_scalar(lambda r: np.tanh(w * r + x) - r, bracket=grid[i : i + 2], xtol=1e-14).root
        for i in np.flatnonzero(np.diff(above))
    ]


@pytest.mark.checks("thm-one-neuron")
@pytest.mark.parametrize("seed", SEEDS)
def test_one_tanh_neuron(seed):
    """For w ≤ 1 there is one crossing, reached from every start; for w > 1 and x = 0 there are three."""
    rng = np.random.default_rng(seed)
    for w, x in zip(
        (-8, -1, 0, 0.9, *rng.uniform(-4, 0.9, 4)), rng.standard_normal(8), strict=True
    ):
        (r,) = crossings(w, x)
        starts = np.array([[-3.0], [0.0], [3.0]])
        ends = RateNetwork(np.array([[w]])).simulate([x], 200, starts)[1][-1]
        assert ends == pytest.approx(r, abs=1e-5)
    # At w = 1 the slope 1 − wg is 0 at the fixed point of x = 0, which is reached more slowly.
    for x, slack in ((rng.uniform(0.3, 1), 1e-5), (0, 0.1)):
        (r,) = crossings(1, x)
        path = RateNetwork(np.eye(1)).simulate([x], 200, [[-3.0], [3.0]])[1]
        assert path[-1] == pytest.approx(r, abs=slack)
        assert np.all(np.diff(np.abs(path - r), axis=0) < 1e-5)
    for w in 1 + rng.exponential(1, 5) + 1e-3:
        low, middle, high = crossings(w, 0)
        assert middle == pytest.approx(0, abs=1e-9) and low == pytest.approx(-high)


def tanh_fixed_points(w, x):
    """Return the net inputs z = w tanh(z) + x, one in each piece on which w tanh(z) + x − z is monotone."""

    def excess(z):
        return w * np.tanh(z) + x - z

    bend = np.arccosh(np.sqrt(w)) if w > 1 else 0.0  # there w/cosh² z = 1
    ends = [-abs(w) - abs(x) - 1, *([-bend, bend] if w > 1 else []), abs(w) + abs(x) + 1]
    return [
        root_scalar(excess, bracket=(low, high), xtol=1e-15).root
        for low, high in zip(ends, ends[1:], strict=False)
        if excess(low) * excess(high) < 0
    ]


@pytest.mark.checks("clm-tangent")
@pytest.mark.parametrize("seed", range(8))
def test_the_number_of_fixed_points_changes_where_the_curve_is_tangent(seed):
    """Wherever the number of fixed points of a tanh neuron changes along a path of (w, x), one has wg = 1."""
    rng = np.random.default_rng(seed)
    changes = 0
    for _ in range(60):
        start, end = rng.normal((1.5, 0), (2, 0.7), (2, 2))
        s = np.linspace(0, 1, 60)
        path = (1 - s)[:, None] * start + s[:, None] * end
        counts = [len(tanh_fixed_points(*at)) for at in path]
        for k in np.flatnonzero(np.diff(counts)):
            low, high = path[k], path[k + 1]
            for _ in range(60):
                middle = (low + high) / 2
                same = len(tanh_fixed_points(*middle)) == counts[k]
                low, high = (middle, high) if same else (low, middle)
            # Of the two sides, that with three fixed points has two next to the tangency.
            w, x = max((low, high), key=lambda at: len(tanh_fixed_points(*at)))
            gaps = [abs(1 - w / np.cosh(z) ** 2) for z in tanh_fixed_points(w, x)]
            assert min(gaps) < 1e-5
            assert {counts[k], counts[k + 1]} == {1, 3}
            changes += 1
    assert changes > 10


@pytest.mark.checks("clm-tangent")
def test_one_neuron_or_two_can_have_three_fixed_points_one_of_them_left():
    """A tanh neuron with w = 2 and two that inhibit each other have three; the middle one is unstable."""
    rivals = np.array([[0.0, -2.0], [-2.0, 0.0]])
    for W, starts in (
        (np.array([[2.0]]), [[-1], [0], [1]]),
        (rivals, [[-1, 1], [0, 0], [1, -1]]),
    ):
        starts = np.array(starts, dtype=float)
        x = np.full(starts.shape, 0.1)
        point = solve(W, x, r0=starts, method="newton", tol=1e-12)
        assert len(np.unique(point.r.round(6), axis=0)) == 3
        pushed = point.r + 1e-4 * (starts[2] - starts[0])
        end = RateNetwork(W).simulate(x, 60, pushed)[1][-1]
        stays = np.abs(end - point.r).max(axis=1) < 1e-3
        np.testing.assert_array_equal(stays, [True, False, True])


@pytest.mark.checks("thm-existence")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_bounded_curve_has_a_fixed_point_in_the_cube(seed):
    """f = M tanh has a fixed point for weights of every scale, all in [−M, M]ᴺ; unbounded f may have none."""
    rng = np.random.default_rng(seed)
    M = rng.uniform(0.5, 3)
    for scale in (0.1, 1, 3, 10):
        W, x = scale * rng.standard_normal((2, 2)), scale * rng.standard_normal(2)
        # Sought in the whole cube, so as not to depend on where a solver starts.
        start = rng.uniform(-M, M, (200, 2))
        points = solve(
            W,
            np.broadcast_to(x, start.shape),
            lambda z: M * np.tanh(z),
            r0=start,
            on_failure="ignore",
        )
        assert points.converged.any()
        # A rate may pass M by its own residual.
        assert np.abs(points.r[points.converged]).max() <= M + 1e-8 * max(1, M)
    assert solve([[1.0]], [0.24], "powerlaw").converged
    assert not solve([[1.0]], [0.26], "powerlaw", on_failure="ignore").converged


@pytest.mark.checks("thm-contraction")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", LIPSCHITZ, ids=lambda f: f.name)
def test_contraction(activation, seed):
    """If g_max‖W‖₂ = χ < 1 all starts reach one point, within χᵏ of the first distance or e^(−(1−χ)t/τ)."""
    chi = 0.9
    rng, W, x = contracting(seed, chi=chi)
    end = solve(W, x, activation, tol=1e-14).r
    start = 5 * rng.standard_normal((10, len(W)))
    first = np.linalg.norm(start - end, axis=1)
    r, distance = start, first
    for k in range(300):
        distance = np.linalg.norm(r - end, axis=1)
        assert np.all(distance <= chi**k * first + 1e-12)
        r = activation(r @ W.T + x)
    assert distance.max() < 1e-11
    tau = 2.0
    t, path = RateNetwork(W, activation, tau).simulate(
        np.broadcast_to(x, start.shape), 40, start, rtol=1e-9, atol=1e-12
    )
    bound = np.exp(-(1 - chi) * t[:, None] / tau) * first
    assert np.all(np.linalg.norm(path - end, axis=2) <= bound + 1e-7)


@pytest.mark.checks("thm-contraction")
def test_the_rate_of_contraction_is_the_best_in_general():
    """One linear neuron with w = χ attains both bounds exactly."""
    chi, end = 0.7, 1 / 0.3
    r = 0.0
    for _ in range(10):
        r = chi * r + 1
    assert abs(r - end) == pytest.approx(chi**10 * end)
    t, path = RateNetwork(np.array([[chi]]), linear).simulate([1.0], 5, rtol=1e-9)
    assert np.abs(path[:, 0] - end) == pytest.approx(np.exp(-(1 - chi) * t) * end, rel=1e-6)
