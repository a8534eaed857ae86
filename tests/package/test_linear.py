"""Linear systems with one matrix per sample: against each matrix by itself, in stacks of bounded size."""

import numpy as np
import pytest
import threadpoolctl

from fpnotes import _linear
from fpnotes._blas import has_one_thread, one_blas_thread
from fpnotes._linear import SHARED, Factors, solve_bounded, solve_direct, stacks


@pytest.mark.parametrize(("m", "n"), [(0, 5), (1, 5), (7, 5), (1000, 30), (100, 1000), (3, 3000)])
def test_stacks_take_every_sample_once_and_as_many_as_fit(m, n):
    taken = [len(range(m)[part]) for part in stacks(m, n)]
    assert [k for part in stacks(m, n) for k in range(m)[part]] == list(range(m))
    fit = max(1, _linear.CHUNK // n**2)
    assert taken[:-1] == [fit] * (len(taken) - 1) and all(1 <= size <= fit for size in taken)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("gains", ["equal", "largest first", "largest last", "mixed"])
@pytest.mark.parametrize("diagonal", [1.0, [1.5, 1.2, 1.1, 1.3], [1.1, 1.2, 1.3, 1.5]])
def test_every_row_solves_its_own_system(transpose, gains, diagonal):
    rng = np.random.default_rng(0)
    m, n = 4, 6
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    scale = {
        "equal": [1, 1, 1, 1],
        "largest first": [1, 0.5, 0.7, 0.6],
        "mixed": [0.5, 1, 0.7, 0.6],
    }
    scale["largest last"] = scale["largest first"][::-1]
    gain = rng.uniform(0.5, 1, n) * np.array(scale[gains])[:, None]
    b = rng.standard_normal((m, n))
    u = solve_direct(W, gain, b, transpose=transpose, diagonal=diagonal)
    for k, d in enumerate(np.broadcast_to(diagonal, m)):
        K = d * np.eye(n) - gain[k][:, None] * W
        np.testing.assert_allclose((K.T if transpose else K) @ u[k], b[k], rtol=0, atol=1e-13)


@pytest.mark.parametrize("equal", [False, True])
def test_an_exactly_singular_row_is_nan(equal):
    gain = np.array([[1.0, 1.0], [1.0, 1.0] if equal else [0.5, 1.0]])
    u = solve_direct(np.diag([1.0, 0.5]), gain, np.ones((2, 2)))
    assert np.isnan(u[0]).all()
    assert np.isnan(u[1]).all() if equal else np.allclose(u[1], [2, 2])


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("gains", ["equal", "mixed"])
@pytest.mark.parametrize("condition", [1, 1e4, 1e8, 1e12])
def test_the_error_is_within_its_bound_and_the_bound_not_far_off(transpose, gains, condition):
    """Against the solution in extended precision of matrices with a known singular value."""
    rng = np.random.default_rng(1)
    n, m = 7, 4
    U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    gain = rng.uniform(0.5, 1, n) * (np.ones((m, 1)) if gains == "equal" else np.ones((m, n)))
    if gains == "mixed":
        gain[1:] *= rng.uniform(0.9, 1, (m - 1, 1))
    W = (np.eye(n) - U @ np.diag([1 / condition, *np.ones(n - 1)]) @ V) / gain[0][:, None]
    b = rng.standard_normal((m, n))
    u, bound = solve_bounded(W, gain, b, transpose)
    for k in range(m):
        K = np.eye(n, dtype=np.longdouble) - gain[k].astype(np.longdouble)[:, None] * W
        K = K.T if transpose else K
        reference = u[k].astype(np.longdouble)
        for _ in range(4):  # refinement, its residuals in extended precision
            reference += np.linalg.solve(K.astype(float), (b[k] - K @ reference).astype(float))
        error = np.abs(u[k] - reference).max()
        assert error <= bound[k]
        inverse = np.abs(np.linalg.inv(K.astype(float))).sum(axis=1).max()
        assert bound[k] <= 1e-13 * n**2 * inverse**2 * np.abs(b[k]).max()
        if (
            k == 0 and condition > 1e6
        ):  # by norms alone the bound would be the square of the condition
            assert bound[k] <= 1e-13 * condition * np.abs(u[k]).max()


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5, 30, 100])
def test_a_bound_by_norms_is_the_coarser_one(transpose, n):
    """It holds wherever it is used, and a caller that asks for less gets the fine one."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        W = rng.uniform(0.1, 1.5) * rng.standard_normal((n, n)) / np.sqrt(n)
        gain, b = np.ones((3, n)), rng.standard_normal((3, n))
        fine, bound = solve_bounded(W, gain, b, transpose)
        coarse, by_norms = solve_bounded(W, gain, b, transpose, enough=1e-5)
        assert (np.abs(coarse - fine).max(axis=1) <= by_norms + bound).all()
        assert (by_norms >= bound).all() and (bound <= 1e-9 * np.abs(fine).max(axis=1)).all()


def test_a_far_singularity_needs_one_factorization(monkeypatch):
    shapes, solve = [], np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda K, b: shapes.append(K.shape) or solve(K, b))
    rng = np.random.default_rng(4)
    W, b = 0.75 * rng.standard_normal((200, 200)) / np.sqrt(200), rng.standard_normal((100, 200))
    _, error = solve_bounded(W, np.ones_like(b), b, True, enough=1e-5)
    assert error.max() < 1e-5 and shapes == [(200, 200)]


@pytest.mark.parametrize("equal", [False, True])
def test_the_bound_of_an_exactly_singular_row_is_nan(equal):
    gain = np.array([[1.0, 1.0], [1.0, 1.0] if equal else [0.5, 1.0]])
    u, bound = solve_bounded(np.diag([1.0, 0.5]), gain, np.ones((2, 2)))
    assert np.isnan(bound).tolist() == [True, equal]
    assert equal or np.allclose(u[1], [2, 2])


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("m", [0, 1, 31, 32, 100])
@pytest.mark.parametrize("n", [SHARED, 130])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_factorization_serves_a_matrix_and_its_transpose(m, n, transpose, order):
    rng = np.random.default_rng(6)
    W = np.array(1.5 * rng.standard_normal((n, n)) / np.sqrt(n), order=order)
    b = np.array(rng.standard_normal((m, n)), order=order)
    W.flags.writeable = b.flags.writeable = False
    K = np.eye(n) - W
    with one_blas_thread():
        factors = Factors.of(W)
        assert factors is not None
        u = factors.solve(b, transpose)
    expected = np.linalg.solve(K.T if transpose else K, b.T).T
    assert u.shape == b.shape
    assert (np.abs(u - expected) <= 1e-11 * np.abs(expected).max(initial=0)).all()
    assert not b.size or not np.shares_memory(u, b)


def test_the_error_of_a_kept_factorization_is_within_its_bound():
    """Up to where all digits are lost: a singular value of I − W goes down to 10⁻¹⁵."""
    rng = np.random.default_rng(7)
    n, b = SHARED, rng.standard_normal((40, SHARED))
    for digits in range(1, 16):
        U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
        W = np.eye(n) - U @ np.diag([10.0**-digits, *np.ones(n - 1)]) @ V
        with one_blas_thread():
            factors = Factors.of(W)
            assert factors is not None
            u = factors.solve(b, transpose=True)
        K = np.eye(n, dtype=np.longdouble) - W
        exact = u.astype(np.longdouble)
        for _ in range(4):  # refinement, its residuals in extended precision
            exact += np.linalg.solve(K.T.astype(float), (b - exact @ K).T.astype(float)).T
        error = np.abs(u - exact).max(axis=1) / np.abs(u).max(axis=1)
        assert (error <= factors.relative_error).all()
        assert factors.relative_error <= 1e-10 * 10.0**digits


def test_of_a_singular_matrix_nothing_is_known():
    W = np.eye(SHARED)
    W[:-1, :-1] *= 0.5
    with one_blas_thread():
        factors = Factors.of(W)
    assert factors is not None and np.isnan(factors.relative_error)
    assert np.isnan(factors.solve(np.ones((2, SHARED)))).all()


def test_a_factorization_is_kept_only_where_it_pays():
    W = np.zeros((SHARED, SHARED))
    with one_blas_thread():
        assert has_one_thread() and Factors.of(W)
        assert Factors.of(W[1:, 1:]) is None and Factors.of(W.astype(np.float32)) is None
    with threadpoolctl.threadpool_limits(2):
        assert not has_one_thread() and Factors.of(W) is None
