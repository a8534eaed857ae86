"""Training runs: what they compute, what they record, and how they end."""

import signal

import autograd.numpy as anp
import numpy as np
import pytest

from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.solvers import solve
from fpnotes.tasks import LinearRegression, Task
from fpnotes.training import History, train


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
        def batches(self, rng):
            while True:
                rows = rng.choice(len(self.x), 4, replace=False)
                yield self.x[rows], self.y[rows]

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


def test_recording_now_and_then_says_when(task):
    record = {"loss": lambda W, point: task.loss(point.r, task.y)}
    history = train(task, linearized, 0.1, 7, progress=False, record=record, every=3)
    assert history.recorded["step"].tolist() == [0, 3, 6, 7]
    assert np.array_equal(history.recorded["loss"], history.loss[[0, 3, 6, 7]])

    def both(task, W, point):
        return {"loss": task.loss(point.r, task.y), "norm": np.linalg.norm(W)}

    again = train(task, linearized, 0.1, 7, progress=False, record=both, every=3).recorded
    assert set(again) == {"step", "loss", "norm"} and again["norm"].shape == (4,)
    assert np.array_equal(again["loss"], history.recorded["loss"])
    with pytest.raises(ValueError, match="'step'"):
        train(task, linearized, 0.1, 7, progress=False, record={"step": print})


def test_a_rule_with_a_state_starts_anew_in_every_run(task):
    class Momentum:
        dW = 0.0

        def __call__(self, *arguments):
            self.dW = 0.9 * self.dW + linearized(*arguments)
            return self.dW

    rule = Momentum()
    first, second = (train(task, rule, 0.01, 5, progress=False).loss for _ in range(2))
    assert np.array_equal(first, second) and rule.dW == 0
    assert first[-1] < train(task, linearized, 0.01, 5, progress=False).loss[-1]


@pytest.mark.parametrize("end", ["finished", "diverged", "interrupted"])
def test_a_saved_history_is_read_back_whole(task, tmp_path, end):
    record = {"W": lambda W, point: W.copy()}
    history = train(task, linearized, 0.1, 3, progress=False, record=record)
    if end == "diverged":
        history.diverged_at, history.reason = 3, "the loss is not finite"
    history.interrupted = end == "interrupted"
    history.save(tmp_path / "run.npz", "as told")
    again, settings = History.load(tmp_path / "run.npz")
    assert settings == "as told" and list(tmp_path.iterdir()) == [tmp_path / "run.npz"]
    assert np.array_equal(again.loss, history.loss) and np.array_equal(again.W, history.W)
    assert again.recorded.keys() == history.recorded.keys() == {"step", "W"}
    assert all(np.array_equal(again.recorded[k], v) for k, v in history.recorded.items())
    assert again.diverged_at == history.diverged_at and again.reason == history.reason
    assert again.interrupted == history.interrupted


def test_a_history_says_in_a_line_how_it_went(task):
    history = train(task, linearized, 0.1, 5, progress=False, record={"W": lambda W, point: W})
    first, last = history.loss[[0, -1]]
    assert repr(history) == (
        f"History(5 steps, loss {first:.4g} -> {last:.4g}, 20 neurons, recorded step, W)"
    )
    history.interrupted = True
    assert repr(history).endswith("recorded step, W, interrupted)")
    nothing = History(np.empty(0), np.eye(2), diverged_at=0, reason="the loss is not finite")
    assert repr(nothing) == "History(0 steps, 2 neurons, diverged at 0: the loss is not finite)"
    large = History(np.ones(10_000), np.ones((1000, 1000)), {"W": np.ones((9, 1000, 1000))})
    assert len(repr(large)) < 100 and "\n" not in repr(large)


# ---- Stopped by hand, wherever it is just then ----


@pytest.fixture
def ctrl_c():
    """Python's own answer to Ctrl-C, which a process started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("where", ["solve", "loss", "record", "rule"])
def test_an_interrupt_anywhere_leaves_what_was_finished(where, task):
    """A signal, as Ctrl-C sends it, at the fourth call of each of the things that a step does."""
    calls = dict.fromkeys(["solve", "loss", "record", "rule"], 0)

    def stopping(name, function):
        def call(*arguments, **options):
            calls[name] += 1
            if name == where and calls[name] == 4:
                signal.raise_signal(signal.SIGINT)
            return function(*arguments, **options)

        return call

    stopped = LinearRegression(task.W0, task.x, task.y)
    object.__setattr__(stopped, "loss", stopping("loss", task.loss))
    with pytest.warns(RuntimeWarning, match="interrupted after 3 of 10 steps"):
        history = train(
            stopped,
            stopping("rule", linearized),
            0.1,
            10,
            progress=False,
            solve=stopping("solve", solve),
            record={"rate": stopping("record", lambda W, point: np.abs(point.r).max())},
        )
    whole = train(task, linearized, 0.1, 3, progress=False)
    assert history.interrupted and history.diverged_at is None and "interrupted" in repr(history)
    np.testing.assert_allclose(history.W, whole.W, rtol=1e-12)
    np.testing.assert_allclose(history.loss, whole.loss[: len(history.loss)], rtol=1e-12)
    assert len(history.loss) == (3 if where in ("solve", "loss") else 4)
    assert len(history.recorded["rate"]) == len(history.recorded["step"]) in (3, 4)
