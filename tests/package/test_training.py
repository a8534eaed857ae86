"""Training runs: what they compute, what they record, and how they end."""

import io
import json
import os
import pickle
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import elementwise_grad
from tqdm import tqdm

from fpnotes import _progress
from fpnotes._blas import one_blas_thread
from fpnotes._linear import Factors
from fpnotes.optimizers import Adam, Dale, InResponse, Momentum, response_step
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.solvers import solve
from fpnotes.tasks import LinearRegression, Task, mean_squared_error
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

    with pytest.warns(RuntimeWarning, match="interrupted after 3 of 10 steps") as warned:
        history = train(task, rule, 0.1, 10, progress=False)
    assert warned[0].filename == __file__  # where train was called
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
    ("lr", "steps", "message"), [(0, 5, "lr must be positive"), (1, -1, "steps must be at least 0")]
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
        history = replace(history, diverged_at=3, reason="the loss is not finite")
    history = replace(history, interrupted=end == "interrupted")
    history.save(tmp_path / "run.npz", "20 neurons")
    again, settings = History.load(tmp_path / "run.npz")
    assert settings == "20 neurons" and list(tmp_path.iterdir()) == [tmp_path / "run.npz"]
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
    history = replace(history, interrupted=True)
    assert repr(history).endswith("recorded step, W, interrupted)")
    nothing = History(np.empty(0), np.eye(2), diverged_at=0, reason="the loss is not finite")
    assert repr(nothing) == "History(0 steps, 2 neurons, diverged at 0: the loss is not finite)"
    broken = History(np.empty(0), np.eye(2), diverged_at=0, reason="f′ is infinite")
    assert repr(broken).isascii()  # any console can print it
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


# ---- What is the caller's stays the caller's ----


class Batched(LinearRegression):
    """A regression on batches of 4 samples, in an order that the seed decides; the last of an epoch has 2."""

    def batches(self, rng) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            order = rng.permutation(len(self.x))
            for k in range(0, len(order), 4):
                yield self.x[order[k : k + 4]], self.y[order[k : k + 4]]


@pytest.fixture
def batched():
    rng = np.random.default_rng(0)
    W0 = 0.3 * rng.standard_normal((6, 6)) / np.sqrt(6)
    return Batched(W0, rng.standard_normal((10, 6)), rng.standard_normal((10, 6)))


def same(one, other):
    """Assert that two histories hold the same numbers, bit for bit."""
    for name in ("loss", "W", "dropped"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.steps, one.diverged_at) == (other.steps, other.diverged_at)
    assert list(one.recorded) == list(other.recorded)
    for name, values in one.recorded.items():
        assert values.dtype == other.recorded[name].dtype
        if values.dtype == object:
            pairs = zip(values, other.recorded[name], strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)
        else:
            assert np.array_equal(values, other.recorded[name], equal_nan=values.dtype.kind == "f")


def test_every_function_may_work_in_place(batched):
    """A loss, a curve, a rule and a record that write on what they get train as those that do not."""

    def activation(z):
        z *= 0.5
        return z

    def loss(r, y):
        r -= y
        y = 0 * y if isinstance(y, np.ndarray) else y
        return anp.sum(r * r) / len(r)

    class Careless(Batched):
        def error(self, r, y):
            r -= y
            r *= 2 / len(r)
            y[:] = np.nan
            return r

    def rule(W, point, error, lr):
        dW = linearized(W, point, error, lr)
        W[:], error[:] = 0, 0
        return dW

    def record(W, point):
        W[:] = 7
        return 0

    careful = Batched(batched.W0, batched.x, batched.y)
    careless = Careless(batched.W0, batched.x, batched.y)
    object.__setattr__(careless, "loss", loss)
    for task in (careful, careless):
        object.__setattr__(
            task, "activation", Task(task.W0, task.x, task.y, loss, activation).activation
        )
    object.__setattr__(
        careful,
        "activation",
        Task(careful.W0, careful.x, careful.y, loss, lambda z: 0.5 * z).activation,
    )
    options = {"seed": 1, "progress": False}
    plain = train(careful, linearized, 0.02, 8, **options)
    history = train(careless, rule, 0.02, 8, record={"0": record}, **options)
    np.testing.assert_allclose(history.loss, plain.loss, rtol=1e-12)
    np.testing.assert_allclose(history.W, plain.W, rtol=1e-10, atol=1e-14)


def test_what_is_returned_may_be_used_again_by_its_owner(batched):
    step, kept = np.empty_like(batched.W0), np.empty(6)

    def rule(*arguments):
        step[:] = linearized(*arguments)
        return step

    def record(W, point):
        kept[:] = W[0]
        return kept

    class Buffered(Batched):
        def batches(self, rng):
            x, y = np.empty((4, 6)), np.empty((4, 6))
            for next_x, next_y in super().batches(rng):
                if len(next_x) == 4:
                    x[:], y[:] = next_x, next_y
                    yield x, y

    class Fresh(Batched):
        def batches(self, rng):
            return (pair for pair in super().batches(rng) if len(pair[0]) == 4)

    options = {"seed": 1, "progress": False}
    task = Buffered(batched.W0, batched.x, batched.y)
    history = train(task, rule, 0.02, 6, record={"row": record}, **options)
    task = Fresh(batched.W0, batched.x, batched.y)
    same(history, train(task, linearized, 0.02, 6, record={"row": lambda W, _: W[0]}, **options))


def test_work_in_the_arrays_of_a_point_is_refused_with_a_remedy(task):
    def rule(W, point, error, lr):
        point.r[:] = 0
        return error.T @ point.r

    with pytest.raises(ValueError, match="read-only") as failure:
        train(task, rule, 0.1, 3, progress=False)
    assert any("work in a copy" in note for note in failure.value.__notes__)


def test_a_history_is_its_own_and_read_only(task):
    loss, W, rows = np.zeros(3), np.eye(2), np.ones(3)
    history = History(loss, W, {"rows": rows})
    for array in (loss, W, rows):
        array += 1
    assert not history.loss.any() and (history.W == np.eye(2)).all()
    assert (history.recorded["rows"] == 1).all()
    history = train(task, gradient, 0.1, 3, progress=False, record={"W": lambda W, point: W})
    for array in (history.loss, history.W, history.recorded["W"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError, match="cannot assign to field 'W'"):
        history.W = W  # type: ignore[misc]


def test_histories_are_compared_by_identity(task):
    one, other = (train(task, gradient, 0.1, 3, progress=False) for _ in range(2))
    assert one == one and one != other and one in [other, one] and len({one, other}) == 2


# ---- A rule's state: wherever it is, a run begins with what was given ----


def in_a_closure(beta=0.9):
    step = 0.0

    def rule(W, point, error, lr):
        nonlocal step
        step = beta * step + gradient(W, point, error, lr)
        return step

    return rule


def in_an_array():
    step = np.zeros((6, 6))

    def rule(W, point, error, lr):
        step[:] = 0.5 * step + gradient(W, point, error, lr)
        return step

    return rule


def in_a_list():
    past = []

    def rule(W, point, error, lr):
        past.append(gradient(W, point, error, lr))
        return sum(past[-3:])

    return rule


def in_a_tuple():
    state = (0, 0.0)

    def rule(W, point, error, lr):
        nonlocal state
        state = state[0] + 1, 0.5 * state[1] + gradient(W, point, error, lr)
        return state[1] / state[0]

    return rule


def in_a_default():
    def rule(W, point, error, lr, memory={}):  # noqa: B006 (a default that remembers is the point)
        memory["step"] = 0.5 * memory.get("step", 0) + gradient(W, point, error, lr)
        return memory["step"]

    return rule


def in_its_own_attribute():
    def rule(W, point, error, lr):
        state = vars(rule)
        rule.step = 0.5 * state.get("step", 0) + gradient(W, point, error, lr)  # type: ignore
        return state["step"]

    return rule


def in_a_generator_of_noise():
    rng = np.random.default_rng(5)

    def rule(W, point, error, lr):
        return gradient(W, point, error, lr) + 1e-3 * rng.standard_normal(W.shape)

    return rule


class InNewAttributes:
    def __call__(self, *arguments):
        self.step = 0.9 * getattr(self, "step", 0) + gradient(*arguments)
        return self.step


class Mean:
    """The mean of the steps of several rules."""

    def __init__(self, *rules):
        self.rules = rules

    def __call__(self, *arguments):
        return sum(rule(*arguments) for rule in self.rules) / len(self.rules)


STATEFUL = {
    "momentum": lambda: Momentum(linearized, 0.5),
    "adam": lambda: Adam(linearized),
    "dale": lambda: Dale(Momentum(gradient), np.ones(6)),
    "response": lambda: InResponse(Momentum(response_step)),
    "response, adam": lambda: InResponse(Adam(response_step)),
    "nested": lambda: Momentum(Adam(gradient), 0.3),
    "partial": lambda: partial(Momentum(partial(gradient, tol=1e-9))),
    "bound method": lambda: Momentum(gradient).__call__,
    "closure": in_a_closure,
    "closure in an optimizer": lambda: Momentum(in_a_closure(0.5), 0.2),
    "closure in a partial": lambda: partial(in_a_closure()),
    "array": in_an_array,
    "list": in_a_list,
    "tuple": in_a_tuple,
    "default": in_a_default,
    "own attribute": in_its_own_attribute,
    "noise": in_a_generator_of_noise,
    "new attributes": InNewAttributes,
    "several rules": lambda: Mean(Momentum(gradient, 0.5), in_a_closure(), gradient),
}
any_state = pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL)


def positive(task):
    """Return a task whose W0 obeys Dale's law for neurons that all excite."""
    return type(task)(np.abs(task.W0), task.x, task.y)


@any_state
def test_state_starts_as_given_wherever_it_is(batched, make):
    task, rule = positive(batched), make()
    first, second = (train(task, rule, 0.01, 6, seed=1, progress=False) for _ in range(2))
    same(first, second)
    same(first, train(task, make(), 0.01, 6, seed=1, progress=False))


@any_state
@pytest.mark.parametrize("stored", [False, True], ids=["memory", "file"])
def test_two_halves_are_the_whole(batched, make, stored, tmp_path):
    """With batches drawn, a schedule, and recordings at steps that do not divide a half."""
    task, rule = positive(batched), make()
    run = partial(
        train,
        task,
        rule,
        lambda k: 0.02 / (1 + k / 5),
        seed=3,
        progress=False,
        every=4,
        record={"W": lambda W, point: W, "size": lambda W, point: len(point.r)},
    )
    whole, half = run(14), run(7)
    assert half.recorded["step"].tolist() == [0, 4, 7]
    if stored:
        half.save(tmp_path / "half.npz")
        half, _ = History.load(tmp_path / "half.npz")
    same(run(7, resume=half), whole)
    same(run(0, resume=half), half)


def test_a_run_goes_on_more_than_once_and_leaves_the_first_part_alone(batched):
    run = partial(train, batched, Momentum(gradient), 0.01, progress=False)
    part = run(3, seed=2)
    before = part.W.copy()
    for _ in range(2):
        part_2 = run(4, resume=part)  # the seed is known
        same(run(5, resume=part_2, seed=2), run(12, seed=2))
    assert np.array_equal(part.W, before) and part.steps == 3


def test_what_is_recorded_for_the_first_time_is_none_before(batched):
    half = train(batched, gradient, 0.01, 2, seed=0, progress=False)
    record = {"n": lambda W, point: len(point.r)}
    assert train(batched, gradient, 0.01, 2, resume=half, progress=False, record=record).recorded[
        "n"
    ].tolist() == [2, 4, 4]
    half = train(batched, gradient, 0.01, 2, seed=0, progress=False, record=record)
    more = {**record, "m": lambda W, point: 1}
    history = train(batched, gradient, 0.01, 1, resume=half, progress=False, record=more)
    assert history.recorded["m"].tolist() == [None, None, 1, 1]


class Stopping:
    """A rule with a memory that is stopped at one of its calls, after it has changed its memory."""

    def __init__(self, call, stop):
        self.step, self.calls, self.call, self.stop = 0.0, 0, call, stop

    def __call__(self, W, point, error, lr):
        self.step = 0.5 * self.step + gradient(W, point, error, lr)
        self.calls += 1
        if self.calls == self.call:
            return self.stop(W)
        return self.step


def interrupt(W):
    raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [interrupt, lambda W: np.inf * W])
@pytest.mark.filterwarnings("ignore:interrupted after:RuntimeWarning")
def test_a_run_that_was_stopped_goes_on_where_it_was(batched, stop):
    """Its weights and its rule's memory are those of the same step, whenever it is stopped."""
    run = partial(train, batched, lr=0.02, seed=0, progress=False)
    stopped = run(rule=Stopping(5, stop), steps=9)
    assert stopped.steps == 4 and len(stopped.loss) == 5
    # The same rule with a memory of four steps, and no stop: what was stored, given to it by hand.
    whole = run(rule=Stopping(0, stop), steps=9)
    assert np.array_equal(stopped.loss, whole.loss[:5])
    again = run(rule=Stopping(5, stop), steps=3, resume=stopped)
    assert again.steps == 4 and (again.interrupted or again.diverged_at == 4)


# ---- A run that cannot go on says why ----


def test_another_run_is_not_resumed(batched, tmp_path):
    half = train(batched, Momentum(gradient, 0.5), 0.01, 3, seed=1, progress=False)
    half.save(tmp_path / "half.npz")
    loaded, _ = History.load(tmp_path / "half.npz")
    other_data = Batched(batched.W0, batched.x + 1, batched.y)
    smaller = LinearRegression(np.zeros((3, 3)), batched.x[:, :3], batched.y[:, :3])
    for history in (half, loaded):
        go_on = partial(train, lr=0.01, steps=2, progress=False, resume=history)
        for rule in (gradient, Momentum(gradient, 0.9), Momentum(linearized, 0.5), in_a_closure()):
            with pytest.raises(
                ValueError, match=r"resume holds a run of another rule: gradient\+mom"
            ):
                go_on(batched, rule)
        rule = Momentum(gradient, 0.5)
        with pytest.raises(ValueError, match="resume is of a network of 6 neurons, and task has 3"):
            go_on(smaller, rule)
        with pytest.raises(ValueError, match="resume is of a run with seed 1, not 2"):
            go_on(batched, rule, seed=2)
        with pytest.raises(ValueError, match="resume .* saw another batch at step 3"):
            go_on(other_data, rule)
        assert go_on(batched, rule).steps == 5


@pytest.mark.parametrize("change", ["loss", "curve"])
def test_a_task_whose_loss_or_curve_is_another_is_not_resumed(task, change):
    def halved(r, y):
        return mean_squared_error(r, y) / 2

    def made(loss, curve):
        return Task(task.W0, task.x, task.y, loss, curve)

    half = train(made(mean_squared_error, "linear"), linearized, 0.1, 3, progress=False)
    other = made(halved, "linear") if change == "loss" else made(mean_squared_error, "tanh")
    with pytest.raises(ValueError, match="resume .* at the same weights and batch.*W0 is resume.W"):
        train(other, linearized, 0.1, 3, progress=False, resume=half)
    same = made(mean_squared_error, lambda z: 1.0 * z)
    assert train(same, linearized, 0.1, 3, progress=False, resume=half, tol=1e-4).steps == 6


def test_rules_that_differ_in_their_code_or_their_variables_are_others(batched):
    def scaled(factor):
        return lambda *arguments: factor * gradient(*arguments)

    go_on = partial(train, batched, lr=0.01, steps=2, seed=1, progress=False)
    for rule, other in (
        (scaled(2.0), scaled(3.0)),
        (lambda *a: 2 * gradient(*a), lambda *a: 3 * gradient(*a)),
        (lambda *a: +gradient(*a), lambda *a: -gradient(*a)),
        (
            lambda *a: (a[0].ndim in {2, 3}) * gradient(*a),
            lambda *a: (a[0].ndim in {2, 4}) * gradient(*a),
        ),
    ):
        half = go_on(rule=rule)
        go_on(rule=rule, resume=half)
        with pytest.raises(ValueError, match="resume holds a run of another rule"):
            go_on(rule=other, resume=half)


def test_batches_drawn_without_a_seed_are_not_resumed(batched):
    half = train(batched, gradient, 0.01, 3, progress=False)
    with pytest.raises(ValueError, match="drawn at random and the run had no seed"):
        train(batched, gradient, 0.01, 3, progress=False, resume=half)


def test_a_state_that_is_no_numbers_is_refused_when_the_run_should_go_on(batched, tmp_path):
    class Odd:
        def __init__(self):
            self.past = np.random.RandomState(0)

        def __call__(self, *arguments):
            self.past.rand()
            return gradient(*arguments)

    half = train(batched, Odd(), 0.01, 3, seed=0, progress=False)
    half.save(tmp_path / "half.npz")
    for history in (half, History.load(tmp_path / "half.npz")[0]):
        with pytest.raises(ValueError, match=r"rule Odd is not stored, .*rule\.past .*RandomState"):
            train(batched, Odd(), 0.01, 3, seed=0, progress=False, resume=history)


@pytest.mark.parametrize(
    ("resume", "error", "message"),
    [
        ("half.npz", TypeError, "resume must be a History, not str"),
        (
            History(np.zeros(3), np.zeros((6, 6))),
            ValueError,
            "must be a History that train returned",
        ),
    ],
)
def test_what_is_no_run_is_not_resumed(batched, resume, error, message):
    with pytest.raises(error, match=message):
        train(batched, gradient, 0.1, 3, progress=False, resume=resume)


def closure_over(thing):
    def rule(*arguments):
        assert thing is not None
        return gradient(*arguments)

    return rule


class Holder:
    def __init__(self, thing):
        self.thing = thing

    def __call__(self, *arguments):
        return gradient(*arguments)


@pytest.mark.parametrize("hold", [closure_over, Holder, lambda thing: Momentum(Holder(thing))])
def test_a_rule_without_a_copy_is_named(task, hold, tmp_path):
    with open(tmp_path / "log", "w") as log:
        for thing in ((0.1 / k for k in range(1, 9)), log):
            with pytest.raises(
                TypeError, match="rule .* cannot be copied .* starts as it was given"
            ):
                train(task, hold(thing), 0.1, 3, progress=False)


def test_functions_without_state_are_not_copied(task):
    """autograd, for one, knows its functions by identity, and could not differentiate a copy."""

    def sloped(curve):
        steps = []

        def rule(W, point, error, lr):
            steps.append(lr)
            return gradient(W, point, error * elementwise_grad(curve)(point.r), lr)

        return rule

    assert train(task, sloped(anp.tanh), 0.1, 3, progress=False).steps == 3


# ---- No finished work is lost, and a failure has an address ----


def test_a_recorded_value_may_change_its_shape(batched, tmp_path):
    """The last batch of an epoch is smaller: rows of unequal length are kept as objects."""
    record = {
        "residual": lambda W, point: point.residual,
        "kind": lambda W, point: None if len(point.r) == 4 else "small",
        "limit": lambda W, point: np.inf if len(point.r) == 4 else np.nan,
        "nested": lambda W, point: {"sizes": [len(point.r), W]},
    }
    history = train(batched, gradient, 0.01, 5, seed=0, progress=False, record=record)
    assert [len(row) for row in history.recorded["residual"]] == [4, 4, 2, 4, 4, 2]
    assert history.recorded["kind"].tolist() == [None, None, "small"] * 2
    assert history.recorded["limit"].tolist()[:2] == [np.inf, np.inf]
    history.save(tmp_path / "run.npz")
    again, _ = History.load(tmp_path / "run.npz")
    assert list(again.recorded) == ["step", *record]
    for name in ("residual", "kind"):
        rows = zip(again.recorded[name], history.recorded[name], strict=True)
        assert all(np.array_equal(a, b) for a, b in rows)
    sizes, W = again.recorded["nested"][2]["sizes"]
    assert sizes == 2 and np.array_equal(W, history.recorded["nested"][2]["sizes"][1])


def test_a_name_that_is_missing_at_a_step_is_none_there(batched):
    def record(task, W, point):
        return {"n": 4} if len(point.r) == 4 else {"small": 2}

    history = train(batched, gradient, 0.01, 3, seed=0, progress=False, record=record)
    assert history.recorded["n"].tolist() == [4, 4, None, 4]
    assert history.recorded["small"].tolist() == [None, None, 2, None]


def test_what_a_file_cannot_hold_is_named_before_anything_is_written(batched, tmp_path):
    record = {"point": lambda W, point: point}
    history = train(batched, gradient, 0.01, 2, seed=0, progress=False, record=record)
    assert history.recorded["point"][1].r.shape == (4, 6)
    with pytest.raises(TypeError, match=r"recorded\['point'\] cannot be saved: FixedPoint"):
        history.save(tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["error dJ/dr", "weights", "loss", "update"])
def test_numbers_that_are_not_finite_end_a_run_wherever_they_are(kind):
    """A sum of finite weights can overflow, too."""

    class Spoiled(LinearRegression):
        def error(self, r, y):
            return np.full_like(r, np.nan) if kind == "error dJ/dr" else super().error(r, y)

    one = np.ones((1, 1))
    task = Spoiled(-1e308 * one, one, one)
    if kind == "loss":
        object.__setattr__(task, "loss", lambda r, y: np.inf)
    dW = np.nan if kind == "update" else -1e308
    history = train(task, lambda W, *_: np.full_like(W, dW), 0.1, 9, progress=False)
    assert f"{kind} " in history.reason and "not finite" in history.reason
    assert history.diverged_at == history.steps == 0 and history.W.item() == -1e308


def test_the_slope_of_a_distance_at_its_minimum_ends_the_run():
    def distance(r, y):
        return anp.sqrt(anp.sum((r - y) ** 2))

    nothing = np.zeros((1, 1))
    task = Task(nothing, nothing, nothing, distance, "linear")
    history = train(task, gradient, 0.1, 3, progress=False)
    assert history.diverged_at == 0 and "dJ/dr is not finite" in history.reason
    assert history.loss.tolist() == [0.0]


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda W: None, TypeError, "rule mine must return real numbers .* not a NoneType"),
        (lambda W: 1j * W, TypeError, r"rule mine must return real numbers of shape \(20, 20\)"),
        (lambda W: W[0], ValueError, r"rule mine .* not numbers of shape \(20,\)"),
        (lambda W: 0.0, ValueError, r"rule mine .* not numbers of shape \(\)"),
        (lambda W: W[None], ValueError, r"rule mine .* not numbers of shape \(1, 20, 20\)"),
        (lambda W: W.astype(str), TypeError, "rule mine must return real numbers"),
    ],
)
def test_a_step_of_the_wrong_kind_names_the_rule(task, returned, error, message):
    def mine(W, point, error, lr):
        return returned(W)

    with pytest.raises(error, match=message):
        train(task, mine, 0.1, 3, progress=False)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda r, y: 1j, "task.loss must return a real number"),
        (lambda r, y: r[0], r"task.loss must return a real number, not numbers of shape \(20,\)"),
        (lambda r, y: None, "task.loss must return a real number, not a NoneType"),
    ],
)
def test_a_loss_that_is_no_number_is_refused(task, loss, message):
    with pytest.raises(TypeError, match=message):
        train(Task(task.W0, task.x, task.y, loss), gradient, 0.1, 3, progress=False)


def test_an_error_of_the_wrong_shape_is_refused(task):
    class Wrong(LinearRegression):
        def error(self, r, y):
            return super().error(r, y)[:, :1]

    wrong = Wrong(task.W0, task.x, task.y)
    with pytest.raises(ValueError, match=r"task.error must return .* of shape \(10, 20\)"):
        train(wrong, gradient, 0.1, 3, progress=False)


@pytest.mark.parametrize(
    "where", ["rule mine", "task.loss", "record['mine']", "solve", "task.error"]
)
def test_an_error_of_the_callers_says_where_and_brings_the_run_along(task, where):
    calls = {}

    def failing(name, function):
        def mine(*arguments, **options):
            calls[name] = calls.get(name, 0) + 1
            if name == where and calls[name] == 4:
                raise KeyError("mine")
            return function(*arguments, **options)

        return mine

    class Mine(LinearRegression):
        error = failing("task.error", LinearRegression.error)

    mine = Mine(task.W0, task.x, task.y)
    object.__setattr__(mine, "loss", failing("task.loss", task.loss))
    with pytest.raises(KeyError, match="mine") as failure:
        train(
            mine,
            failing("rule mine", linearized),
            0.1,
            10,
            progress=False,
            solve=failing("solve", solve),
            record={"mine": failing("record['mine']", lambda W, point: 0)},
        )
    assert f"raised by {where} at step 3 of 10" in failure.value.__notes__
    whole = train(task, linearized, 0.1, 3, progress=False)
    history = vars(failure.value)["history"]
    assert history.steps == 3
    np.testing.assert_allclose(history.W, whole.W, rtol=1e-12)
    assert vars(pickle.loads(pickle.dumps(failure.value)))["history"].steps == 3


def test_batches_that_end_and_batches_without_samples_are_refused(task):
    class Ending(LinearRegression):
        def batches(self, rng):
            yield from 3 * [(self.x, self.y)]

    class Empty(LinearRegression):
        def batches(self, rng):
            while True:
                yield self.x[:0], self.y[:0]

    with pytest.raises(ValueError, match="batches ended before step 3") as failure:
        train(Ending(task.W0, task.x, task.y), gradient, 0.1, 10, progress=False)
    assert vars(failure.value)["history"].steps == 3
    with pytest.raises(ValueError, match="task has no samples"):
        train(Empty(task.W0, task.x, task.y), gradient, 0.1, 10, progress=False)


# ---- Learning rates, options, samples left out ----


def test_a_learning_rate_may_depend_on_the_step(task):
    history = train(task, linearized, lambda k: 0.1 if k < 3 else 0.2, 5, progress=False)
    three = train(task, linearized, 0.1, 3, progress=False)
    same(history, train(task, linearized, 0.2, 2, progress=False, resume=three))


@pytest.mark.parametrize(
    ("lr", "error", "message"),
    [
        ((0.1 for _ in range(9)), TypeError, r"a function of the step, lr\(k\), not a generator"),
        ([0.1, 0.2], TypeError, r"a function of the step, lr\(k\), not a list"),
        (lambda: 0.1, TypeError, r"lr must be a function of \(k\): too many"),
        (lambda k: 3 - k, ValueError, r"lr\(3\) must be positive and finite, not 0"),
        (lambda k: None, TypeError, r"lr\(0\) must be a positive number, not None"),
        ("0.1", TypeError, "lr must be a positive number"),
    ],
)
def test_a_wrong_learning_rate_is_named_before_the_first_step(task, lr, error, message):
    def rule(*arguments):
        raise AssertionError("a step was taken")

    with pytest.raises(error, match=message):
        train(task, rule, lr, 5, progress=False)


@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"progess": False}, "no option 'progess'; did you mean 'progress'"),
        ({"max_step": 5}, "no option 'max_step'; did you mean 'max_steps'"),
        ({"solvers": 5}, r"no option 'solvers'; did you mean 'solve'\?"),
        ({"zzz": 5}, "no option 'zzz'$"),
        (
            {"rule": "gradient"},
            r"rule must be a function of \(W, point, error, lr\), not 'gradient'",
        ),
        ({"rule": Momentum}, r"rule must be a function of \(W, point, error, lr\): too many"),
        (
            {"record": {"r": lambda W: 0}},
            r"record\['r'\] must be a function of \(W, point\): too many",
        ),
        ({"record": lambda W, point: {}}, r"record, .* must be a function of \(task, W, point\)"),
        ({"record": {"r": 5}}, r"record\['r'\] must be a function of \(W, point\), not 5"),
        ({"record": [print]}, "record must be a dict of functions by name"),
        ({"record": {1: print}}, "record must be a dict of functions by name"),
        (
            {"record": lambda task, W, point: 5},
            "record must return a dict of values by name, not 5",
        ),
        ({"seed": 1.5}, "seed must be a whole number"),
        (
            {"task": "digits"},
            "task must be a Task, .* missing: W0, activation, batches, loss, error",
        ),
    ],
)
def test_wrong_options_are_named_before_the_first_step(task, options, message, progress, capfd):
    arguments = {"task": task, "rule": gradient, "lr": 0.1, "steps": 5, "progress": progress}
    with pytest.raises(TypeError, match=message):
        train(**arguments | options)
    assert "record must return" in message or capfd.readouterr().err == ""


def test_no_steps_only_measure(task):
    history = train(task, gradient, 0.1, 0, progress=False, record={"W": lambda W, point: W})
    assert history.steps == 0 and history.loss.shape == (1,)
    assert history.recorded["step"].tolist() == [0] and np.array_equal(history.W, task.W0)


def test_samples_that_do_not_converge_can_be_left_out():
    """A neuron with f(z) = z², w = 1, has a fixed point for x ≤ ¼ only."""
    W0, x = np.ones((1, 1)), np.array([[0.1], [0.2], [0.3], [0.15]])
    y = np.array([[0.2], [0.3], [0.4], [0.2]])
    square = Task(W0, x, y, mean_squared_error, lambda z: z**2)
    history = train(square, gradient, 0.01, 3, progress=False)
    assert history.diverged_at == 0 and "1 of 4 samples did not converge" in history.reason
    history = train(square, gradient, 0.01, 3, progress=False, unconverged="drop")
    assert history.diverged_at is None and history.dropped.tolist() == [1, 1, 1, 1]
    rest = [0, 1, 3]
    three = Task(W0, x[rest], y[rest], mean_squared_error, lambda z: z**2)
    np.testing.assert_allclose(history.loss, train(three, gradient, 0.01, 3, progress=False).loss)
    assert "dropped 4 samples" in repr(history)

    def patient(W, x, activation):
        return solve(W, x, activation, on_failure="ignore")

    same(
        train(square, gradient, 0.01, 3, progress=False, unconverged="drop", solve=patient), history
    )
    none = Task(W0, x[2:3], y[2:3], mean_squared_error, lambda z: z**2)
    history = train(none, gradient, 0.01, 3, progress=False, unconverged="drop")
    assert history.diverged_at == 0 and history.reason == "none of 1 samples converged"
    with pytest.raises(ValueError, match="unconverged must be 'stop' or 'drop', not 'skip'"):
        train(square, gradient, 0.01, 3, progress=False, unconverged="skip")
    with pytest.raises(ValueError, match="on_failure must be left out"):
        train(square, gradient, 0.1, 3, progress=False, unconverged="drop", on_failure="warn")


# ---- Files ----


def test_a_file_holds_no_pickle_and_nothing_is_left_beside_it(batched, tmp_path):
    history = train(batched, in_a_list(), 0.01, 4, seed=0, progress=False)
    path = tmp_path / ("n" * 240 + ".npz")  # nearly as long as file systems allow
    history.save(path)
    assert list(tmp_path.iterdir()) == [path]
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "biufU" for name in file.files)
        assert json.loads(str(file["checkpoint"]))["seed"] == 0


def test_a_damaged_file_is_named_wherever_the_damage_is(task, tmp_path):
    """Or makes no difference, as in what a zip file says twice."""
    path, step = tmp_path / "run.npz", 199
    record = {"odd": lambda W, point: {"W": W}}
    history = train(task, Momentum(gradient, 0.5), 0.1, 3, progress=False, record=record)
    history.save(path)
    whole, refused = path.read_bytes(), 0
    for i in range(0, len(whole), step):
        for flipped in (0x01, 0x55, 0xFF):
            damaged = bytearray(whole)
            damaged[i] ^= flipped
            path.write_bytes(damaged)
            try:
                found, _ = History.load(path)
            except ValueError as error:
                assert "run.npz is no history, or damaged" in str(error)
                refused += 1
            else:
                assert repr(found) == repr(history)
                assert np.array_equal(found.W, history.W)
                assert np.array_equal(found.loss, history.loss)
    assert refused > len(whole) / step


def test_a_history_is_saved_in_a_folder_that_exists(task, tmp_path):
    history = train(task, gradient, 0.1, 1, progress=False)
    for path, error in (
        (tmp_path, IsADirectoryError),
        (tmp_path / "none" / "run.npz", FileNotFoundError),
    ):
        with pytest.raises(error, match="path must be a file in a folder that exists") as raised:
            history.save(path)
        assert repr(str(path)) in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_what_is_no_history_is_refused(tmp_path):
    array = io.BytesIO()
    np.save(array, np.ones(2))
    for name, content in {
        "empty.npz": b"",
        "text.npz": b"loss = 3",
        "broken.npz": b"PK\x03\x04",
        "array.npy": array.getvalue(),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is no history"):
            History.load(tmp_path / name)
    np.savez(tmp_path / "other.npz", loss=np.zeros(3))
    with pytest.raises(ValueError, match="other.npz was not written by History.save"):
        History.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        History.load(tmp_path / "none.npz")


def test_a_save_that_fails_leaves_the_old_file(task, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    train(task, gradient, 0.1, 3, progress=False).save(path, "first")
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        train(task, gradient, 0.1, 5, progress=False).save(path, "second")
    assert list(tmp_path.iterdir()) == [path] and History.load(path)[1] == "first"


# ---- Wherever it runs ----


def test_numpys_settings_do_not_matter(task):
    expected = train(task, linearized, 0.1, 5, progress=False)
    huge = Task(task.W0, task.x, task.y, lambda r, y: anp.sum(anp.exp(-1e4 * (r - y) ** 2)))
    plain = train(huge, gradient, 1e-3, 5, progress=False)
    for setting in ("raise", "warn", "ignore"):
        with np.errstate(all=setting):
            same(train(task, linearized, 0.1, 5, progress=False), expected)
            same(train(huge, gradient, 1e-3, 5, progress=False), plain)
            assert set(np.geterr().values()) == {setting}


SCRIPT = """
import sys, warnings
warnings.simplefilter(sys.argv[1])
class Kernel:  # a notebook, as tqdm recognizes it, whose widgets are not installed
    config = {{"IPKernelApp": {{}}}}
class IPython:
    get_ipython = staticmethod(lambda: Kernel)
{setup}
import fpnotes
task = fpnotes.LinearRegression.one_neuron()
history = fpnotes.train(task, fpnotes.gradient, 0.1, 3)
print(history.steps)
"""


@pytest.mark.parametrize(
    "setup",
    [
        "sys.modules['IPython'] = IPython; sys.modules['ipywidgets'] = None",
        "sys.stderr = None",
        "sys.stderr.close()",
        "sys.stderr = type('Full', (), {'write': lambda *_: 1 / 0, 'flush': lambda _: 0})()",
        "import os, tempfile; os.chdir(tempfile.mkdtemp())",
    ],
)
@pytest.mark.parametrize("filters", ["default", "error"])
def test_the_progress_bar_needs_neither_widgets_nor_a_terminal(setup, filters):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(setup=setup), filters],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout == "3\n" and "Warning" not in done.stderr, done.stderr


def test_the_progress_bar_can_be_drawn_in_any_encoding(task, monkeypatch):
    for encoding in ("ascii", "cp1252", "utf-8"):
        console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stderr", console)
        print(train(task, gradient, 0.1, 3), file=console)
        console.flush()


@pytest.mark.parametrize(
    ("lr", "steps", "label"),
    [(0.1, 2, "lr 0.1"), (lambda k: 0.3 / (k + 1), 2, "lr 0.3"), (0.1, 0, "no steps")],
)
def test_the_progress_bar_shows_the_first_rate_and_the_loss_of_every_step(
    task, monkeypatch, lr, steps, label
):
    shown = []

    class Bar(tqdm):
        def set_postfix(self, *arguments, **numbers):
            shown.append(numbers["loss"])

    monkeypatch.setattr(
        _progress, "tqdm", lambda **options: shown.append(options) or Bar(**options)
    )
    history = train(task, gradient, lr, steps)
    (options, *losses), measured = shown, history.loss[:steps]
    assert options["desc"] == label and options["total"] == steps
    assert losses == [f"{loss:.3g}" for loss in measured]


def test_a_step_of_a_linear_network_needs_one_factorization(monkeypatch):
    """Where BLAS has one thread; and the run is the same as with one for each system."""
    task, steps = LinearRegression.published(n=80, m=40), 5
    expected = train(task, gradient, 0.1, steps, solve=lambda *args: solve(*args), progress=False)
    made, init = [], Factors.__init__
    monkeypatch.setattr(Factors, "__init__", lambda *args: made.append(1) or init(*args))
    with one_blas_thread():
        monkeypatch.setattr(np.linalg, "solve", None)  # calling it would fail
        history = train(task, gradient, 0.1, steps, progress=False)
    assert len(made) == steps + 1
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-12)
    np.testing.assert_allclose(history.W, expected.W, rtol=0, atol=1e-13)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it concerns glibc's allocator")
def test_memory_that_is_kept_need_not_be_asked_for_again():
    """Measured by page faults: how often the system had to give the process a page."""
    code = """
import resource, sys
import numpy as np
import fpnotes
if sys.argv[1] == "keep":
    fpnotes.keep_memory()
def work():
    for _ in range(10):
        [np.ones(1_000_000) for _ in range(3)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {}
    for word in ("keep", "leave"):
        command = [sys.executable, "-c", code, word]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        faults[word] = int(done.stdout)
    assert faults["keep"] < 0.1 * faults["leave"]


def test_a_record_of_lists_of_equal_length_is_a_table(task):
    record = {"pair": lambda W, point: [1, 2.5]}
    history = train(task, linearized, 0.1, 3, progress=False, record=record)
    assert history.recorded["pair"].tolist() == [[1, 2.5]] * 4
