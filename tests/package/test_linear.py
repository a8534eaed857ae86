"""Linear systems with one matrix a sample: against each matrix by itself, in stacks of bounded size."""

import numpy as np
import pytest

from fpnotes import _linear
from fpnotes._linear import solve_direct, stacks


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
