"""The gradient rule: against finite differences of the loss, and what it refuses."""

import numpy as np
import pytest

import fpnotes as fp
from fpnotes.activations import NAMED


def problem(activation="tanh", n=5, m=7, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= 0.4 / np.linalg.norm(W, 2)
    x = 0.4 * rng.uniform(0.2, 1, (m, n)) * rng.choice([-1.0, 1.0], (m, n))
    y = rng.standard_normal((m, n))

    def J(W):
        r = fp.solve(W, x, activation, tol=1e-13).r
        return np.mean(np.sum((r - y) ** 2, axis=1))

    point = fp.solve(W, x, activation, tol=1e-13)
    return W, point, 2 * (point.r - y) / m, J


@pytest.mark.parametrize("activation", NAMED)
def test_gradient_of_a_mean_loss_by_finite_differences(activation):
    W, point, error, J = problem(activation)
    lr, h = 0.3, 1e-4
    slope = np.empty_like(W)
    for index in np.ndindex(W.shape):
        step = np.zeros_like(W)
        step[index] = h
        near, far = J(W + step) - J(W - step), J(W + 2 * step) - J(W - 2 * step)
        slope[index] = (8 * near - far) / (12 * h)
    dW = fp.gradient(W, point, error, lr)
    assert np.linalg.norm(dW + lr * slope) < 1e-6 * np.linalg.norm(lr * slope)


def test_the_step_is_minus_lr_times_the_sum_over_samples():
    """The 1/m of a mean is in error already: doubling lr, or error, doubles the step; samples add up."""
    W, point, error, _ = problem()
    dW = fp.gradient(W, point, error, 0.1)
    np.testing.assert_allclose(fp.gradient(W, point, error, 0.2), 2 * dW, rtol=1e-12)
    np.testing.assert_allclose(fp.gradient(W, point, 3 * error, 0.1), 3 * dW, rtol=1e-12)
    each = [
        fp.gradient(W, fp.solve(W, x, tol=1e-13), e, 0.1)
        for x, e in zip(point.x, error, strict=True)
    ]
    np.testing.assert_allclose(sum(each), dW, rtol=1e-10, atol=1e-14)


def test_formula_of_a_linear_network():
    """−η Aᵀ Σ e rᵀ, with A = (I − W)⁻¹."""
    W, point, error, _ = problem("linear")
    A = np.linalg.inv(np.eye(5) - W)
    np.testing.assert_allclose(
        fp.gradient(W, point, error, 0.5), -0.5 * A.T @ error.T @ point.r, rtol=1e-10, atol=1e-14
    )


def test_nothing_is_modified():
    W, point, error, _ = problem()
    arrays = [W, error, point.r, point.gain, point.x, point.W]
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    fp.gradient(W, point, error, 0.1)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_sample_many_dimensions_and_none():
    W, point, error, _ = problem(m=6)
    dW = fp.gradient(W, point, error, 0.1)
    deep = fp.solve(W, point.x.reshape(2, 3, 5), tol=1e-13)
    np.testing.assert_allclose(fp.gradient(W, deep, error.reshape(2, 3, 5), 0.1), dW, rtol=1e-9)
    one = fp.solve(W, point.x[0])
    assert fp.gradient(W, one, error[0], 0.1).shape == (5, 5)
    none = fp.solve(W, np.zeros((0, 5)))
    np.testing.assert_array_equal(fp.gradient(W, none, np.zeros((0, 5)), 0.1), np.zeros((5, 5)))


def test_float32_stays_float32():
    W, _, error, _ = problem()
    W = W.astype(np.float32)
    point = fp.solve(W, np.ones((7, 5), np.float32))
    assert fp.gradient(W, point, error.astype(np.float32), 0.1).dtype == np.float32


class TestRefusals:
    def test_a_point_that_did_not_converge(self):
        point = fp.solve([[2.0]], [[1.0], [-1.0]], "relu", on_failure="ignore")
        with pytest.raises(fp.ConvergenceError, match="1 of 2 samples of point") as caught:
            fp.gradient([[2.0]], point, np.ones((2, 1)), 0.1)
        assert caught.value.point is point

    def test_one_unbatched_sample_that_did_not_converge(self):
        point = fp.solve([[2.0]], [1.0], "relu", on_failure="ignore")
        with pytest.raises(fp.ConvergenceError, match="1 of 1 samples of point"):
            fp.gradient([[2.0]], point, [1.0], 0.1)

    def test_a_singular_point(self):
        point = fp.solve([[1.0]], [[0.0]])
        assert point.converged.all()
        with pytest.raises(fp.ConvergenceError, match="I − GW is singular"):
            fp.gradient([[1.0]], point, [[1.0]], 0.1)

    def test_an_error_of_another_shape(self):
        W, point, error, _ = problem()
        with pytest.raises(
            ValueError, match=r"error must have the shape of r, \(7, 5\), not \(6, 5\)"
        ):
            fp.gradient(W, point, error[:6], 0.1)

    def test_a_point_of_other_weights(self):
        W, point, error, _ = problem()
        W[0, 0] += 1e-3
        with pytest.raises(ValueError, match="point was solved for other weights than W"):
            fp.gradient(W, point, error, 0.1)

    def test_something_else_than_a_point(self):
        W, point, error, _ = problem()
        with pytest.raises(
            TypeError, match="point must be a FixedPoint, as solve returns, not ndarray"
        ):
            fp.gradient(W, point.r, error, 0.1)
