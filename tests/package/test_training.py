"""Training runs: what they compute, what they record, and how they end."""

import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import autograd.numpy as anp
import numpy as np
import pytest
from distributed import Client, LocalCluster

from fpnotes.optimizers import Momentum
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.solvers import solve
from fpnotes.tasks import LinearRegression, Task
from fpnotes.training import History, sweep, train


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


# ---- Sweeps. The task is a function of the seed, and all of it can be pickled. ----


class Sampled(LinearRegression):
    """A regression whose batches are drawn."""

    def batches(self, rng):
        while True:
            rows = rng.choice(len(self.x), 6, replace=False)
            yield self.x[rows], self.y[rows]


def drawn(seed):
    rng = np.random.default_rng(seed)
    W0 = 0.5 * rng.standard_normal((12, 12)) / np.sqrt(12)
    return Sampled(W0, rng.standard_normal((8, 12)), rng.standard_normal((8, 12)))


RATES = {gradient: [0.01, 0.1], linearized: [0.1], reparameterized: [0.1]}
sweep_drawn = partial(sweep, drawn, RATES, 20, seeds=[3, 4], progress=False)


@pytest.fixture(scope="module")
def serial():
    return sweep_drawn()


def same(runs, expected):
    assert list(runs) == list(expected)
    for run, other in zip(runs.values(), expected.values(), strict=True):
        assert np.array_equal(run.loss, other.loss) and np.array_equal(run.W, other.W)
        assert run.diverged_at == other.diverged_at


def test_a_sweep_is_its_runs(serial):
    assert set(serial) == {
        (name, lr, seed)
        for name, lr in [
            ("gradient", 0.01),
            ("gradient", 0.1),
            ("linearized", 0.1),
            ("reparameterized", 0.1),
        ]
        for seed in (3, 4)
    }
    alone = train(drawn(4), gradient, 0.1, 20, seed=4, progress=False)
    assert np.array_equal(serial["gradient", 0.1, 4].loss, alone.loss)
    assert not np.array_equal(serial["gradient", 0.1, 3].loss, alone.loss)


def test_threads_give_the_numbers_of_a_serial_sweep(serial):
    with ThreadPoolExecutor(2) as executor:
        same(sweep_drawn(executor=executor), serial)


def test_processes_give_the_numbers_of_a_serial_sweep(serial, tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        same(sweep_drawn(executor=executor, folder=tmp_path), serial)
    same(sweep_drawn(folder=tmp_path), serial)


@pytest.mark.filterwarnings("default")  # of Dask's own
def test_a_dask_cluster_gives_the_numbers_of_a_serial_sweep(serial):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        same(sweep_drawn(executor=client.get_executor()), serial)


class Counting:
    """A rule that counts its calls over all runs, and can be told to interrupt one."""

    __name__ = "counting"

    def __init__(self, interrupt_at=None):
        self.calls, self.interrupt_at = [], interrupt_at

    def __deepcopy__(self, memo):
        return self

    def __call__(self, *arguments):
        self.calls.append(1)
        if len(self.calls) == self.interrupt_at:
            raise KeyboardInterrupt
        return linearized(*arguments)


def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path):
    once = partial(sweep, drawn, steps=10, seeds=range(3), folder=tmp_path, progress=False)
    with pytest.warns(RuntimeWarning) as warned:
        runs = once(rates={Counting(interrupt_at=15): [0.01]})
    assert "interrupted after 1 of 3 runs" in str(warned[-1].message)
    assert list(runs) == [("counting", 0.01, 0)]
    rest = Counting()
    runs = once(rates={rest: [0.01]})
    assert len(rest.calls) == 20 and len(runs) == 3
    whole = sweep(drawn, {Counting(): [0.01]}, 10, seeds=range(3), progress=False)
    same(runs, whole)
    same(once(rates={Counting(interrupt_at=1): [0.01]}), whole)  # all found, none run


SCRIPT = """
import sys, time
from test_training import drawn, linearized, sweep
def slow(*arguments):
    time.sleep(0.005)
    return linearized(*arguments)
sweep(drawn, {slow: [0.01]}, 20, seeds=range(100), folder=sys.argv[1], progress=False)
"""


def test_a_killed_sweep_loses_no_finished_run(tmp_path):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("slow*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = sorted(tmp_path.glob("slow*.npz"))
    assert 3 <= len(kept) < 100
    for path in kept:
        assert len(History.load(path)[0].loss) == 21
    before = {path: path.stat().st_mtime_ns for path in kept}

    rest = Counting()
    rest.__name__ = "slow"
    runs = sweep(
        drawn, {rest: [0.01]}, 20, seeds=range(len(kept) + 2), folder=tmp_path, progress=False
    )
    assert len(rest.calls) == 40 and len(runs) == len(kept) + 2
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_a_folder_of_another_sweep_is_refused(tmp_path):
    sweep_drawn(folder=tmp_path)
    with pytest.raises(ValueError, match="folder holds .* other settings"):
        sweep_drawn(folder=tmp_path, tol=1e-6)
    with pytest.raises(ValueError, match="folder holds .* other settings"):
        sweep_drawn(folder=tmp_path, settings="other data")
    with pytest.raises(ValueError, match="21 steps"):
        sweep(drawn, RATES, 21, seeds=[3, 4], folder=tmp_path, progress=False)


def test_two_rules_of_one_name_are_refused():
    def gradient_again(*arguments):
        return gradient(*arguments)

    gradient_again.__name__ = "gradient"
    with pytest.raises(ValueError, match="different names"):
        sweep(drawn, {gradient: [1], gradient_again: [1]}, 5, progress=False)


# ---- What tells runs apart, and a history at a glance ----


class Nameless:
    """A rule with a setting and no name."""

    def __init__(self, tol):
        self.tol = tol

    def __call__(self, *arguments):
        return gradient(*arguments, tol=self.tol)


def swept(rule, folder, **options):
    return sweep(drawn, {rule: [0.05]}, 4, seeds=[3], folder=folder, progress=False, **options)


def test_a_partial_rule_is_known_again_by_what_was_filled_in(tmp_path):
    coarse, fine = partial(gradient, tol=1e-4), partial(gradient, tol=1e-9)
    runs = swept(coarse, tmp_path)
    assert list(runs) == [("gradient(tol=0.0001)", 0.05, 3)]
    (kept,) = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    same(swept(partial(gradient, tol=1e-4), tmp_path), runs)
    assert kept.stat().st_mtime_ns == before
    swept(fine, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    both = sweep(drawn, {coarse: [0.05], fine: [0.05]}, 2, progress=False)
    assert {name for name, *_ in both} == {"gradient(tol=0.0001)", "gradient(tol=1e-09)"}
    momentum = swept(Momentum(fine), tmp_path)
    assert list(momentum) == [("gradient(tol=1e-09)+momentum", 0.05, 3)]


def test_a_rule_or_an_option_that_no_other_process_would_know_is_named(tmp_path):
    for rule in (Nameless(1e-3), Momentum(Nameless(1e-3))):
        with pytest.raises(TypeError, match="^rates must be told apart .* give it a __name__"):
            swept(rule, tmp_path)
    with pytest.raises(TypeError, match="^solve must be told apart .* give it a __name__"):
        swept(gradient, tmp_path, solve=partial(solve_as, Nameless(1)))
    assert list(tmp_path.iterdir()) == []
    assert train(drawn(3), Nameless(1e-3), 0.05, 2, progress=False).loss.shape == (3,)


def solve_as(_, *arguments, **options):
    return solve(*arguments, **options)


def test_options_that_are_functions_or_arrays_are_known_again(tmp_path):
    start = np.zeros(12)
    for _ in range(2):
        swept(gradient, tmp_path, solve=partial(solve, max_steps=500), r0=start)
        assert len(list(tmp_path.iterdir())) == 1
    start = start.copy()
    start[5] = 0.1
    with pytest.raises(ValueError, match="other settings"):
        swept(gradient, tmp_path, solve=partial(solve, max_steps=500), r0=start)
    with pytest.raises(ValueError, match="other settings"):
        swept(gradient, tmp_path, solve=partial(solve, max_steps=501), r0=0 * start)


def test_a_memory_of_another_length_is_another_sweep(tmp_path):
    swept(Momentum(gradient, 0.5), tmp_path)
    swept(Momentum(gradient, 0.5), tmp_path)
    with pytest.raises(ValueError, match=r"other settings .*Momentum\(gradient, beta=0.5\)"):
        swept(Momentum(gradient, 0.9), tmp_path)


def test_learning_rates_that_differ_in_the_eighth_digit_have_files_of_their_own(tmp_path):
    rates = [0.1, 0.1 + 1e-9]
    runs = sweep(drawn, {gradient: rates}, 3, seeds=[3], folder=tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 2
    same(sweep(drawn, {gradient: rates}, 3, seeds=[3], folder=tmp_path, progress=False), runs)
    near, far = runs.values()
    assert not np.array_equal(near.W, far.W)


def test_a_history_says_in_a_line_how_it_went(task):
    history = train(task, linearized, 0.1, 5, progress=False, record={"W": lambda W, point: W})
    first, last = history.loss[[0, -1]]
    assert repr(history) == (
        f"History(5 steps, loss {first:.4g} → {last:.4g}, 20 neurons, recorded step, W)"
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


def interrupting(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("threads", [0, 2])
def test_a_sweep_stopped_by_hand_keeps_finished_runs_and_no_half_ones(tmp_path, threads):
    rates = {linearized: [0.05], interrupting: [0.05]}
    once = partial(sweep, drawn, steps=6, seeds=[3], folder=tmp_path, progress=False)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if threads:
            with ThreadPoolExecutor(1) as executor:
                runs = once(rates=rates, executor=executor)
        else:
            runs = once(rates=rates)
    assert "interrupted after 1 of 2 runs" in str(warned[-1].message)
    assert list(runs) == [("linearized", 0.05, 3)]
    assert [path.name for path in tmp_path.iterdir()] == ["linearized-lr0.05-seed3.npz"]
    same(once(rates={linearized: [0.05]}), runs)


def test_the_same_seed_gives_the_same_numbers_again_and_another_gives_others():
    first, again, other = (
        sweep(drawn, RATES, 10, seeds=[seed], progress=False) for seed in (5, 5, 6)
    )
    same(first, again)
    for (name, lr, _), run in first.items():
        assert not np.array_equal(run.loss, other[name, lr, 6].loss)
