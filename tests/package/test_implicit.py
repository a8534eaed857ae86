"""Derivatives of the fixed point, of first and second order, against two independent computations."""

import inspect

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import (
    elementwise_grad,
    grad,
    hessian_vector_product,
    jacobian,
    make_jvp,
    make_vjp,
    value_and_grad,
)
from autograd.test_util import check_grads
from hypothesis import given
from hypothesis import strategies as st

import fpnotes as fp
from fpnotes import implicit
from fpnotes.activations import NAMED, as_activation
from fpnotes.implicit import fixed_point, resolvent


def swish(z):
    """Return a curve that a user might write."""
    return z / (1 + np.exp(-z))


# An id with an address in it would differ between the processes that share the tests.
ACTIVATIONS = [*NAMED, pytest.param(swish, id="swish")]
# At this tolerance the fixed point's own error is no part of the comparison, in second derivatives too.
TOL = 1e-13
SMALL, LARGE = 6, implicit.DIRECT + 12  # factorized, and iterated


def problem(n, m=3, seed=0):
    """Return a contraction W (‖W‖₂ = 0.4), inputs, and a loss whose gradient depends on r."""
    rng = onp.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= 0.4 / onp.linalg.norm(W, 2)
    # Kept off 0, where relu has no derivative to compare.
    x = rng.uniform(0.2, 1, (m, n)) * rng.choice([-1.0, 1.0], (m, n))
    target = rng.standard_normal((m, n))

    def loss(r):
        # In NumPy 2.0, off**2 rounds one way under autograd's trace and another way without.
        off = r - target
        return np.mean(np.sum(off * off + r**3, axis=-1))

    return W, x, loss, rng


def solved(loss, f, **options):
    return lambda W, x: loss(fixed_point(W, x, f, tol=TOL, **options))


def unrolled(loss, f, steps=60):
    """Return the loss after 60 plain iterations; slopes below 1.2 and ‖W‖₂ = 0.4 give 0.48⁶⁰ = 1e-19."""
    f = as_activation(f)

    def J(W, x):
        r = 0.0 * x
        for _ in range(steps):
            r = f(np.dot(r, W.T) + x)
        return loss(r)

    return J


def error(value, reference):
    """Return the relative error of an array."""
    return onp.linalg.norm(value - reference) / onp.linalg.norm(reference)


def central(function, at, direction, h=1e-4):
    """Return the derivative of a function along a direction, to fourth order in h."""
    near = function(at + h * direction) - function(at - h * direction)
    far = function(at + 2 * h * direction) - function(at - 2 * h * direction)
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("argnum", [0, 1], ids=["W", "x"])
@pytest.mark.parametrize("n", [SMALL, LARGE])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
class TestEveryActivation:
    def args(self, n, activation):
        W, x, loss, rng = problem(n)
        if activation == "powerlaw":
            x = 0.4 * x  # its slope 2z must stay moderate for the iteration to contract
        return (W, x), loss, rng

    def test_grad(self, activation, n, argnum):
        args, loss, rng = self.args(n, activation)
        g = grad(solved(loss, activation), argnum)(*args)
        assert g.shape == args[argnum].shape
        assert error(g, grad(unrolled(loss, activation), argnum)(*args)) < 1e-6
        J = solved(loss, activation)
        for _ in range(3):
            direction = rng.standard_normal(g.shape)
            direction /= onp.linalg.norm(direction)

            def along(v):
                return J(*[v if i == argnum else a for i, a in enumerate(args)])

            slope = central(along, args[argnum], direction)
            assert abs(onp.sum(g * direction) - slope) < 1e-6 * onp.linalg.norm(g)

    def test_hessian_vector_product(self, activation, n, argnum):
        args, loss, rng = self.args(n, activation)
        direction = rng.standard_normal(args[argnum].shape)
        J, check = solved(loss, activation), unrolled(loss, activation)
        product = hessian_vector_product(J, argnum)(*args, direction)
        assert error(product, hessian_vector_product(check, argnum)(*args, direction)) < 1e-6

        def gradient(v):
            return grad(J, argnum)(*[v if i == argnum else a for i, a in enumerate(args)])

        small = direction / onp.linalg.norm(direction)
        slope = central(gradient, args[argnum], small) * onp.linalg.norm(direction)
        assert error(product, slope) < 1e-6

    def test_grad_of_grad(self, activation, n, argnum):
        args, loss, rng = self.args(n, activation)
        weight = rng.standard_normal(args[argnum].shape)

        def twice(J):
            return grad(lambda *a: np.sum(weight * grad(J, argnum)(*a)), 1 - argnum)(*args)

        value, reference = (twice(J(loss, activation)) for J in (solved, unrolled))
        assert value.shape == args[1 - argnum].shape
        assert error(value, reference) < 1e-6

    def test_jvp(self, activation, n, argnum):
        args, loss, rng = self.args(n, activation)
        direction = rng.standard_normal(args[argnum].shape)
        J = solved(loss, activation)
        value, slope = make_jvp(J, argnum)(*args)(direction)
        assert value == J(*args)
        expected = onp.sum(grad(unrolled(loss, activation), argnum)(*args) * direction)
        scale = onp.linalg.norm(direction) * onp.linalg.norm(grad(J, argnum)(*args))
        assert abs(slope - expected) < 1e-6 * scale


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_jacobian_of_the_rates(activation):
    W, x, _, _ = problem(SMALL, m=2)
    x = 0.4 * x
    for argnum in (0, 1):
        value = jacobian(lambda W, x: fixed_point(W, x, activation, tol=TOL), argnum)(W, x)
        assert value.shape == (2, SMALL) + (W, x)[argnum].shape
        expected = jacobian(unrolled(lambda r: r, activation), argnum)(W, x)
        assert error(value, expected) < 1e-6


def test_jacobian_is_the_formula():
    """∂r/∂x = (I − GW)⁻¹G, which is the response matrix, and vanishes between samples."""
    W, x, _, _ = problem(SMALL, m=2)
    value = jacobian(lambda x: fixed_point(W, x, tol=TOL))(x)
    gain = fp.solve(W, x, tol=TOL).gain
    for i in range(2):
        A = onp.linalg.solve(onp.eye(SMALL) - gain[i, :, None] * W, onp.diag(gain[i]))
        onp.testing.assert_allclose(value[i, :, i], A, rtol=1e-10, atol=1e-12)
        onp.testing.assert_array_equal(value[i, :, 1 - i], 0)


def test_value_is_that_of_solve():
    W, x, _, _ = problem(SMALL)
    choices: list[dict] = [
        {},
        {"r0": 0.1 * x},
        {"method": "newton"},
        {"tol": 1e-4},
        {"max_steps": 70},
    ]
    for options in choices:
        onp.testing.assert_array_equal(fixed_point(W, x, **options), fp.solve(W, x, **options).r)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 2)])
def test_any_number_of_leading_dimensions(shape):
    W, _, _, rng = problem(SMALL)
    x = rng.standard_normal((*shape, SMALL))

    def J(W, x):
        return np.sum(fixed_point(W, x, tol=TOL) ** 2)

    W_bar, x_bar = grad(J, (0, 1))(W, x)
    assert x_bar.shape == x.shape
    each = [grad(J, (0, 1))(W, row) for row in x.reshape(-1, SMALL)]
    expected = sum((g for g, _ in each), start=onp.zeros_like(W))
    onp.testing.assert_allclose(W_bar, expected, rtol=1e-10, atol=1e-12)
    if each:
        onp.testing.assert_allclose(x_bar.reshape(-1, SMALL), [g for _, g in each], rtol=1e-10)


def test_an_unstable_and_a_bistable_network_have_derivatives_too():
    """At r0's fixed point: the differentiated solution is the one that was found."""
    W, x = onp.array([[2.0]]), onp.array([[0.05]])
    for r0, sign in ((1.0, 1), (-1.0, -1)):

        def r(w, r0=r0):
            return fixed_point(w * W, x, r0=[[r0]], tol=TOL)[0, 0]

        assert onp.sign(r(1.0)) == sign
        assert grad(r)(1.0) == pytest.approx(central(r, 1.0, 1.0), rel=1e-6)
    center = fp.solve(W, x, r0=[[-0.05]], method="newton", tol=TOL)
    assert not center.stable.any()

    def unstable(w):
        return fixed_point(w * W, x, r0=center.r, method="newton", tol=TOL)[0, 0]

    assert grad(unstable)(1.0) == pytest.approx(central(unstable, 1.0, 1.0), rel=1e-6)


@pytest.mark.parametrize("n", [SMALL, LARGE])
@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9])
def test_the_adjoint_is_solved_relative_to_its_own_right_hand_side(n, scale):
    W, x, loss, _ = problem(n)
    reference = grad(solved(loss, "tanh"))(W, x)
    value = grad(lambda W: scale * loss(fixed_point(W, x)))(W)
    assert error(value / scale, reference) < 1e-7


def test_one_backward_pass_for_both_arguments_solves_one_adjoint_equation(monkeypatch):
    calls = []
    original = implicit._resolvent

    def counted(*args):
        calls.append(args[3])
        return original(*args)

    monkeypatch.setattr(implicit, "_resolvent", counted)
    W, x, loss, _ = problem(SMALL)
    grad(solved(loss, "tanh"), (0, 1))(W, x)
    assert calls == [True]


class TestNeverAWrongGradient:
    def test_a_solve_that_did_not_converge_raises(self):
        def J(W):
            return np.sum(fixed_point(W, onp.array([[1.0], [-1.0]]), "relu"))

        with pytest.raises(fp.ConvergenceError, match="1 of 2 samples did not converge") as caught:
            grad(J)(onp.array([[2.0]]))
        assert caught.value.point is not None
        onp.testing.assert_array_equal(caught.value.point.converged, [False, True])

    def test_too_few_steps_raises(self):
        W, x, loss, _ = problem(SMALL)
        with pytest.raises(fp.ConvergenceError):
            grad(lambda W: loss(fixed_point(W, x, max_steps=2, method="relaxation")))(W)

    @pytest.mark.parametrize("direction", ["reverse", "forward"])
    def test_a_singular_fixed_point_raises(self, direction):
        """tanh with w = 1, x = 0 has gain 1 at r = 0, and I − GW = 0."""
        W, x = onp.eye(2), onp.zeros((3, 2))

        def J(W):
            return np.sum(fixed_point(W, x))

        with pytest.raises(fp.ConvergenceError, match="of 3 samples: I − GW is singular"):
            if direction == "reverse":
                grad(J)(W)
            else:
                make_jvp(J)(W)(onp.ones((2, 2)))

    def test_singular_to_rounding_raises(self):
        rng = onp.random.default_rng(3)
        for n in (2, 3, 8, LARGE):
            V = onp.linalg.qr(rng.standard_normal((n, n)))[0]
            W = (
                V @ onp.diag([1.0] + [0.5] * (n - 1)) @ V.T
            )  # an eigenvalue 1, as nearly as floats allow
            gain, b = onp.ones((3, n)), rng.standard_normal((3, n))
            with pytest.raises(fp.ConvergenceError, match="adjoint equation.* 3 of 3 samples"):
                resolvent(W, gain, b, transpose=True)
            with pytest.raises(fp.ConvergenceError):
                grad(lambda W, b=b: np.sum(fixed_point(W, b, "linear")))(W)
        W = onp.array([[0.1, 0.3], [0.3, 0.9]])  # LU happens to solve this one without a residual
        with pytest.raises(fp.ConvergenceError, match="adjoint equation.* 1 of 1 samples"):
            resolvent(W, onp.ones((1, 2)), onp.array([[1.0, 0.5]]), transpose=True)

    def test_a_singular_sample_is_named_among_good_ones_at_any_size(self):
        for n in (SMALL, LARGE):
            W, gain = onp.eye(n), onp.full((4, n), 0.5)
            gain[2] = 1
            with pytest.raises(fp.ConvergenceError, match="1 of 4 samples"):
                resolvent(W, gain, onp.ones((4, n)))

    def test_a_zero_right_hand_side_is_no_failure(self):
        W, x, _, _ = problem(LARGE)
        g = grad(lambda W: np.sum(fixed_point(W, x)[:1]))(W)  # the other samples' cotangents are 0
        assert onp.isfinite(g).all()
        alone = grad(lambda W: np.sum(fixed_point(W, x[:1])))(W)
        assert error(g, alone) < 1e-7


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("n", [SMALL, LARGE])
class TestResolvent:
    def data(self, n, m=3):
        rng = onp.random.default_rng(1)
        W = rng.standard_normal((n, n))
        W *= 0.6 / onp.linalg.norm(W, 2)
        return W, rng.uniform(0.1, 1, (m, n)), rng.standard_normal((m, n))

    def test_solution(self, n, transpose):
        W, gain, b = self.data(n)
        u = resolvent(W, gain, b, transpose=transpose, tol=TOL)
        for u_j, g_j, b_j in zip(u, gain, b, strict=True):
            K = onp.eye(n) - g_j[:, None] * W
            onp.testing.assert_allclose((K.T if transpose else K) @ u_j, b_j, atol=1e-12)

    def test_unstable_networks_are_solved_as_well(self, n, transpose):
        rng = onp.random.default_rng(2)
        W, gain, b = 5 * rng.standard_normal((n, n)) / onp.sqrt(n), *rng.uniform(0.1, 1, (2, 3, n))
        u = resolvent(W, gain, b, transpose=transpose)
        for u_j, g_j, b_j in zip(u, gain, b, strict=True):
            K = onp.eye(n) - g_j[:, None] * W
            assert onp.abs((K.T if transpose else K) @ u_j - b_j).max() <= 1e-8 * onp.abs(b_j).max()

    def test_derivatives_of_both_modes_and_orders(self, n, transpose):
        if n == LARGE:
            n = 8  # check_grads needs few entries; DIRECT is lowered instead
        W, gain, b = self.data(n, m=2)
        check_grads(
            lambda W, gain, b: resolvent(W, gain, b, transpose=transpose, tol=TOL),
            modes=["fwd", "rev"],
            order=2,
        )(W, gain, b)

    def test_iterated_and_factorized_agree(self, n, transpose, monkeypatch):
        W, gain, b = self.data(n)
        values = []
        for direct in (0, 10_000):
            monkeypatch.setattr(implicit, "DIRECT", direct)
            values.append(resolvent(W, gain, b, transpose=transpose, tol=1e-10))
        onp.testing.assert_allclose(values[0], values[1], atol=1e-8)

    def test_precision_mixes_upward(self, n, transpose):
        W, gain, b = self.data(n)
        exact = resolvent(W, gain, b, transpose=transpose, tol=TOL)
        for types in ("fff", "dff", "fdf", "ffd"):
            args = [a.astype(t) for a, t in zip((W, gain, b), types, strict=True)]
            u = resolvent(*args, transpose=transpose)
            assert u.dtype == (onp.float32 if types == "fff" else onp.float64)
            # The residual allowed is 1e-5 of |b| in float32; ‖(I − GW)⁻¹‖₂ ≤ 1/(1 − 0.6) amplifies it.
            allowed = 2.5 * onp.sqrt(n) * 1e-5 if types == "fff" else 1e-6
            bound = allowed * onp.abs(b).max(axis=1)
            assert (onp.linalg.norm(u - exact, axis=1) <= bound).all()


def test_derivatives_of_an_iterated_resolvent(monkeypatch):
    monkeypatch.setattr(implicit, "DIRECT", 0)
    W, gain, b = TestResolvent().data(8, m=2)
    for transpose in (False, True):
        check_grads(
            lambda W, gain, b, t=transpose: resolvent(W, gain, b, transpose=t, tol=TOL),
            modes=["fwd", "rev"],
            order=2,
        )(W, gain, b)


class TestWhatAutogradHandsOver:
    W = onp.array([[0.2, -0.4], [0.3, 0.1]])

    def J(self, W, x):
        return np.sum(fixed_point(W, x, tol=TOL) ** 2)

    def test_lists_and_integers_beside_a_traced_argument(self):
        reference = grad(self.J, (0, 1))(self.W, onp.array([[1.0, 2.0]]))
        for x in ([[1, 2]], [[1.0, 2.0]], ([1, 2],), onp.array([[1, 2]])):
            onp.testing.assert_allclose(grad(self.J)(self.W, x), reference[0], rtol=1e-12)
        for W in (self.W.tolist(), self.W):
            onp.testing.assert_allclose(grad(self.J, 1)(W, onp.array([[1.0, 2.0]])), reference[1])

    def test_a_list_of_traced_numbers(self):
        def J(a):
            return self.J([[0.2, -a], [0.3, a]], [[a, 2 * a]])

        assert grad(J)(0.4) == pytest.approx(central(J, 0.4, 1.0), rel=1e-8)

    def test_a_list_to_differentiate_in_is_refused_by_name(self):
        with pytest.raises(
            TypeError, match="W must be an array where autograd differentiates in it"
        ):
            grad(self.J)(self.W.tolist(), [1.0, 2.0])

    def test_the_start_has_no_derivative(self):
        def J(r0):
            return np.sum(fixed_point(self.W + 0.0 * np.sum(r0), [1.0, 2.0], r0=r0))

        onp.testing.assert_array_equal(grad(J)(onp.array([0.1, 0.2])), 0)

        def continued(W):
            return np.sum(
                fixed_point(W, [1.0, 2.0], r0=fixed_point(W, [0.9, 2.0], tol=TOL), tol=TOL)
            )

        def fresh(W):
            return np.sum(fixed_point(W, [1.0, 2.0], tol=TOL))

        onp.testing.assert_allclose(grad(continued)(self.W), grad(fresh)(self.W), rtol=1e-11)

    @pytest.mark.parametrize("n", [SMALL, LARGE])
    @pytest.mark.parametrize("activation", NAMED)
    def test_float32_in_float32_out(self, activation, n):
        W, x, _, _ = problem(n)
        single = W.astype(onp.float32), 0.4 * x.astype(onp.float32)

        def J(W, x):
            return np.sum(fixed_point(W, x, activation) ** 2)

        value, gradients = value_and_grad(J, (0, 1))(*single)
        exact = grad(J, (0, 1))(W, 0.4 * x)
        assert value.dtype == onp.float32
        for g, e in zip(gradients, exact, strict=True):
            assert g.dtype == onp.float32
            assert error(g, e) < 1e-4

    def test_fortran_order_and_read_only_arguments_are_left_alone(self):
        W, x, loss, _ = problem(SMALL)
        expected = grad(solved(loss, "tanh"), (0, 1))(W, x)
        given = onp.asfortranarray(W), onp.asfortranarray(x)
        for a in given:
            a.flags.writeable = False
        for g, e in zip(grad(solved(loss, "tanh"), (0, 1))(*given), expected, strict=True):
            onp.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-14)
        onp.testing.assert_array_equal(given[0], W)

    def test_elementwise_gradient_of_one_sample(self):
        """Inputs enter each sample alone: the gradient of the sum is that of each."""
        x = onp.array([[1.0, 2.0], [-1.0, 0.5]])
        total = elementwise_grad(lambda x: np.sum(fixed_point(self.W, x, tol=TOL), axis=-1))(x)
        for row, g in zip(x, total, strict=True):
            expected = grad(lambda v: np.sum(fixed_point(self.W, v, tol=TOL)))(row)
            onp.testing.assert_allclose(g, expected, rtol=1e-11)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(
    ("delta", "refused"), [(3e-13, True), (5e-13, False), (1e-9, False), (1e-15, True)]
)
def test_a_system_is_refused_where_rounding_leaves_fewer_than_three_digits(
    delta, refused, transpose
):
    """I − GW = diag(δ, ½): u is off by about ε(1 + ‖GW‖)/δ, relative to b, and that may be 1e-3."""
    gain, b = onp.array([[0.5, 0.5]]), onp.array([[1.0, 1.0]])
    W = onp.diag([2 * (1 - delta), 1.0])
    if refused:
        with pytest.raises(
            fp.ConvergenceError, match="1 of 1 samples: I − GW is singular, or nearly"
        ):
            resolvent(W, gain, b, transpose=transpose)
    else:
        u = resolvent(W, gain, b, transpose=transpose)
        onp.testing.assert_allclose(u, [[1 / delta, 2.0]], rtol=1e-3)


def exact(W, gain, b, transpose):
    """Return the solution for every sample, by the matrix of each, in double precision."""
    W, gain, b = (a.astype(onp.float64) for a in (W, gain, b))
    K = onp.eye(len(W)) - gain[..., :, None] * W
    K = onp.swapaxes(K, -1, -2) if transpose else K
    return onp.linalg.solve(K, b[..., None])[..., 0]


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("dtype", [onp.float32, onp.float64])
@pytest.mark.parametrize("shape", [(), (1,), (5,)])
@pytest.mark.parametrize("gains", ["equal", "mixed"])
class TestAGradientIsRefusedOnlyWhereDigitsAreLost:
    """However much a network amplifies, and in whatever units: it is refused where it is singular."""

    def data(self, n, shape, gains, dtype):
        rng = onp.random.default_rng(5)
        g = onp.ones((*shape, n)) if gains == "equal" else rng.uniform(0.8, 1, (*shape, n))
        return g.astype(dtype), rng.standard_normal((*shape, n)).astype(dtype)

    def digits(self, W, g, b, transpose):
        u, expected = resolvent(W, g, b, transpose=transpose), exact(W, g, b, transpose)
        scale = onp.abs(expected).max(axis=-1)
        allowed = 1e-7 if W.dtype == onp.float64 else 1e-4  # ten times the default tol
        assert (onp.abs(u - expected).max(axis=-1) <= allowed * scale).all()

    @pytest.mark.parametrize(("n", "weight"), [(8, 10.0), (9, -10.0), (60, 3.0), (60, 1.3)])
    def test_a_feedforward_chain_keeps_its_digits(self, transpose, dtype, shape, gains, n, weight):
        W = weight * onp.eye(n, k=-1, dtype=dtype)
        self.digits(W, *self.data(n, shape, gains, dtype), transpose)

    @pytest.mark.parametrize("n", [6, 60])
    def test_a_badly_scaled_diagonal_keeps_its_digits(self, transpose, dtype, shape, gains, n):
        W = onp.diag(onp.logspace(0.5, 12, n)).astype(dtype)
        self.digits(W, *self.data(n, shape, gains, dtype), transpose)

    @pytest.mark.parametrize("n", [2, 8, 60])
    def test_a_matrix_singular_to_rounding_is_refused(self, transpose, dtype, shape, gains, n):
        """Even where the right-hand side is one for which products converge, K times some vector."""
        g, v = self.data(n, shape, gains, onp.float64)
        g[...] = g.reshape(-1, n)[0]  # one matrix, singular
        rng = onp.random.default_rng(6)
        V = rng.standard_normal((n, n))
        GW = V @ onp.diag([1.0] + [0.5] * (n - 1)) @ onp.linalg.inv(V)
        W, g = GW / g.reshape(-1, n)[0][:, None], g.copy()
        if shape == (5,) and gains == "mixed":
            g[1:] *= (
                0.9  # so that one sample of five is singular, and the samples have different matrices
            )
        K = onp.eye(n) - g[..., :, None] * W
        b = onp.matmul(onp.swapaxes(K, -1, -2) if transpose else K, v[..., None])[..., 0]
        assert dtype == onp.float32 or onp.linalg.cond(K).max() > 1e12
        if (
            dtype == onp.float32
        ):  # data known to single precision are singular only by chance: take 1 exactly
            W, g, b = onp.eye(n, dtype=dtype), onp.ones_like(g, dtype), v.astype(dtype)
        with pytest.raises(fp.ConvergenceError, match="cannot be solved to three digits"):
            resolvent(W, g, b, transpose=transpose)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("dtype", [onp.float32, onp.float64])
def test_a_slow_direction_that_the_right_hand_side_hardly_has_is_solved_too(dtype, transpose):
    """A residual of tol could hide it: that of neuron 0 is below tol from the start."""
    rng = onp.random.default_rng(7)
    n, m = LARGE, 4
    near, faint = (1e-10, 1e-9) if dtype == onp.float64 else (2.0**-20, 1e-6)
    W = onp.diag([1 - near, *rng.uniform(0.1, 0.5, n - 1)]).astype(dtype)
    gain = rng.uniform(0.5, 1, (m, n)).astype(dtype)
    gain[:, 0] = 1
    b = rng.standard_normal((m, n)).astype(dtype)
    b[:, 0] = faint
    u = resolvent(W, gain, b, transpose=transpose)
    onp.testing.assert_allclose(u, exact(W, gain, b, transpose), rtol=1e-3, atol=1e-4)
    W[0, 0] = 1
    with pytest.raises(fp.ConvergenceError, match="4 of 4 samples"):
        resolvent(W, gain, b, transpose=transpose)


@pytest.mark.parametrize("distance", [1e-6, 1e-9, 1e-12])
def test_a_neuron_near_its_singularity_has_its_gradient(distance):
    """r = x/(1 − w), so ∂r/∂w = x/(1 − w)²."""
    w = onp.array([[1 - distance]])
    value = grad(lambda w: np.sum(fixed_point(w, [2.0], "linear", tol=1e-4)))(w)
    assert value[0, 0] == pytest.approx(2 / (1 - w[0, 0]) ** 2, rel=1e-9)
    point = fp.solve(w, [2.0], "linear", tol=1e-4)
    dW = fp.gradient(w, point, [1.0], 0.5)
    assert dW[0, 0] == pytest.approx(-1 / (1 - w[0, 0]) ** 2, rel=1e-9)


def test_a_chain_that_amplifies_by_eight_orders_has_its_gradient():
    """W̄ = λ rᵀ, and both follow from one weight after the other."""
    n = 9
    W, x = 10 * onp.eye(n, k=-1), onp.eye(n)[0]
    r = 10.0 ** onp.arange(n)
    value = grad(lambda W: fixed_point(W, x, "linear")[-1])(W)
    onp.testing.assert_allclose(value, onp.outer(r[::-1], r), rtol=1e-12)


@pytest.mark.parametrize("n", [SMALL, LARGE])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("power", [-1000, -30, 30, 900])
def test_a_power_of_two_in_the_right_hand_side_changes_no_digit(n, transpose, power):
    W, gain, b = TestResolvent().data(n)
    u = resolvent(W, gain, b, transpose=transpose)
    scaled = resolvent(W, gain, 2.0**power * b, transpose=transpose)
    onp.testing.assert_array_equal(scaled, 2.0**power * u)


def test_a_loose_tolerance_is_no_reason_to_factorize(monkeypatch):
    monkeypatch.setattr(implicit, "solve_bounded", None)  # calling it would fail
    W, gain, b = TestResolvent().data(LARGE)
    for tol in (1e-2, 1e-4, 1e-8, 1e-12):
        u = resolvent(W, gain, b, tol=tol)
        assert error(u, exact(W, gain, b, False)) < 10 * tol


def test_a_derivative_beyond_the_range_of_its_dtype_is_an_error():
    chain, gain = 10 * onp.eye(60, k=-1, dtype=onp.float32), onp.ones((1, 60), onp.float32)
    with pytest.raises(FloatingPointError, match="beyond the range of float32"):
        resolvent(chain, gain, onp.ones_like(gain))
    W = onp.zeros((2, 2))
    with pytest.raises(
        FloatingPointError, match="a derivative of r is beyond the range of float64"
    ):
        grad(lambda W: 1e200 * fixed_point(W, [1e200, 0.0], "linear")[1])(W)


@pytest.mark.parametrize(("more", "factorized"), [(-1, [3]), (0, [3]), (1, [])])
def test_only_small_networks_are_factorized(more, factorized, monkeypatch):
    """And those that products do not solve, or whose samples all have the same gains."""
    calls, direct = [], implicit.solve_bounded
    monkeypatch.setattr(
        implicit, "solve_bounded", lambda W, g, *rest: calls.append(len(g)) or direct(W, g, *rest)
    )
    rng = onp.random.default_rng(4)
    n = implicit.DIRECT + more
    W, b = 0.4 * rng.standard_normal((n, n)) / onp.sqrt(n), rng.standard_normal((3, n))
    resolvent(W, rng.uniform(0.1, 1, (3, n)), b)
    assert calls == factorized
    resolvent(W, onp.ones((3, n)), b)
    assert calls == [*factorized, 3]


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    m=st.integers(0, 4),
    power=st.integers(-960, 960),
    transpose=st.booleans(),
)
def test_the_unit_of_the_right_hand_side_changes_little(seed, n, m, power, transpose):
    """However small or large b is, u is solved relative to it; a power of 2 may only change how b rounds."""
    rng = onp.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= 0.6 / onp.linalg.norm(W, 2)
    gain, b = rng.uniform(0.1, 1, (m, n)), rng.standard_normal((m, n))
    unit = 2.0**power
    u = resolvent(W, gain, b, transpose=transpose)
    scaled = resolvent(W, gain, unit * b, transpose=transpose)
    onp.testing.assert_allclose(scaled / unit, u, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "bad", ["f raises", "f of another shape", "gain of another shape", "gain NaN"]
)
def test_a_curve_that_breaks_gives_no_gradient(bad):
    def f(z):
        if bad == "f raises":
            raise ZeroDivisionError("mine")
        return np.sum(z, axis=-1) if bad == "f of another shape" else np.tanh(z)

    def gain(z):
        if bad == "gain of another shape":
            return onp.ones(z.shape[-1])
        return onp.nan * z if bad == "gain NaN" else 1 - np.tanh(z) ** 2

    curve, W = fp.Activation("mine", f, gain), 0.1 * onp.eye(3)
    expected, message = {
        "f raises": (ZeroDivisionError, "mine"),
        "f of another shape": (ValueError, "activation 'mine' must be elementwise"),
        "gain of another shape": (ValueError, "activation 'mine' must be elementwise"),
        "gain NaN": (fp.ConvergenceError, "2 of 2 samples.*a gain f′"),
    }[bad]
    with pytest.raises(expected, match=message) as caught:
        grad(lambda W: np.sum(fixed_point(W, onp.ones((2, 3)), curve)))(W)
    if bad == "f raises":
        assert any("activation 'mine'" in note for note in caught.value.__notes__)


def test_fixed_point_has_the_defaults_of_solve():
    ours, theirs = (inspect.signature(f).parameters for f in (fixed_point, fp.solve))
    for name, parameter in ours.items():
        assert parameter.default == theirs[name].default
    assert ours["max_steps"].default == 1000


@pytest.mark.parametrize("setting", ["ignore", "warn", "raise"])
@pytest.mark.parametrize("scale", [1e-290, 1e-150, 1.0, 1e150])
@pytest.mark.parametrize("n", [SMALL, LARGE])
@pytest.mark.parametrize("activation", NAMED)
def test_no_setting_of_numpy_changes_a_derivative(activation, n, scale, setting):
    W, x, _, rng = problem(n)
    weights = scale * rng.standard_normal(x.shape) * onp.logspace(-200, 0, n)

    def rates(W, x):
        return fixed_point(W, x, activation, r0=start)

    def values():
        backward, _ = make_vjp(rates, (0, 1))(W, 0.4 * x)
        return [
            *backward(weights),
            make_jvp(lambda x: rates(W, x))(0.4 * x)(weights)[1],
            make_jvp(lambda W: rates(W, 0.4 * x))(W)(scale * W)[1],
            resolvent(W, onp.full_like(x, 0.5), weights),
        ]

    start = fp.solve(W, 0.4 * x, activation).r
    usual = values()
    with onp.errstate(all=setting):
        for value, expected in zip(values(), usual, strict=True):
            onp.testing.assert_array_equal(value, expected)
