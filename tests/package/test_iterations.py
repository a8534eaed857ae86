"""Each iteration by itself: rates of convergence, damping, memory, and leaving the batch."""

import numpy as np
import pytest

from fpnotes._continuation import continuation
from fpnotes._iterations import Anderson, Newton, Relaxation, iterate
from fpnotes._linear import solve_direct


def affine(W, b):
    """Return the map r → W r + b of every sample."""
    return lambda rows, r: r @ W.T + b[rows]


def run(phi, method, m, n, tol=1e-10, max_steps=500):
    r = np.zeros((m, n))
    size, steps = iterate(
        phi, r, method, np.arange(m), lambda rows, at: np.full(len(rows), tol), max_steps
    )
    return r, size, steps


def test_undamped_relaxation_is_the_plain_iteration():
    rng = np.random.default_rng(0)
    W, b = 0.4 * np.eye(3), rng.standard_normal((4, 3))
    r, size, steps = run(affine(W, b), Relaxation(4), 4, 3, max_steps=5)
    expected = np.zeros((4, 3))
    for _ in range(5):
        expected = expected @ W.T + b
    np.testing.assert_allclose(r, expected, rtol=1e-14)
    assert (steps == 6).all()  # five moves, and one more evaluation to judge where they end
    np.testing.assert_allclose(size, np.abs(expected @ W.T + b - expected).max(axis=1))


def test_damping_is_halved_only_for_the_sample_that_stalls():
    weights = np.array([-5.0, 0.5])  # one sample a weight: only the first needs damping
    method = Relaxation(2)
    alpha = {}

    def phi(rows, r):
        for row, a in zip(rows, method.alpha, strict=True):
            alpha[row] = a
        return weights[rows, None] * r + 1

    r, size, _ = run(phi, method, 2, 1)
    np.testing.assert_allclose(r[:, 0], 1 / (1 - weights), atol=1e-9)
    assert (size <= 1e-10).all()
    assert alpha[1] == 1
    assert alpha[0] < 2 / (1 - weights[0])


def test_anderson_solves_an_affine_map_once_its_memory_spans_the_space():
    """On an affine map Anderson acceleration is GMRES: N + 1 residuals suffice in N dimensions."""
    rng = np.random.default_rng(1)
    n = Anderson.memory - 2
    W = rng.standard_normal((n, n))  # spectral radius above 1: plain iteration diverges
    assert np.abs(np.linalg.eigvals(W)).max() > 1
    b = rng.standard_normal((5, n))
    r, size, steps = run(affine(W, b), Anderson(5), 5, n, tol=1e-8)
    assert (size <= 1e-8).all()
    assert (steps <= n + 4).all()  # the ridge of a few roundings may cost a few more
    np.testing.assert_allclose(r, np.linalg.solve(np.eye(n) - W, b.T).T, rtol=1e-5, atol=1e-6)


def test_anderson_remembers_just_its_last_changes():
    rng = np.random.default_rng(2)
    n = 20
    W, b = 0.9 * rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal((2, n))
    method, seen = Anderson(2), list[np.ndarray]()

    def phi(rows, r):
        seen.append(r.copy())
        return r @ W.T + b[rows]

    run(phi, method, 2, n, tol=0, max_steps=15)
    assert method.dr.shape == (2, Anderson.memory, n)
    changes = np.diff(np.array(seen), axis=0)[
        -1 - Anderson.memory : -1
    ]  # (memory, m, N), oldest first
    for change in changes:
        gap = np.abs(method.dr - change[:, None]).max(axis=(0, 2))
        assert (gap < 1e-12).sum() == 1, "a recent change is missing from memory, or is there twice"


def test_newtons_end_is_quadratic():
    """From near the fixed point of tanh(Wr + x), each step squares the error up to a constant."""
    rng = np.random.default_rng(3)
    n = 10
    W, x = 0.9 * rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal((1, n))
    sizes = []

    def phi(rows, r):
        value = np.tanh(r @ W.T + x)
        sizes.append(np.abs(value - r).max())
        return value

    def step(rows, r, residual, diagonal):
        gain = 1 - np.tanh(r @ W.T + x) ** 2
        return solve_direct(W, gain, residual, diagonal=diagonal)

    run(phi, Newton(1, step, delta=np.inf), 1, n, tol=1e-14)
    above_rounding = np.array([s for s in sizes if s > 1e-13])
    late = above_rounding[above_rounding < 0.1]
    assert len(late) >= 3
    assert (late[1:] <= 10 * late[:-1] ** 2).all(), late
    assert len(sizes) <= 12


def test_newton_may_start_beside_an_unstable_fixed_point_and_stays():
    def phi(rows, r):
        return np.tanh(3 * r)

    def step(rows, r, residual, diagonal):
        return residual / (diagonal[:, None] - 3 * (1 - np.tanh(3 * r) ** 2))

    r = np.full((1, 1), 1e-4)
    size, _ = iterate(
        phi, r, Newton(1, step), np.arange(1), lambda k, at: np.full(len(k), 1e-12), 30
    )
    assert size[0] <= 1e-12
    assert abs(r[0, 0]) < 1e-11


def test_samples_leave_the_batch_as_they_converge():
    """The rows that the map is applied to are exactly the steps that the samples are said to take."""
    weights = np.array([0.0, 0.1, 0.5, 0.9])
    batches = []

    def phi(rows, r):
        batches.append(list(rows))
        return weights[rows, None] * r + 1

    _, size, steps = run(phi, Relaxation(4), 4, 1)
    assert (size <= 1e-10).all()
    assert list(steps) == sorted(set(steps)), "the slower a sample contracts, the longer it stays"
    for row in range(4):
        assert sum(row in batch for batch in batches) == steps[row]
    assert all(
        set(later) <= set(earlier) for earlier, later in zip(batches, batches[1:], strict=False)
    )
    assert len(batches) == steps.max()


@pytest.mark.parametrize("method", [Relaxation, Anderson])
def test_only_the_rows_named_are_touched(method):
    r = np.full((5, 2), 7.0)
    rows = np.array([3, 1])
    b = np.arange(10.0).reshape(5, 2)
    iterate(affine(np.eye(2) / 2, b), r, method(2), rows, lambda k, at: np.full(len(k), 1e-9), 200)
    np.testing.assert_array_equal(r[[0, 2, 4]], 7.0)
    np.testing.assert_allclose(r[rows], 2 * b[rows], atol=1e-8)


@pytest.mark.parametrize("method", [Relaxation, Anderson])
def test_a_sample_that_runs_to_infinity_does_not_touch_the_others(method):
    def phi(rows, r):
        return np.where(rows[:, None] == 1, r**2 + 10, 0.5 * r + 1)

    r, size, _ = run(phi, method(3), 3, 2)
    lone, _, _ = run(lambda rows, r: 0.5 * r + 1, method(1), 1, 2)
    assert not size[1] <= 1e-10
    np.testing.assert_allclose(r[[0, 2]], np.vstack([lone, lone]), atol=1e-12)
    assert np.isfinite(r).all()


def test_a_history_that_rounds_to_singular_costs_only_its_sample(monkeypatch):
    """Changes along one line are a Gram matrix of rank 1, whose last pivot may round to 0; here it does."""
    solve = np.linalg.solve

    def unlucky(gram, b):
        if (np.abs(gram[:, 0, 1]) > 1 - 1e-9).any():
            raise np.linalg.LinAlgError("Singular matrix")
        return solve(gram, b)

    monkeypatch.setattr(np.linalg, "solve", unlucky)
    b = np.array([[0.1, 0.1, 0.1], [0.3, -0.2, 0.5], [-0.4, 0.6, 0.2]])
    r, size, _ = run(lambda rows, r: np.cos(r) + b[rows], Anderson(3), 3, 3)
    assert size[0] == np.inf and (size[1:] <= 1e-10).all()
    assert np.allclose(r[1:], np.cos(r[1:]) + b[1:], atol=1e-10)


def test_no_rows():
    size, steps = iterate(affine(np.eye(2), np.zeros((0, 2))), np.zeros((0, 2)), Relaxation(0),
                          np.arange(0), lambda k, at: np.zeros(0), 10)  # fmt: skip
    assert size.shape == steps.shape == (0,)


def test_continuation_goes_round_folds():
    """One neuron with a steep sigmoid: its fixed points are t(r) = (f⁻¹(r) − x)/(wr), an S-shaped curve."""
    w, x = 3.0, 0.6

    def f(z):
        return 1 / (1 + np.exp(-10 * (z - 1)))

    def t(r):
        return (1 - np.log(1 / r - 1) / 10 - x) / (w * r)

    rates = np.linspace(f(x), 0.999, 4000)
    folds = np.flatnonzero(np.diff(np.sign(np.diff(t(rates)))))
    assert len(folds) == 2, "t must rise, fall and rise along the curve, or this tests no fold"
    assert t(rates[folds[0]]) < 1, "the lower branch must end before t = 1"
    r, _ = continuation(
        f, lambda z: 10 * f(z) * (1 - f(z)), np.array([[w]]), np.full((1, 1), x), 200
    )
    assert r[0, 0] > rates[folds[1]]
    assert np.abs(f(w * r + x) - r).max() <= 1e-3


def test_continuation_reaches_the_end_for_every_sample_of_a_chaotic_network():
    rng = np.random.default_rng(5)
    n = 60
    W, x = 3 * rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal((8, n))
    r, _ = continuation(np.tanh, lambda z: 1 - np.tanh(z) ** 2, W, x, 1000)
    assert (np.abs(np.tanh(r @ W.T + x) - r).max(axis=1) <= 1e-3).all()


def test_continuation_gives_up_where_no_curve_reaches_the_end():
    """Relu with w = 2, x = 1: r = 1/(1 − 2t) runs to infinity at t = ½."""
    r, steps = continuation(
        lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0, np.array([[2.0]]), np.ones((1, 1)), 60
    )
    assert np.isfinite(r).all()
    assert steps[0] <= 60 * 4 + 1
    assert abs(max(2 * r[0, 0] + 1, 0) - r[0, 0]) > 1


def test_newtons_step_length_follows_the_residual_within_a_factor_of_ten():
    """δ begins at 1, or 1/residual where that is larger, and then grows as the residual falls."""
    seen = []

    def step(rows, r, residual, diagonal):
        seen.append(1 / (diagonal - 1))
        return 1e6 * residual  # foretells a residual that does not come

    method = Newton(2, step)
    for size in ([5.0, 0.01], [1.0, 1e-6], [2.0, 1.0], [1.0, 0.5]):
        method.propose(np.arange(2), np.zeros((2, 1)), np.ones((2, 1)), np.array(size))
    expected = [[1, 100], [5, 1000], [2.5, 100], [5, 200]]
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def newton_alone(w, b, start):
    """Return where Newton's method ends on r → wr + b, and the evaluations it took."""
    r = np.full((1, 1), start)
    size, steps = iterate(
        lambda rows, at: w * at + b,
        r,
        Newton(
            1,
            lambda rows, at, F, d: solve_direct(np.full((1, 1), w), np.ones_like(F), F, diagonal=d),
        ),
        np.arange(1),
        lambda rows, at: np.full(len(rows), 1e-12),
        60,
    )
    return r[0, 0], size[0], steps[0]


def test_newton_takes_longer_steps_where_its_model_is_right():
    """The residual of a slow linear network hardly falls at first, as foretold: δ grows all the same."""
    r, _, _ = newton_alone(1 - 1e-6, 1.0, 0.0)
    assert abs(r - 1e6) < 1e-3


def test_newton_steps_past_a_matrix_that_is_singular_by_chance():
    """With residual 1 the first δ is 1, and (1 + 1/δ)I − W is 0 where w = 2."""
    r, size, _ = newton_alone(2.0, 0.0, 1.0)
    assert size <= 1e-12 and abs(r) <= 1e-12


def test_what_is_not_confirmed_goes_on():
    seen = []

    def confirm(rows, at, residual, within):
        seen.append((rows.copy(), within.copy()))
        np.testing.assert_allclose(residual, 1 - at / 2)
        return np.abs(at[within, 0] - 2) <= 1e-9

    r = np.zeros((2, 1))
    iterate(
        lambda rows, at: at / 2 + 1,
        r,
        Relaxation(2),
        np.arange(2),
        lambda rows, at: np.full(len(rows), 1e-2),
        100,
        confirm,
    )
    assert len(seen) > 10
    np.testing.assert_allclose(r, 2, atol=1e-9)


def test_damping_is_halved_after_six_residuals_without_progress():
    method, alphas = Relaxation(1), []
    for size in [1.0] * 7 + [0.5] + [0.6] * 5 + [0.4] + [0.4] * 6:
        method.propose(np.arange(1), np.zeros((1, 1)), np.ones((1, 1)), np.array([size]))
        alphas.append(method.alpha[0])
    # Seven equal ones are six without progress; five are not; and another six at the end.
    assert alphas == [1.0] * 6 + [0.5] * 13 + [0.25]
