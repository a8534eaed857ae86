"""Training runs: what they compute, what they record, and how they end."""

import autograd.numpy as anp
import numpy as np
import pytest

from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.tasks import LinearRegression, Task
from fpnotes.training import train


@pytest.fixture(scope="module")
def task():
    return LinearRegression.published(n=20, m=10)


@pytest.mark.parametrize("rule", [gradient, reparameterized, linearized])
def test_every_rule_learns_a_linear_map(task, rule):
    history = train(task, rule, 0.3, 200, progress=False)
    assert history.loss.shape == (201,) and history.diverged_at is None
    assert history.loss[-1] < 0.1 * history.loss[0]


def test_reparameterized_training_is_gradient_descent_on_the_response(task):
    """k steps of ΔW₂ in W, and k steps of plain gradient descent in A, end at the same network."""
    history = train(task, reparameterized, 0.5, 50, progress=False)
    A = np.linalg.inv(np.eye(20) - task.W0)
    for _ in range(50):
        A = A - 0.5 * 2 * (task.x @ A.T - task.y).T @ task.x / len(task.x)
    assert np.allclose(history.W, np.eye(20) - np.linalg.inv(A), atol=1e-9)
    assert history.loss[-1] == pytest.approx(task.loss(task.x @ A.T, task.y), rel=1e-9)


def test_the_published_run_reaches_the_published_losses():
    """The first entries of our own run of [ZR24]'s protocol, to 1 %."""
    expected = {
        (gradient, 0.1): 5.975e-01,
        (gradient, 3.0): 6.287e-02,
        (reparameterized, 0.1): 1.108,
        (reparameterized, 3.0): 1.355e-03,
        (linearized, 3.0): 1.365e-03,
    }
    published = LinearRegression.published()
    for (rule, lr), loss in expected.items():
        history = train(published, rule, lr, 100, progress=False)
        assert history.loss[0] == pytest.approx(3.195, rel=1e-3)
        assert history.loss[100] == pytest.approx(loss, rel=1e-2)


def test_recorded_values_have_a_row_a_measurement(task):
    record = {"W": lambda W, point: W.copy(), "rate": lambda W, point: np.abs(point.r).max()}
    history = train(task, linearized, 0.1, 5, progress=False, record=record)
    assert history.recorded["W"].shape == (6, 20, 20)
    assert np.array_equal(history.recorded["W"][0], task.W0)
    assert np.array_equal(history.recorded["W"][-1], history.W)
    assert history.recorded["rate"].shape == (6,)


def test_the_tasks_weights_are_left_as_they_were(task):
    before = task.W0.copy()
    train(task, gradient, 0.1, 3, progress=False)
    assert np.array_equal(task.W0, before)


def test_a_task_may_give_only_its_loss():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 8)), rng.integers(0, 2, 6)

    def loss(r, y):
        return anp.mean(anp.logaddexp(0, -(2 * y - 1) * anp.sum(r, axis=1)))

    task = Task(0.5 * rng.standard_normal((8, 8)) / np.sqrt(8), x, y, loss, "tanh")
    history = train(task, gradient, 0.1, 30, progress=False)
    assert history.loss[-1] < history.loss[0]


def test_a_step_onto_a_singularity_is_recorded_and_keeps_what_came_before():
    """For one neuron w = 1 is a singularity; this rule walks onto it in three steps."""
    task = LinearRegression.one_neuron(0.25)
    history = train(task, lambda W, point, error, lr: np.array([[lr]]), 0.25, 10, progress=False)
    assert history.diverged_at == 3 and "did not converge" in history.reason
    assert history.loss.shape == (3,) and np.isfinite(history.loss).all()
    assert history.W.item() == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_is_not_finite_ends_the_run(task, bad):
    def rule(W, point, error, lr):
        return np.full_like(W, bad)

    history = train(task, rule, 0.1, 10, progress=False)
    assert history.diverged_at == 0 and "update is not finite" in history.reason
    assert np.array_equal(history.W, task.W0) and history.loss.shape == (1,)


def test_an_interrupt_leaves_a_usable_history(task):
    calls = []

    def rule(W, point, error, lr):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return linearized(W, point, error, lr)

    with pytest.warns(RuntimeWarning, match="interrupted after 3 of 10 steps"):
        history = train(task, rule, 0.1, 10, progress=False)
    whole = train(task, linearized, 0.1, 3, progress=False)
    assert history.interrupted and history.diverged_at is None
    assert np.array_equal(history.W, whole.W) and np.array_equal(history.loss, whole.loss)


def test_a_mistake_in_a_rule_is_not_taken_for_divergence(task):
    with pytest.raises(ZeroDivisionError):
        train(task, lambda W, point, error, lr: 1 / 0, 0.1, 10, progress=False)


def test_the_seed_decides_the_batches():
    class Sampled(LinearRegression):
        def batch(self, step, rng):
            rows = rng.choice(len(self.x), 4, replace=False)
            return self.x[rows], self.y[rows]

    published = LinearRegression.published(n=8, m=20)
    task = Sampled(published.W0, published.x, published.y)
    a, b, c = (train(task, linearized, 0.1, 5, seed=s, progress=False).loss for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("lr", "steps", "message"), [(0, 5, "lr must be positive"), (1, 0, "steps must be at least 1")]
)
def test_wrong_arguments_are_named(task, lr, steps, message):
    with pytest.raises(ValueError, match=message):
        train(task, gradient, lr, steps, progress=False)
