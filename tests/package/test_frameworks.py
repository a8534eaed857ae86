"""What the fixed points of PyTorch and JAX share, here in NumPy's arrays; tests/frameworks has the rest."""

import numpy as np
import pytest

import fpnotes as fp
from fpnotes import rules
from fpnotes._linear import solve_stack
from fpnotes.activations import NAMED
from fpnotes.frameworks._inputs import (
    RULES,
    check_activation,
    check_elementwise,
    check_options,
    check_rule,
    check_shapes,
    not_converged,
    not_solvable,
    raised_by_curve,
)
from fpnotes.frameworks._solver import Library, factorized, find, named_curve, resolvent
from fpnotes.rules import FACTORS


def loop(condition, body, state):
    while condition(state):
        state = body(state)
    return state


LIBRARY = Library(
    np,
    loop=loop,
    choose=lambda condition, yes, no: yes() if condition else no(),
    solve=lambda K, b: solve_stack(K, b[..., None])[..., 0],
    inverse=np.linalg.inv,
    identity=lambda n, a: np.eye(n, dtype=a.dtype),
    signs=lambda b: np.random.default_rng(0).choice(np.array([-1, 1], b.dtype), b.shape),
)


def found(W, x, activation, tol=1e-8, max_steps=1000, r0=None):
    W, x = np.asarray(W), np.asarray(x)
    f, gain = named_curve(np, activation)
    with np.errstate(all="ignore"):
        return find(LIBRARY, W, x, f, gain, f(x) if r0 is None else r0, tol, max_steps)


def network(radius, n=60, m=4, seed=0):
    rng = np.random.default_rng(seed)
    return radius * rng.normal(size=(n, n)) / np.sqrt(n), rng.normal(size=(m, n))


@pytest.mark.parametrize("activation", NAMED)
def test_a_named_curve_is_that_of_the_package(activation):
    f, gain = named_curve(np, activation)
    z = np.linspace(-3, 3, 61)
    np.testing.assert_allclose(f(z), NAMED[activation].f(z), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(gain(z), NAMED[activation].gain(z), rtol=1e-14, atol=1e-16)


# Contracting; slow, for Anderson acceleration; inhibitory, where only damping settles.
@pytest.mark.parametrize("case", ["contracting", "slow", "inhibitory"])
def test_fixed_points_are_those_of_the_package(case):
    W, x = network(0.5)
    if case == "slow":
        W, x = network(1.0)
        W, x = 0.97 * np.ones((60, 60)) / 60 + 0.1 * W, 1e-2 * x
    elif case == "inhibitory":
        W = 0.1 * W - 6 * np.ones((60, 60)) / 60
    point, reference = found(W, x, "tanh", tol=1e-12), fp.solve(W, x, "tanh", tol=1e-12)
    assert point.converged.all()
    if case != "contracting":
        assert (point.steps > 40).any()
    np.testing.assert_allclose(point.r, reference.r, rtol=0, atol=1e-9)
    np.testing.assert_allclose(point.gain, reference.gain, rtol=0, atol=1e-9)
    np.testing.assert_allclose(point.recurrent, reference.recurrent, rtol=0, atol=1e-9)


def test_a_sample_without_a_fixed_point_neither_converges_nor_spoils_another():
    point = found([[1.0]], [[1.0], [-0.5]], "relu")
    assert point.converged.tolist() == [False, True] and np.isfinite(point.r).all()
    assert not found([[1.0]], [[1.0]], "softplus").converged.any()
    assert not found([[2.0]], [[1.0]], "powerlaw").converged.any()
    # The input is lost among the roundings of the recurrent input.
    assert not found(
        [[0.0, 1e20], [-1e20, 0.0]], [[1.0, 1.0]], "linear", r0=np.zeros((1, 2))
    ).converged


def test_few_steps_are_not_enough():
    W, x = network(0.9)
    assert not found(W, x, "tanh", max_steps=3).converged.any()


@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("radius", [0.5, 0.95])
def test_the_linear_system_is_solved(radius, transpose):
    W, b = network(radius)
    gain = np.random.default_rng(1).uniform(0.5, 1, b.shape)
    expected = fp.resolvent(W, gain, b, transpose=transpose, tol=1e-12)
    u, left = resolvent(LIBRARY, W, gain, b, 1e-12, transpose=transpose)
    assert not left.any()
    np.testing.assert_allclose(u, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    u, lost = factorized(LIBRARY, W, gain, b, transpose=transpose)
    assert not lost.any()
    np.testing.assert_allclose(u, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_digits_that_are_lost_are_noticed():
    """Even by symmetry: b has nothing of the direction in which the matrix is singular."""
    W, gain = np.array([[0.0, 1 - 1e-15], [1 - 1e-15, 0.0]]), np.ones((1, 2))
    b = np.array([[1.0, -1.0]])
    for transpose in (True, False):
        _, left = resolvent(LIBRARY, W, gain, b, 1e-8, transpose=transpose)
        _, lost = factorized(LIBRARY, W, gain, b, transpose=transpose)
        assert left.all() and lost.all()


def test_a_system_beyond_products_is_left_to_a_factorization():
    W, b = network(2.0)
    gain = np.ones_like(b)
    expected = fp.resolvent(W, gain, b, transpose=True)
    u, left = resolvent(LIBRARY, W, gain, b, 1e-8)
    rows = np.flatnonzero(left)
    assert len(rows)
    u[rows], lost = factorized(LIBRARY, W, gain[rows], b[rows])
    assert not lost.any()
    np.testing.assert_allclose(u, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_every_rule_proportional_to_lr_is_offered_or_for_linear_networks_alone():
    proportional = {
        name for name in rules.__all__ if getattr(getattr(rules, name), "proportional_to_lr", True)
    }
    # A Protocol is no rule, and a series is cut where its user says.
    assert set(RULES) == proportional - {"natural", "Rule", "truncated"}
    assert set(FACTORS) == set(RULES) - {"gradient"}


def test_the_reparameterized_rule_is_refused_in_words():
    with pytest.raises(ValueError, match="η is chosen later, by the optimizer"):
        check_rule("reparameterized")


@pytest.mark.parametrize("r0", [None, np.zeros(3), np.zeros((1, 3)), np.zeros((2, 3))])
def test_shapes_that_fit_are_taken(r0):
    check_shapes(np.eye(3), np.zeros((2, 3)), r0)


@pytest.mark.parametrize(
    ("W", "x", "r0", "message"),
    [
        ((3,), (3,), None, r"W must be a square \(N, N\) matrix, not of shape \(3,\)"),
        ((2, 3), (3,), None, r"W must be .* not of shape \(2, 3\)"),
        ((0, 0), (0,), None, r"W must be .* not of shape \(0, 0\)"),
        (
            (3, 3),
            (),
            None,
            r"x must have shape \(\.\.\., 3\), one row per sample.* it has shape \(\)",
        ),
        ((3, 3), (3, 2), None, r"x must have shape \(\.\.\., 3\).* it has shape \(3, 2\)"),
        ((3, 3), (4, 3), (4, 2), r"r0 must have shape \(\.\.\., 3\).* it has shape \(4, 2\)"),
        (
            (3, 3),
            (4, 3),
            (2, 3),
            r"r0 of shape \(2, 3\) must broadcast to the shape of x, \(4, 3\)",
        ),
        ((3, 3), (3,), (4, 3), r"r0 of shape \(4, 3\) must broadcast to the shape of x, \(3,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(W, x, r0, message):
    arrays = (None if shape is None else np.zeros(shape) for shape in (W, x, r0))
    with pytest.raises(ValueError, match=message):
        check_shapes(*arrays)


def test_a_curve_is_a_name_or_a_function_of_such_arrays():
    check_activation("tanh", "arrays")
    check_activation(np.tanh, "arrays")
    with pytest.raises(ValueError, match="activation must be one of .*tanh.*, not 'tanhh'"):
        check_activation("tanhh", "arrays")
    for wrong in (fp.tanh, 3):
        with pytest.raises(TypeError, match="a name or an elementwise function of tensors"):
            check_activation(wrong, "tensors")


def test_a_curve_returns_an_array_like_its_net_input():
    z = np.zeros((2, 3))
    check_elementwise(z, z + 1)
    with pytest.raises(
        ValueError, match=r"given net input of shape \(2, 3\) it returned shape \(2,\)"
    ):
        check_elementwise(z, z.sum(1))
    with pytest.raises(TypeError, match="the dtype it is given, float64, not float32"):
        check_elementwise(z, z.astype("float32"))


def test_an_error_of_a_curve_names_the_argument():
    with pytest.raises(KeyError) as caught, raised_by_curve("tensors", "PyTorch"):
        raise KeyError("its own")
    (note,) = caught.value.__notes__
    assert note.startswith("raised by activation, which must be an elementwise function of tensors")


def test_options_are_those_of_solve():
    assert check_options(1e-6, 50, "float64") == (1e-6, 50)
    assert check_options(None, 1, "float32")[0] > check_options(None, 1, "float64")[0]
    with pytest.raises(ValueError, match="max_steps"):
        check_options(None, 0, "float64")


def test_a_failure_holds_the_fixed_points_that_were_reached():
    """As the package's own does: of each sample, in the shape of the input."""
    W, x = np.array([[2.0]]), np.array([[[0.0]], [[-9.0]]])  # softplus(2r + x) > r for x ≥ 0
    f, gain = named_curve(np, "softplus")
    with np.errstate(all="ignore"):
        point = find(LIBRARY, W, x.reshape(2, 1), f, gain, f(x.reshape(2, 1)), 1e-8, 100)
    error = not_converged(W, x, f, gain, point, 1e-8)
    assert isinstance(error, fp.ConvergenceError) and "1 of 2 samples" in str(error)
    assert error.point is not None
    assert error.point.r.shape == x.shape and error.point.steps.dtype.kind == "i"
    np.testing.assert_array_equal(error.point.converged, [[False], [True]])
    np.testing.assert_allclose(error.point.r[1], f(2 * error.point.r[1] - 9), atol=1e-8)


def test_an_adjoint_without_digits_says_of_how_many_samples():
    error = not_solvable(2, 5)
    assert isinstance(error, fp.ConvergenceError) and "2 of 5 samples" in str(error)
