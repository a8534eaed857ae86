"""Sweeps: each run once, the same numbers whoever runs it, and none lost or taken for another."""

import errno
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
from distributed import Client, LocalCluster

from fpnotes import _runs, sweeps
from fpnotes._identity import readable
from fpnotes.activations import Curve
from fpnotes.optimizers import Momentum
from fpnotes.rules import gradient, linearized, reparameterized
from fpnotes.solvers import solve
from fpnotes.sweeps import SweepError, sweep
from fpnotes.tasks import Digits, LinearRegression, Task
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

    def __reduce__(self):
        return Counting, ()  # neither calls nor interruptions make it another rule

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


def slow(*arguments):
    time.sleep(0.005)
    return linearized(*arguments)


SCRIPT = """
import sys
from test_sweeps import drawn, slow, sweep
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
    found = sorted(tmp_path.glob("slow*.npz"))
    assert 3 <= len(found) < 100
    for path in found:
        assert len(History.load(path)[0].loss) == 21
    before = {path: path.stat().st_mtime_ns for path in found}

    seeds = range(len(found) + 2)
    runs = sweep(drawn, {slow: [0.01]}, 20, seeds=seeds, folder=tmp_path, progress=False)
    assert len(runs) == len(seeds) == len(list(tmp_path.glob("slow*.npz")))
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())


# ---- What tells runs apart ----


def swept(rule=linearized, folder=None, *, task=drawn, lr=0.05, steps=4, seed=3, **options):
    """Return the one run of a small sweep."""
    rates = {rule: [lr]}
    (run,) = sweep(
        task, rates, steps, seeds=[seed], folder=folder, progress=False, **options
    ).values()
    return run


def clipped(most):
    def rule(W, point, error, lr):
        return np.clip(gradient(W, point, error, lr), -most, most)

    return rule


class Clip:
    """The same rule as an object without a name."""

    def __init__(self, most):
        self.most = most

    def __call__(self, *arguments):
        return np.clip(gradient(*arguments), -self.most, self.most)


def of_size(n, seed):
    rng = np.random.default_rng(seed)
    return LinearRegression(np.zeros((n, n)), rng.normal(size=(5, n)), rng.normal(size=(5, n)))


def solve_as(_, *arguments, **options):
    return solve(*arguments, **options)


def with_loss(loss, activation: Curve = "tanh"):
    return Task(0.1 * np.eye(3), np.eye(3), np.ones((3, 3)), loss, activation)


def digits(**changes):
    """Return a task of three classes, two of its samples in a batch."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((6, 4)), np.arange(6) % 3
    given = {
        "W0": 0.1 * np.eye(4),
        "x": x,
        "y": labels,
        "readout": rng.standard_normal((3, 4)),
        "test_x": x,
        "test_y": labels,
        "batch_size": 2,
    }
    return Digits(**{**given, **changes})


def recording(function):
    return {"record": {"value": function}}


LABELS = np.array([1, 1, 2, 0, 1, 2])
# Two sweeps that differ in one thing, which the second must not be answered with the first one's run for.
MIXED_UP = {
    "another number in a closure": ({"rule": clipped(1.0)}, {"rule": clipped(1e-4)}),
    "another number in an object": ({"rule": Clip(1.0)}, {"rule": Clip(1e-4)}),
    "a rule in a rule": ({"rule": Momentum(Clip(1.0))}, {"rule": Momentum(Clip(1e-4))}),
    "a memory of another length": (
        {"rule": Momentum(gradient, 0.5)},
        {"rule": Momentum(gradient, 0.9)},
    ),
    "another lambda": (
        {"rule": lambda *arguments: gradient(*arguments)},
        {"rule": lambda *arguments: 2 * gradient(*arguments)},
    ),
    "another tolerance filled in": (
        {"rule": partial(gradient, tol=1e-1)},
        {"rule": partial(gradient, tol=1e-9)},
    ),
    "another record of one name": (recording(lambda W, p: 1.0), recording(lambda W, p: 2.0)),
    "record as one function": (
        {"record": lambda task, W, point: {"value": 1}},
        {"record": lambda task, W, point: {"value": 2}},
    ),
    "how often it records": (
        {"every": 1, **recording(lambda W, p: 1.0)},
        {"every": 2, **recording(lambda W, p: 1.0)},
    ),
    "another solver": (
        {"solve": partial(solve, max_steps=500)},
        {"solve": partial(solve, max_steps=501)},
    ),
    "another start of the solver": ({"r0": np.zeros(12)}, {"r0": np.eye(12)[0]}),
    "another tolerance": ({"tol": 1e-6}, {"tol": 1e-8}),
    "another number of steps": ({"steps": 4}, {"steps": 5}),
    "another rate, in its ninth digit": ({"lr": 0.05}, {"lr": 0.05 + 1e-10}),
    "another seed": ({"seed": 3}, {"seed": 4}),
    "a seed or none": ({"seed": None, "task": digits()}, {"seed": 0, "task": digits()}),
    "other settings": ({"settings": ""}, {"settings": "other data"}),
    "another size of the task": ({"task": partial(of_size, 3)}, {"task": partial(of_size, 8)}),
    "other targets": ({"task": of_size(3, 0)}, {"task": replace(of_size(3, 0), y=np.ones((5, 3)))}),
    "other inputs": ({"task": of_size(3, 0)}, {"task": replace(of_size(3, 0), x=np.ones((5, 3)))}),
    "other weights to begin with": (
        {"task": of_size(3, 0)},
        {"task": replace(of_size(3, 0), W0=0.1 * np.eye(3))},
    ),
    "another loss": (
        {"task": with_loss(lambda r, y: ((r - y) ** 2).sum())},
        {"task": with_loss(lambda r, y: ((r - y) ** 4).sum())},
    ),
    "another curve": (
        {"task": with_loss(lambda r, y: ((r - y) ** 2).sum(), "tanh")},
        {"task": with_loss(lambda r, y: ((r - y) ** 2).sum(), "softplus")},
    ),
    "another curve of ones own": (
        {"task": with_loss(lambda r, y: ((r - y) ** 2).sum(), lambda z: 0.5 * z)},
        {"task": with_loss(lambda r, y: ((r - y) ** 2).sum(), lambda z: 0.6 * z)},
    ),
    "another class of task": (
        {"task": drawn},
        {"task": lambda s: LinearRegression(*parts(drawn(s)))},
    ),
    "another readout": ({"task": digits()}, {"task": digits(readout=np.eye(3, 4))}),
    "another batch size": ({"task": digits()}, {"task": digits(batch_size=3)}),
    "other labels": ({"task": digits()}, {"task": digits(y=LABELS)}),
    "another test set": (
        {"task": digits(), "record": lambda task, W, p: {"loss": task.test(W)[1]}},
        {"task": digits(test_y=LABELS), "record": lambda task, W, p: {"loss": task.test(W)[1]}},
    ),
}


def parts(task):
    return task.W0, task.x, task.y


@pytest.mark.parametrize("cases", MIXED_UP.values(), ids=MIXED_UP)
def test_no_run_is_taken_for_another(tmp_path, cases):
    first, second = cases
    swept(folder=tmp_path, **first)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    from_folder, alone = swept(folder=tmp_path, **second), swept(**second)
    assert len(list(tmp_path.iterdir())) == 2
    identical(from_folder, alone)
    swept(folder=tmp_path, **first)  # and each is found again
    swept(folder=tmp_path, **second)
    assert len(list(tmp_path.iterdir())) == 2 and file.stat().st_mtime_ns == written


def identical(run, other):
    assert np.array_equal(run.loss, other.loss) and np.array_equal(run.W, other.W)
    assert run.recorded.keys() == other.recorded.keys()
    assert all(np.array_equal(run.recorded[name], other.recorded[name]) for name in run.recorded)


FOUND_AGAIN = {
    "closures": lambda: {"rule": clipped(1.0)},
    "objects": lambda: {"rule": Momentum(Clip(1.0))},
    "copies of a task": lambda: {"task": of_size(3, 0)},
    "a task as a function": lambda: {"task": lambda seed: drawn(3)},
    "functions and arrays": lambda: {"solve": partial(solve, max_steps=500), "r0": np.zeros(12)},
    "records": lambda: {"record": {"b": lambda W, p: 1.0, "a": lambda W, p: 2.0}},
}


@pytest.mark.parametrize("make", FOUND_AGAIN.values(), ids=FOUND_AGAIN)
def test_a_run_is_found_again_though_all_was_made_anew(tmp_path, make, monkeypatch):
    first = swept(folder=tmp_path, **make())
    monkeypatch.setattr(sweeps, "train", None)
    identical(swept(folder=tmp_path, **make()), first)


def test_several_tasks_share_a_folder(tmp_path):
    tasks = {n: partial(of_size, n) for n in (2, 3, 4)}
    for task in tasks.values():
        sweep(task, {gradient: [0.1]}, 3, seeds=[0, 1], folder=tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 6
    for n, task in tasks.items():
        runs = sweep(task, {gradient: [0.1]}, 3, seeds=[1], folder=tmp_path, progress=False)
        assert runs["gradient", 0.1, 1].W.shape == (n, n)
    assert len(list(tmp_path.iterdir())) == 6


def test_a_task_read_from_a_file_is_another_one_when_the_file_changes(tmp_path):
    data, folder = tmp_path / "x.npy", tmp_path / "runs"

    def read(seed):
        return LinearRegression(np.zeros((2, 2)), np.load(data), np.eye(2))

    np.save(data, np.eye(2))
    first = swept(folder=folder, task=read)
    np.save(data, 2 * np.eye(2))
    second = swept(folder=folder, task=read)
    identical(second, swept(task=read))
    assert first.loss[-1] != second.loss[-1]


def test_the_version_of_the_package_is_beside_the_run_and_does_not_make_it_another(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(_runs, "version", lambda name: "0.0.1")
    run = swept(folder=tmp_path, settings="a word", tol=1e-7)
    (file,) = tmp_path.iterdir()
    line = History.load(file)[1]
    assert line.startswith("linearized, lr=0.05, seed=3; 4 steps; tol=1e-07; a word; fpnotes 0.0.1")
    assert len(line.split("; ")[-1]) == 64
    monkeypatch.undo()
    monkeypatch.setattr(sweeps, "train", None)
    identical(swept(folder=tmp_path, settings="a word", tol=1e-7), run)


def test_what_no_other_process_would_know_is_named_before_the_first_run(tmp_path):
    counting = Counting()
    with open(os.devnull, "w") as log:
        for name, given in {
            "rates": {"rates": {counting: [0.1], lambda *a: log.write("called"): [0.1]}},
            "solve": {"solve": partial(solve_as, log)},
            "record": {"record": {"a": lambda W, p: log.write("called")}},
            "task": {"task": with_loss(lambda r, y: log)},
        }.items():
            given = {"task": drawn, "rates": {counting: [0.1]}, **given}
            with pytest.raises(TypeError, match=f"^{name} must be such .* without a folder"):
                sweep(steps=3, folder=tmp_path, progress=False, **given)
    assert not counting.calls and not list(tmp_path.iterdir())


# ---- Names ----


def test_rules_of_one_function_that_share_a_name_are_refused_until_they_have_names():
    first, second = clipped(1.0), clipped(1e-4)
    for rules in ([first, second], [lambda *a: 1, lambda *a: 2], [Clip(1), Clip(2)]):
        with pytest.raises(ValueError, match=r"^rates must have different names.*rule.__name__ ="):
            sweep(drawn, dict.fromkeys(rules, [1]), 5, progress=False)
    second.__name__ = "clipped"
    runs = sweep(drawn, {first: [0.1], second: [0.1]}, 5, progress=False)
    assert [name for name, *_ in runs] == ["rule", "clipped"]
    assert runs["rule", 0.1, None].loss[-1] < runs["clipped", 0.1, None].loss[-1]


def test_rules_made_from_one_rule_are_compared_by_how_they_were_made(tmp_path):
    short, long = Momentum(gradient, 0.5), Momentum(gradient)
    once = partial(sweep, drawn, steps=5, seeds=[3], folder=tmp_path, progress=False)
    runs = once({short: [0.1], long: [0.1]})
    assert [name for name, *_ in runs] == [
        "Momentum(gradient, beta=0.5)",
        "Momentum(gradient, beta=0.9)",
    ]
    (alone,) = once({short: [0.1]}).items()
    assert alone[0] == ("gradient+momentum", 0.1, 3) and len(list(tmp_path.iterdir())) == 2
    identical(alone[1], runs["Momentum(gradient, beta=0.5)", 0.1, 3])


def test_a_partial_rule_says_what_was_filled_in(tmp_path):
    coarse, fine = partial(gradient, tol=1e-4), partial(gradient, tol=1e-9)
    runs = sweep(drawn, {coarse: [0.05], fine: [0.05], Momentum(fine): [0.05]}, 2, progress=False)
    assert [name for name, *_ in runs] == [
        "gradient(tol=0.0001)",
        "gradient(tol=1e-09)",
        "gradient(tol=1e-09)+momentum",
    ]


def options_of(W, point, error, lr, **options):
    return gradient(W, point, error, lr)


def called(name):
    rule = partial(options_of)
    rule.__name__ = name  # type: ignore[attr-defined]
    return rule


AWKWARD = {
    "a path": partial(options_of, mask_file="masks/a.npy"),
    "a Windows path": partial(options_of, file="C:\\masks\\a.npy"),
    "a list": partial(options_of, mask=[0, 1] * 120),
    "a dict": partial(options_of, of={"a": 1}),
    "a lambda": lambda *arguments: gradient(*arguments),
    **{
        repr(name[:20]): called(name)
        for name in (
            "x|y?",
            "CON",
            "con.x",
            "nul",
            "..",
            ".",
            "",
            " a ",
            "a.",
            "λ, r",
            "\n\0",
            "a" * 300,
        )
        + ("../../up", "/etc/x", "🙂" * 100, "\ud800")
    },
}


@pytest.mark.parametrize("rule", AWKWARD.values(), ids=AWKWARD)
def test_every_name_is_made_safe_for_every_file_system(tmp_path, rule):
    folder = tmp_path / "runs"
    key = list(sweep(drawn, {rule: [1 / 3]}, 2, seeds=[10**60], folder=folder, progress=False))
    assert key == [(readable(rule), 1 / 3, 10**60)]
    (file,) = folder.iterdir()
    assert list(tmp_path.iterdir()) == [folder]
    assert re.fullmatch(r"[A-Za-z0-9_(][A-Za-z0-9.+=(),_-]*-[0-9a-f]{16}\.npz", file.name)
    assert len(os.fsencode(file.name)) < 230  # and a few more while it is being written
    assert (
        not re.match(r"(con|nul)\b", file.name.partition(".")[0], re.IGNORECASE) or "-" in file.name
    )
    assert file.name.partition(".")[0].upper() not in {"CON", "NUL"}
    before = file.stat().st_mtime_ns
    sweep(drawn, {rule: [1 / 3]}, 2, seeds=[10**60], folder=folder, progress=False)
    assert [path.stat().st_mtime_ns for path in folder.iterdir()] == [before]


def test_names_that_differ_in_case_have_files_that_differ_otherwise(tmp_path):
    def double(*arguments):
        return 2 * gradient(*arguments)

    double.__name__ = "Gradient"
    sweep(drawn, {gradient: [0.1], double: [0.1]}, 2, folder=tmp_path, progress=False)
    assert len({path.name.lower() for path in tmp_path.iterdir()}) == 2


def halving(step, start=0.1):
    return start / 2**step


def test_a_rate_that_is_a_function_of_the_step_goes_by_its_name(tmp_path, monkeypatch):
    rates = []

    def record_rate(task, rule, lr, steps, **options):
        rates.append(lr)
        return train(task, rule, lr if isinstance(lr, float) else lr(1), steps, **options)

    monkeypatch.setattr(sweeps, "train", record_rate)
    given = {gradient: [0.1, halving, partial(halving, start=1.0)]}
    runs = sweep(drawn, given, 3, seeds=[3], folder=tmp_path, progress=False)
    assert list(runs) == [("gradient", name, 3) for name in (0.1, "halving", "halving(start=1.0)")]
    assert rates == given[gradient]
    assert len(list(tmp_path.glob("gradient-lrhalving-seed3-*.npz"))) == 1
    same(sweep(drawn, given, 3, seeds=[3], folder=tmp_path, progress=False), runs)
    assert len(rates) == 3
    with pytest.raises(ValueError, match="^rates must have different names"):
        sweep(drawn, {gradient: [lambda step: 1, lambda step: 2]}, 3, progress=False)


# ---- Wrong arguments, named before the first run ----


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"seeds": [1.5]}, TypeError, "seeds must be a whole number, not 1.5"),
        ({"seeds": ["1"]}, TypeError, "seeds must be a whole number"),
        ({"seeds": [True]}, TypeError, "seeds must be a whole number"),
        ({"seeds": [-1]}, ValueError, "seeds must be at least 0"),
        ({"seeds": [1, np.int64(1)]}, ValueError, "seeds must differ"),
        ({"seeds": [None, None]}, ValueError, "seeds must differ"),
        ({"seeds": []}, ValueError, "seeds must hold one value or more"),
        ({"seeds": 3}, TypeError, "seeds must hold a list"),
        ({"seeds": "12"}, TypeError, "seeds must hold a list"),
        ({"rates": {}}, ValueError, "rates must hold one rule or more"),
        ({"rates": [gradient]}, TypeError, "rates must be a dict"),
        ({"rates": {"gradient": [0.1]}}, TypeError, "rates must be a dict of rules"),
        ({"rates": {gradient: 0.1}}, TypeError, "rates must hold a list"),
        ({"rates": {gradient: np.array(0.1)}}, TypeError, "rates must hold a list"),
        ({"rates": {gradient: halving}}, TypeError, "rates must hold a list"),
        ({"rates": {gradient: "0.1"}}, TypeError, "rates must hold a list"),
        ({"rates": {gradient: []}}, ValueError, "rates must hold one value or more"),
        ({"rates": {gradient: ["0.1"]}}, TypeError, "rates must be a positive number"),
        ({"rates": {gradient: [0.1, -1]}}, ValueError, "rates must be positive"),
        ({"rates": {gradient: [1, 1.0]}}, ValueError, "rates must differ"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"executor": 4}, TypeError, "executor must be"),
        ({"task": "digits"}, TypeError, "task must be"),
        ({"folder": 3}, TypeError, "folder must be a path"),
        ({"folder": "~no_such_user/runs"}, ValueError, "folder must be a path that can be found"),
        ({"settings": 3}, TypeError, "settings must be text"),
    ],
)
def test_wrong_arguments_are_named_before_the_first_run(given, error, message):
    counting = Counting()
    whole = {"task": drawn, "rates": {counting: [0.1]}, "steps": 2, "progress": False, **given}
    with pytest.raises(error, match=f"^{message}"):
        sweep(**whole)
    assert not counting.calls


def test_what_can_be_walked_only_once_is_walked_once():
    rates = {gradient: (10.0**-k for k in (1, 2)), linearized: iter(np.array([0.1, 0.2]))}
    runs = sweep(drawn, rates, 2, seeds=iter([0, np.int64(1), None]), progress=False)
    assert list(runs) == [
        (name, lr, seed)
        for seed in (0, 1, None)
        for name, lr in [
            ("gradient", 0.1),
            ("gradient", 0.01),
            ("linearized", 0.1),
            ("linearized", 0.2),
        ]
    ]


# ---- A run that fails ----


class Unpicklable(Exception):
    """An error that does not survive the way back from another process."""

    def __init__(self, code, reason):
        super().__init__(reason)


def failing(W, point, error, lr):
    if lr == 0.2:
        raise ZeroDivisionError("a reason")
    if lr == 0.3:
        raise Unpicklable(3, "another reason")
    return gradient(W, point, error, lr)


def dying(W, point, error, lr):
    if lr == 0.2:
        time.sleep(0.3)
        os._exit(1)
    return gradient(W, point, error, lr)


def pool(kind):
    """Return a context that gives an executor, or None."""
    if kind == "threads":
        return ThreadPoolExecutor(2)
    if kind == "processes":
        return ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    return nullcontext()


@contextmanager
def dask():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.mark.filterwarnings("default")  # of Dask's own
@pytest.mark.parametrize("with_folder", [False, True])
@pytest.mark.parametrize("kind", ["serial", "threads", "processes", "dask"])
def test_a_run_that_raises_is_named_and_costs_no_other(tmp_path, kind, with_folder):
    folder = tmp_path if with_folder else None
    rates = [0.1, 0.2, 0.3, 0.4]
    with (
        dask() if kind == "dask" else pool(kind) as executor,
        pytest.raises(SweepError, match="2 of 4 runs failed") as raised,
    ):
        sweep(
            drawn,
            {failing: rates},
            3,
            seeds=[7],
            executor=executor,
            folder=folder,
            progress=False,
        )
    error = raised.value
    assert list(error.runs) == [("failing", 0.1, 7), ("failing", 0.4, 7)]
    assert all(len(run.loss) == 4 for run in error.runs.values())
    assert set(error.failures) == {("failing", 0.2, 7), ("failing", 0.3, 7)}
    assert isinstance(error.failures["failing", 0.2, 7], ZeroDivisionError)
    assert error.__cause__ in error.failures.values()
    for (_, lr, _), failure in error.failures.items():
        assert f"raised in the run failing, lr={lr}, seed=7" in failure.__notes__
        assert f"failing, lr={lr}, seed=7: " in str(error)
    assert "ZeroDivisionError: a reason" in str(error) and "another reason" in str(error)
    assert len(list(tmp_path.iterdir())) == (2 if with_folder else 0)


def test_a_sweep_error_can_be_pickled():
    with pytest.raises(SweepError) as raised:
        sweep(drawn, {failing: [0.1, 0.2]}, 3, progress=False)
    twin = pickle.loads(pickle.dumps(raised.value))
    assert str(twin) == str(raised.value)
    same(twin.runs, raised.value.runs)
    assert list(twin.failures) == [("failing", 0.2, None)]


def test_of_many_failures_a_few_are_spelled_out():
    def broken(*arguments):
        raise ValueError("broken")

    with pytest.raises(SweepError) as raised:
        sweep(drawn, {broken: np.linspace(0.1, 1, 10)}, 3, progress=False)
    assert len(raised.value.failures) == 10 and not raised.value.runs
    assert "and 5 more" in str(raised.value) and str(raised.value).count("ValueError") == 5


def test_a_worker_that_dies_costs_no_finished_run(tmp_path):
    rates = {dying: [0.1, 0.2]}
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor,
        pytest.raises(SweepError, match=r"1 of 2 runs failed.*\ndying, lr=0.2") as raised,
    ):
        sweep(drawn, rates, 3, executor=executor, progress=False)
    assert list(raised.value.runs) == [("dying", 0.1, None)]
    (failure,) = raised.value.failures.values()
    assert isinstance(failure, BrokenProcessPool)


def test_a_pool_that_was_shut_down_is_a_failure_of_every_run():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(SweepError, match="1 of 1 runs failed.*\ngradient.*shutdown"):
        swept(gradient, executor=executor)


@pytest.mark.parametrize("with_folder", [False, True])
def test_a_task_that_cannot_be_made_fails_for_its_seed_alone(tmp_path, with_folder):
    def make(seed):
        if seed == 1:
            raise LookupError("no data of this seed")
        return drawn(seed)

    with pytest.raises(
        SweepError, match="2 of 6 runs failed.*\ngradient, lr=0.1, seed=1"
    ) as raised:
        sweep(
            make,
            {gradient: [0.1, 0.2]},
            2,
            seeds=range(3),
            folder=tmp_path if with_folder else None,
            progress=False,
        )
    assert {seed for *_, seed in raised.value.runs} == {0, 2}


def test_a_failure_and_an_interruption_are_both_told(tmp_path):
    def interrupted(W, point, error, lr):
        raise KeyboardInterrupt if lr == 0.3 else ValueError if lr == 0.2 else KeyError

    with pytest.warns(RuntimeWarning) as warned:
        runs = sweep(drawn, {interrupted: [0.2, 0.3, 0.1]}, 3, progress=False)
    assert "interrupted after 0 of 3 runs, and 1 that failed" in str(warned[-1].message)
    assert runs == {}


# ---- The folder ----


def test_a_relative_folder_is_the_callers_and_a_tilde_is_home(tmp_path, monkeypatch):
    here, home, elsewhere = (tmp_path / name for name in ("here", "home", "elsewhere"))
    for folder in (here, home, elsewhere):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(elsewhere)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        executor.submit(abs, 1).result()  # its working directory is elsewhere
        monkeypatch.chdir(here)
        swept(folder="runs", executor=executor)
        swept(folder="~/runs", executor=executor)
    assert len(list((here / "runs").iterdir())) == len(list((home / "runs").iterdir())) == 1
    assert not list(elsewhere.iterdir()) and len(list(here.iterdir())) == 1


DAMAGED = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "text": lambda path: path.write_text("no archive"),
    "one byte": lambda path: path.write_bytes(flipped(path.read_bytes())),
    "other arrays": lambda path: np.savez(path, a=np.ones(3)),
    "another run": lambda path: swept(gradient).save(path, "another; " + 64 * "0"),
    "no fingerprint": lambda path: swept(gradient).save(path),
}


def flipped(content):
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_set_aside_and_its_run_repeated(tmp_path, damage):
    run = swept(folder=tmp_path)
    (file,) = tmp_path.iterdir()
    damage(file)
    content = file.read_bytes()
    with pytest.warns(RuntimeWarning, match=rf"{re.escape(file.name)}.damaged, and its run is rep"):
        identical(swept(folder=tmp_path), run)
    aside = file.with_name(f"{file.name}.damaged")
    assert sorted(tmp_path.iterdir()) == [file, aside] and aside.read_bytes() == content
    identical(swept(folder=tmp_path), run)


def test_files_that_are_no_run_of_this_sweep_are_left_alone(tmp_path):
    others = {"data.npz": b"", "linearized-lr0.05-seed3.npz": b"", "x-0123456789abcdef.npz": b"a"}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    swept(folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    assert all((tmp_path / name).read_bytes() == content for name, content in others.items())


def test_a_file_that_was_renamed_is_found_as_long_as_its_end_is_the_same(tmp_path, monkeypatch):
    run = swept(folder=tmp_path)
    (file,) = tmp_path.iterdir()
    file.rename(tmp_path / f"the best {file.name[-20:]}")
    monkeypatch.setattr(sweeps, "train", None)
    identical(swept(folder=tmp_path), run)


def test_a_folder_in_the_place_of_a_file_is_an_error_before_the_first_run(tmp_path):
    rule = Counting()
    swept(rule, tmp_path)
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    rule.calls.clear()
    with pytest.raises(OSError, match=re.escape(file.name)):
        swept(rule, tmp_path)
    assert not rule.calls and file.is_dir()


def test_a_folder_that_cannot_be_made_is_an_error_before_the_first_run(tmp_path):
    rule = Counting()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(OSError, match=str(tmp_path / "file")):
            swept(rule, folder)
    assert not rule.calls


@pytest.mark.parametrize("kind", ["serial", "threads"])
def test_a_disk_that_is_full_costs_no_run(tmp_path, monkeypatch, kind):
    def full(self, path, settings=""):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    once = partial(sweep, drawn, {gradient: [0.1, 0.2]}, 3, seeds=[3], progress=False)
    monkeypatch.setattr(History, "save", full)
    with (
        pool(kind) as executor,
        pytest.warns(RuntimeWarning, match="2 of 2 runs could not be written to folder.*No space"),
    ):
        runs = once(folder=tmp_path, executor=executor)
    same(runs, once())


def test_a_folder_that_disappears_costs_no_run(tmp_path):
    folder = tmp_path / "runs"

    def removing(*arguments):
        if folder.exists():
            folder.rmdir()
        return gradient(*arguments)

    with pytest.warns(
        RuntimeWarning, match="1 of 1 runs could not be written.*in a folder that exists"
    ):
        run = swept(removing, folder)
    assert len(run.loss) == 5


BLAS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import threadpoolctl
from test_sweeps import drawn, gradient, sweep
def used(*_):
    return max(library["num_threads"] for library in threadpoolctl.threadpool_info())
sys.setswitchinterval(1e-4)
if sys.argv[1] == "limited":
    threadpoolctl.threadpool_limits(2)
for _ in range(5):
    with ThreadPoolExecutor(4) as pool:
        runs = sweep(
            drawn, {gradient: [0.01, 0.02]}, 60, seeds=range(4), executor=pool, progress=False,
            record={"threads": used}, every=10,
        )
    print(max(run.recorded["threads"].max() for run in runs.values()), used())
"""


@pytest.mark.parametrize("before", ["as it was", "limited"])
def test_every_run_has_one_blas_thread_and_afterwards_there_are_as_many_as_before(before):
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    environment |= {f"{library}_NUM_THREADS": "2" for library in ("OPENBLAS", "OMP", "MKL", "BLIS")}
    environment["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    output = subprocess.run(
        [sys.executable, "-c", BLAS, before],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert output.stdout.splitlines() == ["1 2"] * 5


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
    (file,) = tmp_path.iterdir()
    assert re.fullmatch(r"linearized-lr0.05-seed3-[0-9a-f]{16}\.npz", file.name)
    same(once(rates={linearized: [0.05]}), runs)


def test_the_same_seed_gives_the_same_numbers_again_and_another_gives_others():
    first, again, other = (
        sweep(drawn, RATES, 10, seeds=[seed], progress=False) for seed in (5, 5, 6)
    )
    same(first, again)
    for (name, lr, _), run in first.items():
        assert not np.array_equal(run.loss, other[name, lr, 6].loss)
