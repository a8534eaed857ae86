"""The table that compares one gradient computed in several ways."""

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import grad

import fpnotes as fp
from fpnotes.activations import NAMED
from fpnotes.chapters.checks import central_differences, compare_gradients, unrolled


def loss(r):
    return np.mean(np.sum(r**2, axis=-1))


def errors(*args, **options):
    """Return the column of relative errors as an array: adjoint, unrolled, central differences."""
    return compare_gradients(*args, **options)["relative error"].to_numpy()


def problem(scale=0.5, n=6, m=4, seed=0):
    rng = onp.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    return scale * W / onp.linalg.norm(W, 2), 0.3 * rng.standard_normal((m, n))


def test_rows_and_columns():
    table = compare_gradients(loss, *problem(), steps=50, h=1e-4)
    assert list(table.index) == ["adjoint", "unrolled, 50 steps", "central differences, h = 0.0001"]
    assert list(table.columns) == ["norm", "relative error"]
    assert table.index.name == "method"


@pytest.mark.parametrize("activation", [n for n in NAMED if n != "relu"])
def test_all_methods_agree_where_every_one_works(activation):
    table = compare_gradients(loss, *problem(), activation)
    assert (table.to_numpy()[:, 1] < 1e-6).all(), table
    assert onp.ptp(table["norm"]) < 1e-6 * table["norm"].min()


def test_each_error_is_the_one_its_method_is_known_for():
    W, x = problem(0.8)
    few, many = (errors(loss, W, x, steps=s)[1] for s in (5, 100))
    assert few > 1e-3 > 1e-8 > many  # unrolling is as good as its iteration has settled
    loose, tight = (errors(loss, W, x, tol=t)[0] for t in (1e-3, 1e-12))
    assert loose > 1e-6 > 1e-10 > tight  # the adjoint is as good as its fixed point
    coarse, fine = (errors(loss, W, x, h=h)[2] for h in (1e-2, 1e-3))
    assert coarse / fine == pytest.approx(100, rel=0.2)  # truncation falls with h²


def test_near_a_singularity_unrolling_fails_first():
    table = errors(loss, [[0.99]], [[1.0]], "linear")
    assert table[0] < 1e-10
    assert table[1] > 0.5
    # Central differences see the curvature: J = x²/(1 − w)², whose error is 2·(h/(1 − w))².
    assert table[2] == pytest.approx(2 * (1e-5 / 0.01) ** 2, rel=0.01)


def test_beyond_a_singularity_unrolling_diverges_and_the_adjoint_does_not():
    table = compare_gradients(loss, [[1.5]], [[1.0]], "linear", steps=100)
    assert table.to_numpy()[0, 1] < 1e-10
    assert table.to_numpy()[0, 0] == pytest.approx(2 / abs(1 - 1.5) ** 3)
    assert table.to_numpy()[1, 1] > 1e30
    long = compare_gradients(loss, [[1.5]], [[1.0]], "linear", steps=2000)
    assert not onp.isfinite(long.to_numpy()[1, 0])


def test_at_a_singularity_there_is_no_table():
    with pytest.raises(fp.ConvergenceError):
        compare_gradients(loss, [[1.0]], [[1.0]], "linear")


@pytest.mark.parametrize("seed", range(3))
def test_a_network_with_many_fixed_points_is_judged_at_one(seed):
    W, x = problem(6.0, n=20, seed=seed)
    table = errors(loss, W, x)
    assert table[0] < 1e-5
    assert table[2] < 1e-5


def test_a_constant_loss_has_no_relative_error():
    table = compare_gradients(lambda r: 0.0 * np.sum(r), *problem())
    assert (table.to_numpy()[:, 0] == 0).all()
    assert onp.isnan(table.to_numpy()[:, 1]).all()


def test_unrolled_is_the_plain_iteration():
    W, x = problem()
    r = onp.zeros_like(x)
    for _ in range(7):
        r = onp.tanh(r @ W.T + x)
    onp.testing.assert_array_equal(unrolled(W, x, steps=7), r)
    onp.testing.assert_allclose(unrolled(W, x, steps=200), fp.solve(W, x, tol=1e-13).r, rtol=1e-10)
    assert grad(lambda x: np.sum(unrolled(W, x)))(x).shape == x.shape


def test_central_differences_of_known_functions():
    W = onp.arange(6.0).reshape(2, 3)
    C = onp.arange(6.0, 12.0).reshape(2, 3)
    onp.testing.assert_allclose(
        central_differences(lambda W: onp.sum(C * W**2), W), 2 * C * W, atol=1e-8
    )
    cubic = central_differences(lambda W: onp.sum(W**3), W, h=0.1)
    onp.testing.assert_allclose(cubic, 3 * W**2 + 0.01, rtol=1e-10)  # the truncation error is h²


W, X = onp.array([[0.2, -0.4], [0.3, 0.1]]), onp.array([[0.5, -1.0], [1.5, 0.2], [0.0, 0.7]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare_gradients(loss, [[1.0, 2.0]], X), "^W must be a square"),
        (lambda: compare_gradients(loss, onp.full((2, 2), onp.nan), X), "^W must be finite"),
        (lambda: compare_gradients(loss, W, onp.zeros((3, 1))), "^x must have shape"),
        (lambda: compare_gradients(loss, W, X, h=-1.0), "^h must be positive"),
        (lambda: compare_gradients(loss, W, X, steps=0), "^steps must be at least 1"),
        (lambda: compare_gradients(loss, W, X, "sigmoid"), "^activation must be one of"),
        (lambda: central_differences(onp.sum, W, h=0.0), "^h must be positive"),
        (lambda: unrolled(W, X, steps=0), "^steps must be at least 1"),
        (lambda: unrolled(W, X, "sigmoid"), "^activation must be one of"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unrolled_takes_lists_and_integers():
    assert unrolled([[0]], [2], "linear").tolist() == [2]
