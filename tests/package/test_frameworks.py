"""What the fixed points of PyTorch and JAX share, here in NumPy's arrays; tests/frameworks has the rest."""

import numpy as np
import pytest

import fpnotes as fp
from fpnotes import rules
from fpnotes._linear import solve_stack
from fpnotes.activations import NAMED
from fpnotes.frameworks._inputs import RULES, check_rule
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
