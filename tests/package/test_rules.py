"""The learning rules: against finite differences and their definitions, and what they refuse."""

import copy
import re
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import fpnotes as fp
from fpnotes._blas import one_blas_thread
from fpnotes.activations import NAMED
from fpnotes.rules import linearized_without_gains, natural

OF_LINEAR_NETWORKS = [fp.reparameterized, natural]
OF_ALL_NETWORKS = [
    fp.gradient,
    fp.linearized,
    linearized_without_gains,
    fp.without_transport,
    fp.jacobian_free,
    partial(fp.truncated, k=2),
]
ALL_RULES = OF_ALL_NETWORKS + OF_LINEAR_NETWORKS


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


def linear_instance(seed, n, m, scale=0.5):
    """Return W, a linear network's solved batch, its error, B, and ∇_A J = Σ e xᵀ."""
    rng = np.random.default_rng(seed)
    W = scale * rng.standard_normal((n, n)) / np.sqrt(n)
    point = fp.solve(W, rng.standard_normal((m, n)), "linear")
    error = rng.standard_normal((m, n)) / m
    return W, point, error, np.eye(n) - W, error.T @ point.x


SIZES = [(1, 1), (2, 5), (5, 2), (20, 20), (50, 10), (50, 80)]


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_each_rule_of_a_linear_network_against_its_definition(seed, n, m):
    W, point, error, B, D = linear_instance(seed, n, m)
    lr = 0.05
    A = np.linalg.inv(B)
    covariance = point.x.T @ point.x / m
    definitions = {
        fp.gradient: -lr * A.T @ D @ A.T,
        fp.reparameterized: B - np.linalg.inv(A - lr * D),
        fp.linearized: -lr * B @ D @ B,
        linearized_without_gains: -lr * B @ D @ B,
        natural: -lr * B @ D @ np.linalg.pinv(covariance) @ B,
        fp.without_transport: -lr * B @ D @ A.T,
        fp.jacobian_free: -lr * D @ A.T,
        partial(fp.truncated, k=2): -lr * (np.eye(n) + W + W @ W).T @ D @ A.T,
    }
    for rule, expected in definitions.items():
        dW = rule(W, point, error, lr)
        assert np.linalg.norm(dW - expected) <= 1e-10 * np.linalg.norm(expected), rule


@pytest.mark.parametrize("seed", range(3))
def test_rules_of_a_linear_network_with_gains(seed):
    rng = np.random.default_rng(seed)
    W, x = 0.2 * rng.standard_normal((6, 6)), rng.standard_normal((9, 6))
    g, lr = 1.7, 0.01
    point, error = fp.solve(W, x, lambda z: g * z), rng.standard_normal((9, 6))
    B, D = np.eye(6) / g - W, error.T @ x
    expected = B - np.linalg.inv(np.linalg.inv(B) - lr * D)
    assert np.allclose(fp.reparameterized(W, point, error, lr), expected, rtol=1e-6)
    # ΔW₃ measures the response in units of gain: the factor is g⁴ (book: nonlinear).
    assert np.allclose(fp.linearized(W, point, error, lr), -lr * g**4 * B @ D @ B, rtol=1e-6)


@pytest.mark.parametrize("activation", NAMED)
@pytest.mark.parametrize("seed", range(3))
def test_the_rules_without_a_solve_of_a_nonlinear_network_against_their_definitions(
    activation, seed
):
    rng = np.random.default_rng(seed)
    n, m, lr = 7, 4, 0.3
    W = 0.3 * rng.standard_normal((n, n)) / np.sqrt(n)
    point = fp.solve(W, 0.5 * rng.standard_normal((m, n)), activation)
    error = rng.standard_normal((m, n))
    third, fourth, forward = np.zeros((3, n, n))
    eye = np.eye(n)
    for r, g, e in zip(point.r, point.gain, error, strict=True):
        WG, GW, G = W * g, g[:, None] * W, np.diag(g)
        third -= lr * np.outer((eye - WG) @ G @ e, (eye - GW).T @ (eye - GW) @ r)
        fourth -= lr * np.outer((eye - WG) @ e, (eye - WG).T @ (eye - WG) @ r)
        forward -= lr * np.outer((eye - WG) @ G @ e, r)
    assert np.allclose(fp.linearized(W, point, error, lr), third, rtol=1e-12, atol=1e-14)
    assert np.allclose(
        linearized_without_gains(W, point, error, lr), fourth, rtol=1e-12, atol=1e-14
    )
    assert np.allclose(fp.without_transport(W, point, error, lr), forward, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_reparameterized_minus_linearized_is_of_second_order(seed):
    W, point, error, B, D = linear_instance(seed, 12, 8)
    lrs = 1e-3 * 2.0 ** -np.arange(5)
    gap = [fp.reparameterized(W, point, error, h) - fp.linearized(W, point, error, h) for h in lrs]
    sizes = [np.linalg.norm(difference) for difference in gap]
    assert np.polyfit(np.log(lrs), np.log(sizes), 1)[0] == pytest.approx(2, rel=0.05)
    assert np.allclose(
        gap[-1], -(lrs[-1] ** 2) * B @ D @ B @ D @ B, rtol=0.02, atol=0.02 * sizes[-1]
    )


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 8), scale=st.floats(0.01, 0.6))
@pytest.mark.parametrize("activation", NAMED)
@pytest.mark.parametrize("rule", [fp.linearized, fp.without_transport])
def test_for_one_sample_never_an_ascent_direction(rule, activation, seed, n, scale):
    rng = np.random.default_rng(seed)
    W = scale * rng.standard_normal((n, n)) / np.sqrt(n)
    point = fp.solve(W, 0.3 * rng.standard_normal(n), activation, on_failure="ignore")
    assume(point.converged and fp.distance_to_singularity(W, point.gain) > 1e-3)
    error = rng.standard_normal(n)
    dW, ascent = rule(W, point, error, 1.0), -fp.gradient(W, point, error, 1.0)
    size = np.linalg.norm(dW) * np.linalg.norm(ascent)
    assert np.sum(dW * ascent) <= 1e-7 * size


@pytest.mark.parametrize("m", [3, 12])
def test_a_step_onto_a_singular_response_says_which_steps_are_safe(m):
    """A − ηD is singular exactly where 1/η is an eigenvalue of BD; here the smallest such η is known."""
    W, point, error, B, D = linear_instance(1, 8, m)
    poles = np.linalg.eigvals(B @ D)
    edge = 1 / poles.real[(abs(poles.imag) < 1e-9) & (poles.real > 1e-9)].max()
    with pytest.raises(fp.SingularityError, match="lands on a singular A") as caught:
        fp.reparameterized(W, point, error, edge)
    (named,) = re.findall(r"every lr below ([\d.e+-]+) is safe", str(caught.value))
    assert float(named) == pytest.approx(edge, rel=1e-5)
    for lr in edge * np.array([0.1, 0.5, 0.9, 0.999]):
        assert np.isfinite(fp.reparameterized(W, point, error, lr)).all()


@pytest.mark.parametrize("rule", [fp.reparameterized, natural])
def test_a_nonlinear_network_has_no_one_response_matrix(rule):
    rng = np.random.default_rng(0)
    W = 0.3 * rng.standard_normal((5, 5))
    point = fp.solve(W, rng.standard_normal((4, 5)), "tanh")
    with pytest.raises(ValueError, match="different matrix for every sample"):
        rule(W, point, point.r, 0.1)


def test_natural_with_white_inputs_is_linearized():
    W, point, error, _, _ = linear_instance(0, 6, 40)
    third = fp.linearized(W, point, error, 0.1)
    assert np.allclose(natural(W, point, error, 0.1, covariance=np.eye(6)), third)
    with pytest.raises(ValueError, match="covariance must"):
        natural(W, point, error, 0.1, covariance=np.eye(5))


@pytest.mark.parametrize("rule", ALL_RULES)
def test_every_rule_checks_what_it_is_given(rule):
    W, point, error, _, _ = linear_instance(0, 4, 6)
    calls = {
        "error must have the shape of r": (W, point, error[:3], 0.1),
        "lr must be positive": (W, point, error, -1),
        "W must be a square": (W[:2], point, error, 0.1),
        "error must be finite": (W, point, error * np.nan, 0.1),
    }
    for message, arguments in calls.items():
        with pytest.raises(ValueError, match=message):
            rule(*arguments)
    before = W.copy()
    rule(W, point, error, 0.1)
    assert np.array_equal(W, before)
    failed = fp.solve([[1.0]], [[1.0]], "linear", on_failure="ignore")
    with pytest.raises(fp.ConvergenceError, match="1 of 1 samples of point"):
        rule(np.array([[1.0]]), failed, np.ones((1, 1)), 0.1)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    m=st.integers(1, 8),
    power=st.integers(-900, 900),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@pytest.mark.parametrize("rule", ALL_RULES)
def test_the_unit_of_the_error_changes_no_digit(rule, seed, n, m, power, dtype):
    """A step depends on η·error alone, and a power of 2 changes no digit of either."""
    power = power // 10 if dtype == np.float32 else power
    rng = np.random.default_rng(seed)
    W = (0.5 * rng.standard_normal((n, n)) / np.sqrt(n)).astype(dtype)
    point = fp.solve(W, rng.standard_normal((m, n)).astype(dtype), "linear", on_failure="ignore")
    assume(point.converged.all() and fp.distance_to_singularity(W) > 0.01)
    error = rng.standard_normal((m, n)).astype(dtype)
    once = rule(W, point, error, 0.01)
    assert once.dtype == dtype and np.isfinite(once).all()
    scaled = rule(W, point, error * dtype(2.0**power), 0.01 * 2.0**-power)
    np.testing.assert_array_equal(scaled, once)


@pytest.mark.parametrize("rule", ALL_RULES)
def test_no_samples_no_step(rule):
    W, *_ = linear_instance(0, 4, 6)
    none = fp.solve(W, np.zeros((0, 4)), "linear")
    np.testing.assert_array_equal(rule(W, none, np.zeros((0, 4)), 0.1), np.zeros((4, 4)))


@pytest.mark.parametrize("rule", ALL_RULES)
def test_any_memory_order(rule):
    W, point, error, _, _ = linear_instance(3, 4, 6)
    dW = rule(W, point, error, 0.1)
    for layout in (
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a.tolist(),
    ):
        np.testing.assert_allclose(rule(layout(W), point, layout(error), 0.1), dW, rtol=1e-12)


@pytest.mark.parametrize("rule", ALL_RULES)
def test_an_error_of_more_samples_than_the_point_has(rule):
    W, point, error, _, _ = linear_instance(0, 4, 6)
    with pytest.raises(ValueError, match=r"error must have the shape of r, \(6, 4\), not \(7, 4\)"):
        rule(W, point, np.vstack([error, error[:1]]), 0.1)


@pytest.mark.parametrize("activation", NAMED)
def test_a_truncated_adjoint_lacks_the_powers_beyond_k(activation):
    """λ − λₖ = (WᵀG)ᵏ⁺¹λ for each sample; with enough products the step is the gradient's."""
    W, point, error, _ = problem(activation)
    for k in (0, 1, 5):
        short = np.zeros_like(W)
        for r, g, e in zip(point.r, point.gain, error, strict=True):
            back = W.T * g
            adjoint = np.linalg.solve(np.eye(5) - back, e)
            adjoint = adjoint - np.linalg.matrix_power(back, k + 1) @ adjoint
            short -= 0.3 * np.outer(g * adjoint, r)
        dW = fp.truncated(W, point, error, 0.3, k=k)
        np.testing.assert_allclose(dW, short, rtol=1e-10, atol=1e-13)
    whole = fp.truncated(W, point, error, 0.3, k=60)
    np.testing.assert_allclose(whole, fp.gradient(W, point, error, 0.3), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("k", [-1, 1.5, "2", None])
def test_k_must_be_a_whole_number(k):
    W, point, error, _ = problem()
    with pytest.raises((ValueError, TypeError), match="^k must be"):
        fp.truncated(W, point, error, 0.1, k=k)


def test_the_smaller_of_samples_and_neurons_is_factorized(monkeypatch):
    shapes, solve = [], np.linalg.solve
    for n, m, least in ((6, 3, 3), (6, 9, 6)):
        W, point, error, _, _ = linear_instance(0, n, m)
        monkeypatch.setattr(np.linalg, "solve", lambda K, b: shapes.append(K.shape) or solve(K, b))
        fp.reparameterized(W, point, error, 0.1)
        assert shapes.pop() == (least, least) and not shapes
        monkeypatch.undo()


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_a_singular_step_is_noticed_in_any_unit_of_the_inputs(unit):
    W, point, error, B, D = linear_instance(1, 8, 3)
    poles = np.linalg.eigvals(B @ D)
    edge = 1 / poles.real[(abs(poles.imag) < 1e-9) & (poles.real > 1e-9)].max()
    with pytest.raises(fp.SingularityError, match="lands on a singular A"):
        fp.reparameterized(W, fp.solve(W, unit * point.x, "linear"), error / unit, edge)


def test_a_step_so_large_that_rounding_hides_the_old_response_is_refused():
    """Twelve samples along three directions: the step leaves A alone in the others, if not for rounding."""
    W, point, error, _, _ = linear_instance(2, 8, 3)
    point = fp.solve(W, np.tile(point.x, (4, 1)), "linear")
    error, fine = np.tile(error, (4, 1)), 0.0
    for lr in (0.1, 1e3, 1e6, 1e30):
        try:
            dW = fp.reparameterized(W, point, error, lr)
        except fp.SingularityError as refusal:
            (named,) = re.findall(r"every lr below ([\d.e+-]+) is safe", str(refusal))
            assert 0 < float(named) < lr and lr == 1e30
        else:  # with only the three, the small system of Woodbury's identity is well conditioned
            three = fp.reparameterized(W, fp.solve(W, point.x[:3], "linear"), 4 * error[:3], lr)
            np.testing.assert_allclose(dW, three, rtol=1e-3, atol=1e-6 * np.abs(three).max())
            fine = lr
    assert fine >= 1e3


class TestWhatIsLinear:
    """One response matrix exists only where r = G z with the same gains for all samples."""

    def point(self, f, gain, x, dtype=np.float64):
        x = np.asarray(x, dtype)
        W = np.zeros((x.shape[-1],) * 2, dtype)
        return W, fp.solve(W, x, fp.Activation("mine", f, gain))

    @pytest.mark.parametrize("rule", OF_LINEAR_NETWORKS)
    @pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
    def test_an_offset_is_not_linear(self, rule, size):
        x = size * np.array([[1.0, -2.0], [0.5, 0.7]])
        W, point = self.point(lambda z: z + size, np.ones_like, x)
        with pytest.raises(ValueError, match="different matrix for every sample"):
            rule(W, point, np.ones((2, 2)), 0.1)

    @pytest.mark.parametrize("rule", OF_LINEAR_NETWORKS)
    def test_gains_that_differ_between_samples_are_not_linear(self, rule):
        """With r = G z exactly, as for a curve with a bend at 0, and whichever sample comes first."""
        for x in ([[-1.0, -2.0], [1.0, 2.0]], [[1.0, 2.0], [-1.0, -2.0]]):
            W, point = self.point(
                lambda z: np.where(z > 0, z, z / 2), lambda z: np.where(z > 0, 1, 0.5), x
            )
            with pytest.raises(ValueError, match="different matrix for every sample"):
                rule(W, point, np.ones((2, 2)), 0.1)

    @pytest.mark.parametrize("rule", OF_LINEAR_NETWORKS)
    @pytest.mark.parametrize(
        ("dtype", "inexact", "linear"),
        [
            (np.float64, 1e-4, False),
            (np.float32, 1e-2, False),
            (np.float64, 1e-8, True),
            (np.float32, 1e-4, True),
        ],
    )
    @pytest.mark.parametrize("size", [1e-3, 1e3])
    def test_gains_need_be_true_only_as_far_as_the_dtype_knows(
        self, rule, dtype, inexact, linear, size
    ):
        x = size * np.array([[1.0, -2.0], [0.5, 0.7]])
        W, point = self.point(lambda z: z * dtype(1 + inexact), np.ones_like, x, dtype)
        if linear:
            assert np.isfinite(rule(W, point, np.ones((2, 2), dtype), 1e-8)).all()
        else:
            with pytest.raises(ValueError, match="different matrix for every sample"):
                rule(W, point, np.ones((2, 2), dtype), 1e-8)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.eye(3), "shape"),
        (np.eye(5), "shape"),
        (np.zeros((4, 4)), "positive definite"),
        (-np.eye(4), "positive definite"),
        (np.triu(np.ones((4, 4))), "symmetric"),
    ],
)
def test_a_covariance_that_is_none(covariance, message):
    W, point, error, _, _ = linear_instance(0, 4, 6)
    with pytest.raises(ValueError, match=f"^covariance must .*{message}"):
        natural(W, point, error, 0.1, covariance=covariance)


def test_complex_poles_bar_no_learning_rate():
    """W = 0 and x = I make ∇_A J any matrix: here its eigenvalues are 1 and 2 ± 3i."""
    D = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, -3.0], [0.0, 3.0, 2.0]])
    W, point = np.zeros((3, 3)), fp.solve(np.zeros((3, 3)), np.eye(3), "linear")
    with pytest.raises(fp.SingularityError, match="every lr below 1 is safe"):
        fp.reparameterized(W, point, D.T, 1.0)
    for lr in (0.4, 0.5, 0.99):
        dW = fp.reparameterized(W, point, D.T, lr)
        np.testing.assert_allclose(dW, np.eye(3) - np.linalg.inv(np.eye(3) - lr * D), atol=1e-12)


def test_a_covariance_may_be_symmetric_to_rounding_only():
    W, point, error, _, _ = linear_instance(0, 4, 6)
    covariance = point.x.T @ point.x
    expected = natural(W, point, error, 0.1, covariance=covariance)
    covariance[0, 1] *= 1 + 1e-12
    dW = natural(W, point, error, 0.1, covariance=covariance)
    np.testing.assert_allclose(dW, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("rule", ALL_RULES)
def test_a_rule_leaves_what_it_is_given_and_returns_an_array_of_its_own(rule):
    W, point, error, _, _ = linear_instance(0, 4, 6)
    given = {"W": W, "error": error} | {
        name: value for name, value in vars(point).items() if isinstance(value, np.ndarray)
    }
    before = {name: value.copy() for name, value in given.items()}
    for array in given.values():
        array.flags.writeable = False
    dW = rule(W, point, error, 0.1)
    again = dW.copy()
    assert dW.flags.writeable and not any(np.shares_memory(dW, a) for a in given.values())
    dW += 1
    np.testing.assert_array_equal(rule(W, point, error, 0.1), again)
    for name, array in given.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.parametrize("setting", ["ignore", "warn", "raise"])
@pytest.mark.parametrize("unit", [1e-300, 1e-150, 1.0, 1e150])
@pytest.mark.parametrize("rule", ALL_RULES)
def test_no_setting_of_numpy_changes_a_step(rule, unit, setting):
    """An underflow on the way to a step is none of the caller's business."""
    W, point, error, _, _ = linear_instance(0, 4, 6)
    error = unit * error * np.array([1e-200, 1.0, 1e-9, 1.0])
    lr = min(1.0, 0.1 / unit)
    usual = rule(W, point, error, lr)
    with np.errstate(all=setting):
        np.testing.assert_array_equal(rule(W, point, error, lr), usual)


@pytest.mark.parametrize("setting", ["ignore", "warn", "raise"])
@pytest.mark.parametrize("rule", ALL_RULES)
def test_a_step_beyond_the_range_of_floats_is_an_error(rule, setting):
    """With every setting of NumPy the same one, which train takes for the end of a run."""
    W, point, error, _, _ = linear_instance(0, 4, 6)
    with np.errstate(all=setting):
        with pytest.raises(FloatingPointError, match="the update is not finite"):
            rule(W, point, 1e300 * error, 1e300)


@pytest.mark.parametrize("setting", ["ignore", "warn", "raise"])
@pytest.mark.parametrize("activation", NAMED)
def test_no_setting_of_numpy_changes_a_step_of_a_nonlinear_network(activation, setting):
    W, point, error, _ = problem(activation)
    for rule in OF_ALL_NETWORKS:
        usual = rule(W, point, 1e-200 * error, 1e-150)
        with np.errstate(all=setting):
            np.testing.assert_array_equal(rule(W, point, 1e-200 * error, 1e-150), usual)


@pytest.mark.parametrize("rule", ALL_RULES)
def test_a_rule_says_whether_its_step_is_proportional_to_lr(rule):
    W, point, error, _, _ = linear_instance(0, 4, 6)
    proportional = np.allclose(rule(W, point, error, 0.2), 2 * rule(W, point, error, 0.1))
    assert getattr(rule, "proportional_to_lr", True) == proportional
    assert proportional == (rule is not fp.reparameterized)


@pytest.mark.parametrize("m", [3, 12])
def test_a_large_step_of_a_feedforward_kind_is_taken(m):
    """With B = I and ∇_A J strictly triangular no lr is singular: dW = I − (I − η∇)⁻¹, however large."""
    D = np.diag([3e3, 2e3, 4e3], k=-1)
    x = np.eye(4) if m == 12 else np.eye(4)[:3]
    W, point = np.zeros((4, 4)), fp.solve(np.zeros((4, 4)), np.vstack([x] * (m // 3))[:m], "linear")
    error = np.zeros((m, 4))
    error[: len(x)] = D.T[: len(x)]
    dW = fp.reparameterized(W, point, error, 1.0)
    expected = np.eye(4) - np.linalg.inv(np.eye(4) - error.T @ point.x)
    np.testing.assert_allclose(dW, expected, rtol=1e-12, atol=1e-12)


def test_an_unconverged_point_is_met_with_what_can_be_done():
    point = fp.solve([[2.0]], [[1.0], [-1.0]], "relu", on_failure="ignore")
    with pytest.raises(fp.ConvergenceError) as caught:
        fp.linearized([[2.0]], point, np.ones((2, 1)), 0.1)
    for advice in ("point[point.converged]", 'unconverged="drop"', "r0", "max_steps"):
        assert advice in str(caught.value)


@pytest.mark.parametrize("seed", range(5))
def test_a_linear_network_of_huge_weights_is_known_as_linear(seed):
    """Its W r + x is known to no more than the roundings of terms far larger than r."""
    rng = np.random.default_rng(seed)
    W, x = 1e13 * rng.standard_normal((12, 12)), rng.standard_normal((5, 12))
    point = fp.solve(W, x, "linear", on_failure="ignore")
    point = point[point.converged]
    assert len(point.r)
    assert np.isfinite(natural(W, point, np.ones_like(point.r), 1e-3)).all()


class TestOneFactorization:
    """A linear network's, kept with its fixed points: a copy of them has none, and the rule makes one."""

    def instance(self, condition=1.0, m=40, n=80):
        rng = np.random.default_rng(8)
        U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
        W = np.eye(n) - U @ np.diag([1 / condition, *np.ones(n - 1)]) @ V
        with one_blas_thread():
            point = fp.solve(W, rng.standard_normal((m, n)) @ (np.eye(n) - W).T, "linear", tol=1e-6)
        return W, point, rng.standard_normal((m, n))

    @pytest.mark.parametrize("condition", [1.0, 1e4, 1e8])
    def test_it_gives_the_same_step(self, condition):
        W, point, error = self.instance(condition)
        dW = fp.gradient(W, point, error, 0.1)
        expected = fp.gradient(W, copy.copy(point), error, 0.1)
        assert np.abs(dW - expected).max() <= 1e-13 * condition * np.abs(expected).max()

    def test_it_is_the_only_one(self, monkeypatch):
        W, point, error = self.instance()
        monkeypatch.setattr(np.linalg, "solve", None)  # calling it would fail
        part = slice(10, 30)
        dW = fp.gradient(W, point, error, 0.1)
        dW -= fp.gradient(W, point[part], error[part], 0.1)
        rest = np.r_[0:10, 30:40]
        expected = fp.gradient(W, point[rest], error[rest], 0.1)
        np.testing.assert_allclose(dW, expected, rtol=0, atol=1e-13)

    def test_near_a_singularity_it_is_not_trusted(self):
        W, point, error = self.instance(condition=1e15)
        for either in (point, copy.copy(point)):
            with pytest.raises(fp.ConvergenceError, match="adjoint equation .* to three digits"):
                fp.gradient(W, either, error, 0.1)

    @pytest.mark.parametrize("tol", [0, -1, 1e-17, "small"])
    def test_a_tolerance_is_checked_all_the_same(self, tol):
        W, point, error = self.instance()
        with pytest.raises((ValueError, TypeError), match="tol"):
            fp.gradient(W, point, error, 0.1, tol=tol)

    @pytest.mark.parametrize("size", [2.0**-1030, 2.0**-900, 2.0**900])
    def test_an_error_of_any_size_is_answered(self, size):
        W, point, error = self.instance()
        error[0] = 0
        x = fp.gradient(W, point, error, 1.0)
        small = fp.gradient(W, point, error * size, 1.0)
        np.testing.assert_allclose(small / size, x, rtol=0, atol=1e-9 * np.abs(x).max())
