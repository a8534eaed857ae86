"""Sweeps: each run once, the same numbers whoever runs it, and none lost or taken for another."""

import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
from distributed import Client, LocalCluster

from fpnotes.optimizers import Momentum
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.solvers import solve
from fpnotes.sweeps import sweep
from fpnotes.tasks import LinearRegression
from fpnotes.training import History, train

# The task is a function of the seed, and all of it can be pickled.


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
@pytest.mark.slow  # pools of threads and of processes are tested above too
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
from test_sweeps import drawn, linearized, sweep
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


# ---- What tells runs apart ----


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
