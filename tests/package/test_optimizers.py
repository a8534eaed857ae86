"""Rules with a memory or a constraint: hand-computed steps, and what they must keep."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpnotes import gradient, linearized, powerlaw, reparameterized, solve, sweep, train
from fpnotes.network import SingularityError
from fpnotes.optimizers import Adam, Dale, InResponse, Momentum, response_step
from fpnotes.tasks import LinearRegression, Task, mean_squared_error

RULES = [gradient, linearized, reparameterized]


def regression(seed=0, n=8, m=12):
    rng = np.random.default_rng(seed)
    W0 = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    return LinearRegression(W0, rng.standard_normal((m, n)), rng.standard_normal((m, n)))


def at(task, W):
    point = solve(W, task.x, task.activation)
    return point, task.error(point.r, task.y)


def constant(D):
    """Return a rule whose step is lr times D, wherever it is."""

    def rule(W, point, error, lr):
        return lr * D

    return rule


# ---- Momentum ----


@pytest.mark.parametrize("rule", RULES)
def test_momentum_without_memory_is_the_rule(rule):
    task = regression()
    with_none = train(task, Momentum(rule, 0.0), 0.02, 10, progress=False)
    assert np.array_equal(with_none.W, train(task, rule, 0.02, 10, progress=False).W)


def test_steps_of_momentum_by_hand():
    D = np.array([[1.0, -2.0], [0.0, 4.0]])
    rule = Momentum(constant(D), 0.5)
    for expected in (1, 1.5, 1.75):
        np.testing.assert_allclose(rule(None, None, None, 0.1), 0.1 * expected * D)


def test_momentum_along_a_run():
    """The step taken is the rule's at the W reached, plus β times the last step."""
    task, beta, lr = regression(), 0.7, 0.02
    W, V = task.W0, np.zeros_like(task.W0)
    for _ in range(6):
        V = beta * V + linearized(W, *at(task, W), lr)
        W = W + V
    history = train(task, Momentum(linearized, beta), lr, 6, progress=False)
    np.testing.assert_allclose(history.W, W, rtol=1e-12, atol=1e-12)


# ---- Adam ----


def test_two_steps_of_adam_by_hand():
    """One weight whose slope is 2, then −1, with β₁ = ½, β₂ = ¾, η = 0.1."""
    slopes = iter([2.0, -1.0])
    rule = Adam(lambda W, point, error, lr: np.array([[-lr * next(slopes)]]), 0.5, 0.75)
    # m = 1, m̂ = 1/(1 − ½) = 2;  v = ¼·4 = 1, v̂ = 1/(1 − ¾) = 4.
    np.testing.assert_allclose(rule(None, None, None, 0.1), [[-0.1 * 2 / 2]], rtol=1e-7)
    # m = ½·1 − ½ = 0, m̂ = 0.
    np.testing.assert_allclose(rule(None, None, None, 0.1), [[0.0]], atol=1e-15)


def test_third_step_of_adam_by_hand():
    slopes = iter([2.0, -1.0, 1.0])
    rule = Adam(lambda W, point, error, lr: np.array([[-lr * next(slopes)]]), 0.5, 0.75)
    for _ in range(2):
        rule(None, None, None, 0.1)
    # m: 1, 0, ½, and m̂ = ½/(1 − ⅛) = 4/7;  v: 1, 1, 1, and v̂ = 1/(1 − 27/64) = 64/37.
    expected = -0.1 * (4 / 7) / np.sqrt(64 / 37)
    np.testing.assert_allclose(rule(None, None, None, 0.1), [[expected]], rtol=1e-7)


@pytest.mark.parametrize("rule", [gradient, linearized])
def test_the_first_step_of_adam_has_the_signs_of_the_rule_and_one_size(rule):
    task = regression()
    point, error = at(task, task.W0)
    dW = Adam(rule)(task.W0, point, error, 0.01)
    np.testing.assert_allclose(dW, 0.01 * np.sign(rule(task.W0, point, error, 1.0)), rtol=1e-5)


@given(st.floats(1e-3, 1e3))
def test_adam_does_not_know_the_scale_of_the_loss(scale):
    task = regression()
    point, error = at(task, task.W0)
    one, other = Adam(linearized), Adam(linearized)
    for k in (1, 2):
        a = one(task.W0, point, k * error, 0.01)
        b = other(task.W0, point, scale * k * error, 0.01)
        np.testing.assert_allclose(a, b, rtol=1e-3)  # of ε in the smallest entries


def test_adam_depends_on_coordinates():
    """Rotate the neurons: the gradient's step rotates with them, Adam's does not."""
    task = regression()
    Q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))
    W, turned = task.W0, LinearRegression(Q.T @ task.W0 @ Q, task.x @ Q, task.y @ Q)
    for rule, kept in ((gradient, True), (linearized, True), (Adam(gradient), False)):
        here = copy.deepcopy(rule)(W, *at(task, W), 0.01)
        there = copy.deepcopy(rule)(turned.W0, *at(turned, turned.W0), 0.01)
        assert np.allclose(there, Q.T @ here @ Q, rtol=1e-8, atol=1e-10) is kept


def bounded(W, point, error, lr):
    """Return a gradient step whose entries stay below lr, however large the slope."""
    return np.clip(gradient(W, point, error, 1.0), -lr, lr)


bounded.proportional_to_lr = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "rule",
    [
        reparameterized,
        partial(reparameterized),
        Momentum(reparameterized),
        partial(Momentum(partial(reparameterized)), lr=1),
        InResponse(response_step),
        Momentum(Dale(linearized, [1, -1])),
        bounded,
        Momentum(bounded),
    ],
)
def test_adam_refuses_a_step_that_is_not_proportional_to_lr(rule):
    with pytest.raises(
        ValueError, match=r"those of .* are not.*InResponse\(Adam\(response_step\)\)"
    ):
        Adam(rule)


def test_adam_takes_every_step_that_is_proportional_to_lr():
    for rule in (gradient, partial(gradient, tol=1e-6), Momentum(linearized), constant(np.eye(2))):
        assert Adam(rule).proportional_to_lr


@pytest.mark.parametrize("wrap", [Momentum, Adam, lambda rule: Dale(rule, np.ones(8))])
def test_a_rule_inside_may_return_the_same_array_at_every_call(wrap):
    task = regression()
    W = np.abs(task.W0)
    W *= 0.5 / np.linalg.norm(W, 2)
    buffer = np.empty_like(W)

    def frugal(*arguments):
        buffer[:] = linearized(*arguments)
        return buffer

    here, there = wrap(frugal), wrap(linearized)
    for k in range(1, 4):
        point, error = at(task, W)
        dW, expected = (rule(W, point, k * error, 0.01) for rule in (here, there))
        assert np.array_equal(dW, expected)
        W = W + expected
        dW[:] = np.nan  # what was returned belongs to the caller


def test_a_rule_inside_dales_law_may_work_in_W():
    def careless(W, point, error, lr):
        W -= 1
        return W

    W = np.array([[0.5, -0.5], [2.0, -0.1]])
    assert np.array_equal(Dale(careless, [1, -1])(W, None, None, 0.1), [[-0.5, -1.5], [1.0, -1.1]])
    assert np.array_equal(W, [[0.5, -0.5], [2.0, -0.1]])


# ---- In the response ----


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("m", [4, 12])
def test_a_plain_step_in_the_response_is_the_reparameterized_rule(seed, m):
    task = regression(seed, m=m)
    point, error = at(task, task.W0)
    expected = reparameterized(task.W0, point, error, 0.05)
    found = InResponse(response_step)(task.W0, point, error, 0.05)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_gains_are_heeded():
    rng = np.random.default_rng(2)
    W = 0.3 * rng.standard_normal((5, 5)) / np.sqrt(5)
    point = solve(W, rng.standard_normal((6, 5)), lambda z: 2.0 * z)
    error = rng.standard_normal((6, 5))
    np.testing.assert_allclose(
        InResponse(response_step)(W, point, error, 0.01),
        reparameterized(W, point, error, 0.01),
        rtol=1e-9,
        atol=1e-12,
    )


def in_A(task, optimizer, lr, steps):
    """Run an optimizer on A itself, with no W anywhere; return A."""
    A = np.linalg.inv(np.eye(len(task.W0)) - task.W0)
    for _ in range(steps):
        slope = 2 / len(task.x) * (task.x @ A.T - task.y).T @ task.x
        A = A + optimizer(None, None, slope, lr)
    return A


def descend(W, point, slope, lr):
    return -lr * slope


@pytest.mark.parametrize(
    ("here", "there", "lr"),
    [
        (Momentum(response_step, 0.8), Momentum(descend, 0.8), 0.05),
        (Adam(response_step), Adam(descend), 0.01),
    ],
)
def test_a_memory_in_the_response_is_that_optimizer_on_A(here, there, lr):
    task = regression()
    history = train(task, InResponse(here), lr, 30, progress=False)
    A = np.linalg.inv(np.eye(8) - history.W)
    np.testing.assert_allclose(A, in_A(task, there, lr, 30), rtol=1e-7, atol=1e-8)


def test_a_step_onto_a_singular_response_is_refused():
    task = LinearRegression(np.zeros((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))
    with pytest.raises(SingularityError, match="lr=0.5 lands on a singular A"):
        InResponse(response_step)(task.W0, *at(task, task.W0), 0.5)


def test_the_response_of_a_nonlinear_network_is_refused():
    W = np.array([[0.2]])
    point = solve(W, [[1.0], [0.3]], "tanh")
    with pytest.raises(ValueError, match="no one A"):
        InResponse(response_step)(W, point, np.ones((2, 1)), 0.1)


# ---- Dale's law ----


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_no_weight_ever_has_the_wrong_sign(seed, lr):
    """Whatever the rule proposes: exactly, not to rounding."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1, 1], 6)
    W = signs * rng.exponential(size=(6, 6)) * rng.choice([0, 1], (6, 6))
    rule = Dale(constant(rng.standard_normal((6, 6))), signs)
    for _ in range(3):
        W = W + rule(W, None, None, lr)
        assert (signs * W >= 0).all()


@given(st.integers(0, 10_000))
def test_the_projection_is_the_nearest_matrix_that_obeys(seed):
    """No matrix that obeys is nearer to what was proposed, and what obeys already is left alone."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1, 1], 5)
    W, D = signs * rng.exponential(size=(5, 5)), 2 * rng.standard_normal((5, 5))
    new = W + Dale(constant(D), signs)(W, None, None, 1.0)
    for _ in range(20):
        other = signs * rng.exponential(size=(5, 5)) * rng.choice([0, 1], (5, 5))
        # The angle at the projection is obtuse, which holds for the nearest point of a convex set only.
        assert np.sum((W + D - new) * (other - new)) <= 1e-12
    obeys = signs * (W + D) >= 0
    assert np.array_equal(new[obeys], (W + D)[obeys]) and not new[~obeys].any()


def test_signs_are_kept_in_training_with_momentum_inside():
    rng = np.random.default_rng(0)
    signs = np.r_[np.ones(6), -np.ones(2)]
    W0, teacher = signs * rng.exponential(0.08, (2, 8, 8))
    x = rng.uniform(0.5, 1.5, (5, 8))
    task = Task(W0, x, solve(teacher, x, "relu").r, mean_squared_error, "relu")
    keep = {"W": lambda W, point: W}
    rule = Dale(Momentum(linearized), signs)
    history = train(task, rule, 0.02, 60, progress=False, record=keep)
    assert (signs * history.recorded["W"] >= 0).all() and (history.W == 0).any()
    assert history.loss[-1] < 0.1 * history.loss[0]


def test_weights_that_break_the_law_are_refused():
    with pytest.raises(ValueError, match="1 weights of W do not have the sign"):
        Dale(linearized, [1, -1])([[0.1, 0.1], [0.1, -0.1]], None, None, 0.1)
    with pytest.raises(ValueError, match="W must have 3 columns"):
        Dale(linearized, [1, 1, -1])(np.zeros((2, 2)), None, None, 0.1)


# ---- All of them ----

ALL = [
    Momentum(gradient),
    Momentum(linearized, 0.5),
    Adam(linearized),
    InResponse(Momentum(response_step)),
    Dale(Momentum(reparameterized), np.ones(8)),
]


def test_names_tell_them_apart():
    assert [rule.__name__ for rule in ALL] == [
        "gradient+momentum",
        "linearized+momentum",
        "linearized+adam",
        "response_step+momentum",
        "reparameterized+momentum+dale",
    ]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.__name__)
def test_they_pickle_with_their_memory(rule):
    task = regression()
    W = np.abs(task.W0)
    W *= 0.5 / np.linalg.norm(W, 2)
    point, error = at(task, W)
    rule = copy.deepcopy(rule)
    rule(W, point, error, 1e-3)
    twin = pickle.loads(pickle.dumps(rule))
    assert np.array_equal(rule(W, point, error, 1e-3), twin(W, point, error, 1e-3))
    assert twin.__name__ == rule.__name__


def test_a_run_leaves_their_memory_as_it_was():
    task, inner = regression(), Momentum(Adam(response_step), 0.5)
    rule = InResponse(inner)
    first, second = (train(task, rule, 0.01, 5, progress=False).loss for _ in range(2))
    assert np.array_equal(first, second) and inner.step is None


def test_a_sweep_takes_them():
    rates = {rule: [0.01] for rule in ALL[:4]}
    runs = sweep(regression, rates, 30, seeds=[1, 2], progress=False)
    assert len(runs) == 8 and all(run.loss[-1] < run.loss[0] for run in runs.values())


def test_float32_stays_float32():
    task = regression()
    W, x = task.W0.astype(np.float32), task.x.astype(np.float32)
    point = solve(W, x, "linear")
    error = np.ones_like(x)
    for rule in (Momentum(linearized), Adam(gradient), InResponse(response_step)):
        assert [rule(W, point, error, 1e-3).dtype for _ in range(2)] == [np.float32] * 2
    W = np.abs(W) / 10
    assert Dale(constant(np.ones_like(W)), np.ones(8))(W, None, None, 0.1).dtype == np.float32


@pytest.mark.parametrize("beta", [-0.1, 1.0, np.nan])
def test_wrong_arguments_are_named(beta):
    for make, name in (
        (lambda: Momentum(linearized, beta), "beta"),
        (lambda: Adam(linearized, beta), "beta1"),
        (lambda: Adam(linearized, 0.9, beta), "beta2"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be"):
            make()
    with pytest.raises(ValueError, match="epsilon must be positive"):
        Adam(linearized, epsilon=0)
    with pytest.raises(TypeError, match="rule must be a function"):
        Momentum("linearized")
    for signs in ([1, 0], [[1, -1]], [2, 1], 1):
        with pytest.raises(ValueError, match="signs must be"):
            Dale(linearized, signs)
    for n in (1, 3):
        with pytest.raises(ValueError, match="W must have 2 columns, one for each of signs"):
            Dale(linearized, [1, -1])(np.zeros((n, n)), None, None, 0.1)


def test_a_nonlinear_network_learns_by_each_of_them():
    rng = np.random.default_rng(3)
    W0, teacher = 0.05 * rng.standard_normal((2, 6, 6))
    x, curve = rng.uniform(0.3, 1, (5, 6)), powerlaw(2)
    task = Task(W0, x, solve(teacher, x, curve).r, mean_squared_error, curve)
    for rule, lr in ((Momentum(linearized), 0.02), (Adam(linearized), 0.005)):
        history = train(task, rule, lr, 100, progress=False)
        assert history.loss[-1] < 0.1 * history.loss[0]


def test_they_say_how_they_were_made_and_not_what_they_remember():
    rule = Dale(Momentum(partial(gradient, tol=1e-6), 0.5), [1, -1])
    assert repr(InResponse(Adam(response_step))) == (
        "InResponse(Adam(response_step, beta1=0.9, beta2=0.999, epsilon=1e-08))"
    )
    assert repr(rule).startswith(
        "Dale(Momentum(gradient(tol=1e-06), beta=0.5), signs=array(2,) int8 "
    )
    assert repr(rule) != repr(Dale(rule.rule, [-1, 1]))
    W = np.array([[0.1, -0.2], [0.3, -0.1]])
    before = repr(rule)
    rule(W, solve(W, np.ones((3, 2)), "linear"), np.ones((3, 2)), 0.01)
    assert repr(rule) == before
    assert rule.__name__ == "gradient(tol=1e-06)+momentum+dale"
