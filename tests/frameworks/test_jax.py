"""The fixed point in JAX, beside the package's own."""

import doctest
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import fpnotes as fp
from fpnotes.frameworks import _inputs
from fpnotes.frameworks import jax as module
from fpnotes.frameworks.jax import fixed_point
from tests.frameworks import cases

jax.config.update("jax_enable_x64", True)

# Of each argument that is wrong, the error and some of its words.
WRONG = {
    "W": [
        (np.eye(2) * 1j, TypeError, "W must be float32 or float64, not complex128"),
        (None, TypeError, "W must be"),
        (np.ones((2, 3)), ValueError, r"W must be a square \(N, N\) matrix, not of shape \(2, 3\)"),
        (np.eye(2) * np.nan, ValueError, "W must be finite, but 4 of its 4 entries"),
    ],
    "x": [
        (np.ones((5, 3)), ValueError, r"x must have shape \(..., 2\), one row per sample"),
        (1.0, ValueError, r"it has shape \(\)"),
    ],
    "r0": [
        (
            np.ones((3, 2)),
            ValueError,
            r"r0 of shape \(3, 2\) must broadcast to the shape of x, \(5, 2\)",
        )
    ],
    "activation": [
        (
            "tan",
            ValueError,
            "activation must be one of linear, tanh, relu, softplus, powerlaw, not 'tan'",
        ),
        (fp.tanh, TypeError, "a name or an elementwise function of arrays, not Activation"),
        (
            jnp.sum,
            ValueError,
            r"elementwise: given net input of shape \(5, 2\) it returned shape \(\)",
        ),
        (jnp.float32, TypeError, "return the dtype it is given, float64, not float32"),
        (np.tanh, TypeError, "raised by activation.* of arrays that JAX can differentiate"),
    ],
    "rule": [
        ("reparameterized", ValueError, "its update is not η times one"),
        ("natural", ValueError, "rule must be one of gradient, linearized"),
    ],
    "tol": [(1e-17, ValueError, "finer than float64 arithmetic can certify")],
    "max_steps": [(0, ValueError, "max_steps must be at least 1")],
}


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", [*cases.ACTIVATIONS, cases.swish])
def test_rates_and_directions_are_those_of_the_package(activation, dtype):
    """A rule gives W its direction, and x the gradient."""
    W, x, error = cases.network(dtype)
    tol, close = cases.TOL[dtype], cases.CLOSE[dtype]
    r, directions, x_bar = cases.expected(W, x, error, activation, tol)
    for rule, direction in directions.items():
        solve = partial(fixed_point, activation=activation, rule=rule, tol=tol)
        found, back = jax.vjp(solve, jnp.asarray(W), jnp.asarray(x))
        cases.assert_close(found, r, close)
        for value, reference in zip(back(jnp.asarray(error)), (direction, x_bar), strict=True):
            cases.assert_close(value, reference, close)


@pytest.mark.parametrize("activation", ["tanh", cases.swish])
def test_check_grads(activation):
    """Twice, in reverse."""
    W, x, _ = cases.network(n=4, m=3)
    solve = partial(fixed_point, activation=activation, tol=1e-13)
    check_grads(solve, (W, x), order=2, modes=["rev"])


def test_what_the_curve_holds_is_learned_under_every_rule():
    W, x, _ = cases.network(n=4, m=3)

    @partial(jax.jit, static_argnums=1)
    def solve(slope, rule):
        return fixed_point(W, x, lambda z: jnp.tanh(slope * z), rule=rule, tol=1e-13)

    slopes = jnp.linspace(0.5, 1.5, 4)
    for rule in _inputs.RULES:
        check_grads(lambda slope, rule=rule: solve(slope, rule), (slopes,), order=1, modes=["rev"])


def test_compiled_and_mapped_it_is_the_same():
    W, x, error = cases.network()

    def loss(W, x, error):
        return jnp.sum(fixed_point(W, x, tol=1e-12) * error)

    plain = jax.grad(loss)(W, x, error)
    cases.assert_close(jax.jit(jax.grad(loss))(W, x, error), plain, 1e-10)
    mapped = jax.vmap(jax.grad(loss), (None, 0, 0))(W, x, error)
    cases.assert_close(mapped.sum(axis=0), plain, 1e-10)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
def test_x_may_have_any_shape(shape):
    W, _, _ = cases.network(n=4)
    x = np.random.default_rng(1).normal(size=(*shape, 4))
    r, back = jax.vjp(fixed_point, W, x)
    assert r.shape == x.shape
    W_bar, x_bar = back(jnp.ones_like(r))
    assert x_bar.shape == x.shape and jnp.isfinite(W_bar).all()


def test_the_wider_dtype_is_returned():
    W, x, _ = cases.network("float32")
    assert fixed_point(W, x).dtype == jnp.float32
    assert fixed_point(W, x.astype("float64")).dtype == jnp.float64


def test_a_solve_that_did_not_converge_is_an_error_in_the_words_of_the_package():
    W, x = cases.UNSOLVABLE
    solve = partial(fixed_point, x=x, activation="relu")
    for call in (solve, jax.grad(lambda W: solve(W).sum())):
        with pytest.raises(fp.ConvergenceError, match="1 of 2 samples did not converge") as raised:
            call(W)
        assert raised.value.point.converged.tolist() == [False, True]
        assert "on_failure" not in str(raised.value)
        np.testing.assert_array_equal(raised.value.point.x, x)


def test_where_it_is_compiled_such_a_sample_is_nan_and_so_is_its_gradient():
    W, x = cases.UNSOLVABLE
    solve = jax.jit(lambda W: fixed_point(W, x, "relu"))
    np.testing.assert_array_equal(solve(W), [[np.nan], [0]])
    assert np.isnan(jax.grad(lambda W: solve(W).sum())(W)).all()


def test_a_singular_adjoint_is_refused_and_a_rule_that_needs_none_goes_on():
    W, x = cases.SINGULAR

    def slope(rule):
        return jax.grad(lambda W: fixed_point(W, x, rule=rule).sum())

    with pytest.raises(fp.ConvergenceError, match="to three digits for 3 of 3 samples"):
        slope("gradient")(W)
    assert np.isnan(jax.jit(slope("gradient"))(W)).all()
    assert slope("linearized")(W).tolist() == [[0]]


def test_the_start_decides_which_fixed_point_is_found():
    W, x = jnp.full((1, 1), 2.0), jnp.zeros((2, 1))
    r = fixed_point(W, x, r0=[[1.0], [-1.0]])
    assert r[0] > 0.9 and r[1] < -0.9
    assert jax.grad(lambda r0: fixed_point(W, x, r0=r0).sum())(jnp.ones((2, 1))).tolist() == [
        [0],
        [0],
    ]


def test_forward_mode_and_derivatives_of_a_rule_are_refused():
    W, x, _ = cases.network(n=3, m=2)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.hessian(lambda W: fixed_point(W, x).sum())(W)
    direction = jax.grad(lambda W, x: fixed_point(W, x, rule="linearized").sum())
    for argnum in (0, 1):
        with pytest.raises(TypeError, match="a rule's direction cannot be differentiated"):
            jax.grad(lambda W, x: direction(W, x).sum(), argnum)(W, x)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named(name):
    for value, kind, words in WRONG[name]:
        right = {"W": np.zeros((2, 2)), "x": np.ones((5, 2))}
        with pytest.raises(kind, match=words):
            fixed_point(**{**right, name: value})


def test_the_example():
    assert doctest.testmod(module) == (0, 8)
