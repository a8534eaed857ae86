"""The published runs: what is measured in them, and that none is lost or repeated."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fpnotes.activations import Activation, linear, tanh
from fpnotes.chapters import reproduce
from fpnotes.chapters.reproduce import (
    euler,
    gain_of_rate,
    made,
    mnist,
    results,
    scripts_euler,
    settling_times,
    unrolled,
    watch,
    watch_euler,
    write,
)
from fpnotes.rules import gradient, linearized
from fpnotes.solvers import solve
from fpnotes.tasks import Digits
from fpnotes.training import History, train

ROOT = Path(__file__).parents[2]

# ---- 500 Euler steps ----


def network(seed, n=7, m=5, scale=0.5):
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal((m, n))


@pytest.mark.parametrize("seed", range(3))
def test_euler_of_a_linear_network_is_the_power_of_one_step(seed):
    """From rest, k steps of r ← r + h((W − I)r + x) leave (I + h(W − I))ᵏ of the way to Ax."""
    W, x = network(seed)
    fixed = np.linalg.solve(np.eye(7) - W, x.T)
    for steps, dt in ((500, 0.01), (37, 0.3)):
        left = np.linalg.matrix_power(np.eye(7) + dt * (W - np.eye(7)), steps)
        expected = (fixed - left @ fixed).T
        point = euler(W, x, "linear", steps=steps, dt=dt)
        np.testing.assert_allclose(point.r, expected, rtol=1e-11, atol=1e-12)
        assert (point.steps == steps).all() and point.steps.shape == (5,)


@pytest.mark.parametrize("seed", range(3))
def test_euler_of_tanh_neurons_is_the_loop_written_out(seed):
    W, x = network(seed, scale=1.5)
    r = np.zeros(x.shape)
    for _ in range(500):
        for j in range(len(x)):
            r[j] = r[j] + 0.01 * (np.tanh(W @ r[j] + x[j]) - r[j])
    point = euler(W, x)
    np.testing.assert_allclose(point.r, r, rtol=1e-11, atol=1e-13)
    z = r @ W.T + x
    np.testing.assert_allclose(point.recurrent, r @ W.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(point.gain, 1 - np.tanh(z) ** 2, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(point.residual, np.abs(np.tanh(z) - r).max(axis=1), rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_euler_with_the_scripts_gains_gives_the_scripts_update(seed):
    """At an unsettled state ΔW₁ with gains 1 − r² is an update of its own, far from that with f′(Wr + x)."""
    W, x = network(seed, scale=1.0)
    W = W / np.linalg.eigvals(W).real.max()  # at x = 0 it would take for ever to settle
    x, e = 0.1 * x, np.random.default_rng(seed).standard_normal(x.shape)
    state = euler(W, x, gain=gain_of_rate)
    assert state.residual.max() > 1e-3
    update = np.zeros_like(W)
    for r, error in zip(state.r, e, strict=True):  # as the scripts write it
        g = 1.0 - r**2
        inverse = np.linalg.inv(np.eye(len(W)) - g[:, None] * W)
        update -= 0.1 * np.outer(g * (inverse.T @ error), r)
    np.testing.assert_allclose(gradient(W, state, e, 0.1), update, rtol=1e-6, atol=1e-9)
    ours = gradient(W, euler(W, x), e, 0.1)
    assert np.linalg.norm(ours - update) > 0.01 * np.linalg.norm(update)


def test_unrolled_keeps_single_precision_and_is_the_gradient_of_a_settled_network():
    W, x = (a.astype(np.float32) for a in network(0, scale=0.3))
    state = euler(W, x, steps=3000)
    error = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    step = unrolled(W, state, error, 1.0, steps=3000)
    assert step.dtype == np.float32
    np.testing.assert_allclose(step, gradient(W, state, error, 1.0), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("curve", ["tanh", "softplus"])
def test_unrolled_of_a_batch_is_the_sum_over_its_samples(curve):
    W, _ = network(0, scale=0.5)
    x, error = np.random.default_rng(1).standard_normal((2, 150, len(W)))

    def step(x, error, *, keep):
        state = euler(W, x, curve, steps=30, keep=keep)
        return unrolled(W, state, error, 0.1, activation=curve, steps=30)

    whole = step(x, error, keep=True)
    np.testing.assert_array_equal(whole, step(x, error, keep=False))
    alone = [step(*sample, keep=True) for sample in zip(x, error, strict=True)]
    np.testing.assert_allclose(whole, np.sum(alone, axis=0), rtol=1e-10, atol=1e-12)


def test_euler_refuses_gains_of_another_shape():
    with pytest.raises(
        ValueError, match=r"^gain must return one gain per rate, \(5, 4\), not \(4,\)"
    ):
        euler(np.zeros((4, 4)), np.zeros((5, 4)), gain=lambda r: r[0])


def test_without_recurrence_euler_ends_short_of_the_fixed_point_by_what_5_tau_leave():
    x = np.random.default_rng(0).standard_normal((4, 3))
    point = euler(np.zeros((3, 3)), x)
    short = (np.tanh(x) - point.r) / np.tanh(x)
    assert np.allclose(short, 0.99**500, rtol=1e-9) and 0.99**500 < np.exp(-5)
    assert point.converged.all()  # as the authors do: every sample is taken for a fixed point
    strict = euler(np.zeros((3, 3)), x, tol=point.residual.max() / 2)
    assert strict.converged.tolist() == (strict.residual <= point.residual.max() / 2).tolist()
    assert not strict.converged.all()


def test_euler_keeps_single_precision_and_a_copy_of_the_weights():
    W, x = (a.astype(np.float32) for a in network(0))
    point = euler(W, x, steps=20)
    assert point.r.dtype == point.gain.dtype == point.recurrent.dtype == np.float32
    W[0, 0] = 7
    assert point.W[0, 0] != 7


def reused(curve):
    """Return a curve that works in place on its argument, and hands out one array again and again."""
    held = {}

    def f(z):
        z[...] = curve(z)
        held.setdefault("z", np.empty_like(z))[...] = z
        return held["z"]

    return f


@pytest.mark.parametrize("steps", [1, 40])
def test_euler_gives_the_same_whatever_an_activation_does_with_its_arrays(steps):
    W, x = network(4)
    own = Activation("own tanh", reused(np.tanh), reused(lambda z: 1 - np.tanh(z) ** 2))
    given = x.copy()
    point, expected = euler(W, given, own, steps=steps), euler(W, x, "tanh", steps=steps)
    own.gain(np.zeros_like(x))  # overwrites the array that it handed out
    given[...] = W[...] = 7
    for name in ("r", "gain", "x", "recurrent", "residual"):
        one, other = getattr(point, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13, err_msg=name)
    assert not np.any(point.W == 7)


def test_an_activation_that_is_not_elementwise_is_named_by_euler():
    with pytest.raises(ValueError, match="'total' must be elementwise"):
        euler(np.eye(2) / 2, np.ones((1, 2)), Activation("total", np.sum, np.cos))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W": np.zeros((2, 3))}, "W must be a square"),
        ({"x": np.zeros((2, 3))}, "x must have shape"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"dt": 0}, "dt must be positive"),
    ],
)
def test_wrong_arguments_of_euler_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        euler(**{"W": np.eye(2) / 2, "x": np.ones((1, 2)), **change})


# ---- How long the network takes to settle ----


@pytest.mark.parametrize("w", [-2.0, 0.0, 0.5, 0.9, 0.97])
def test_a_linear_neuron_settles_after_log_100_of_its_time_constants(w):
    """r(t) = Ax(1 − exp(−(1 − w)t)) is within 1 % from t = ln(100)/(1 − w); times are quarters of τ."""
    W, x = np.array([[w]]), np.array([[0.3], [-20.0]])
    exact = np.log(100) / (1 - w)
    times = settling_times(W, solve(W, x, "linear"), linear)
    assert times.shape == (2,) and ((exact <= times + 1e-3) & (times <= exact + 0.251)).all()


def test_settling_is_for_good_not_a_passing_visit():
    """A focus turns around its fixed point while the distance decays like exp(−(1 − a)t)."""
    a, b = 0.8, 3.0
    W, x = np.array([[a, -b], [b, a]]), np.array([[1.0, 0.0], [2.0, -1.0]])
    times = settling_times(W, solve(W, x, "linear"), linear)
    exact = np.log(100) / (1 - a)
    # The simulation's own error is a few hundredths of the last 1 %, and so moves the time.
    assert ((exact <= times + 0.1) & (times <= exact + 0.35)).all()


def test_what_does_not_settle_takes_forever():
    one = np.ones((1, 1))
    slow = np.array([[0.99]])  # needs 460 time constants
    assert settling_times(slow, solve(slow, one, "linear"), linear).tolist() == [np.inf]
    assert np.isfinite(settling_times(slow, solve(slow, one, "linear"), linear, 500)).all()
    unstable = np.array([[1.02]])
    assert settling_times(unstable, solve(unstable, one, "linear"), linear).tolist() == [np.inf]
    # Bistable: from rest a tanh neuron with w = 3 goes to the fixed point on its input's side.
    W, x = np.array([[3.0]]), np.array([[0.1], [0.1]])
    both = solve(W, x, r0=np.array([[1.0], [-1.0]]))
    times = settling_times(W, both, tanh)
    assert both.stable.all() and np.isfinite(times[0]) and times[1] == np.inf


@pytest.mark.parametrize("duration", [50.0, 50.1, np.float32(50), 0.1])
def test_the_duration_is_any_positive_number(duration):
    """ln(100)/(1 − ½) = 9.2 time constants, seen at most a quarter of one later, or not at all."""
    point = solve(np.array([[0.5]]), np.array([[1.0]]), "linear")
    (time,) = settling_times(point.W, point, linear, duration)
    exact = 2 * np.log(100)
    assert exact - 1e-3 <= time <= exact + 0.251 if duration > 1 else time == np.inf


@pytest.mark.parametrize("duration", [0, -1.0, np.nan, np.inf, "200", [1, 2]])
def test_a_duration_that_is_no_positive_number_is_named(duration):
    point = solve(np.array([[0.5]]), np.array([[1.0]]), "linear")
    with pytest.raises((ValueError, TypeError), match="^duration must be"):
        settling_times(point.W, point, linear, duration)


def test_a_network_that_starts_at_its_fixed_point_has_settled():
    point = solve(np.eye(2) / 2, np.zeros((3, 2)))
    assert settling_times(point.W, point, tanh).tolist() == [0, 0, 0]


# ---- What is recorded ----

KEYS = {
    "test_loss",
    "test_accuracy",
    "converged",
    "evaluations",
    "abscissa_W",
    "abscissa_GW",
    "settled_20",
    "settled",
    "settling_time",
}


class Tiny(Digits):
    """Three classes of Gaussian inputs to ten neurons."""

    @classmethod
    def published(cls, seed=0, *, full=False, n=10, dtype: type = np.float32, **data):
        rng = np.random.default_rng(seed)
        centers = np.random.default_rng(0).standard_normal((3, n))
        y = rng.integers(3, size=120)
        x = centers[y] + 0.5 * rng.standard_normal((120, n))
        W0 = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
        readout = rng.standard_normal((3, n)) / np.sqrt(n)
        arrays = (a.astype(dtype) for a in (W0, x, readout))
        W0, x, readout = arrays
        return cls(
            W0,
            x[:80],
            y[:80],
            readout=readout,
            test_x=x[80:],
            test_y=y[80:],
            batch_size=32,
        )


def test_what_is_watched_is_what_it_says():
    task = Tiny.published(1)
    W, x = task.W0, task.x[:30]
    point = solve(W, x, task.activation)
    values = watch(task, W, point)
    assert values.keys() == KEYS == watch_euler(task, W, point).keys()
    exact, loss, accuracy = task.test(W)
    assert values["test_loss"] == loss and values["test_accuracy"] == accuracy
    assert values["converged"] == 1 and values["evaluations"] == point.steps.max()
    assert values["abscissa_W"] == pytest.approx(np.linalg.eigvals(W).real.max(), rel=1e-5)
    rows = np.linspace(0, 29, 20).astype(int)
    G = point.gain[rows[:4]]
    by_hand = np.linalg.eigvals(G[:, :, None] * W).real.max()
    assert values["abscissa_GW"] == pytest.approx(by_hand, rel=1e-4)
    times = settling_times(W, solve(W, x[rows]), task.activation)
    assert values["settling_time"] == np.median(times) < 20
    assert values["settled_20"] == values["settled"] == 1
    assert np.isfinite(list(values.values())).all()


def test_a_network_watched_with_euler_is_tested_with_euler():
    """At 5τ most samples are not within 1e-5 of a fixed point, and the watch says so."""
    task = Tiny.published(1)
    point = scripts_euler(task.W0, task.x, task.activation)
    values = watch_euler(task, task.W0, point)
    _, loss, _ = task.test(task.W0, solve=scripts_euler)
    assert values["test_loss"] == loss != task.test(task.W0)[1]
    size = np.maximum(1, np.abs(point.r).max(axis=1))
    assert values["converged"] == np.mean(point.residual <= 1e-5 * size) < 0.5
    assert values["evaluations"] == 500
    assert values["settled"] == 1  # settling is judged by exact fixed points


def test_an_unstable_network_is_seen():
    task = Tiny.published(1)
    W = np.kron(np.eye(5, dtype=np.float32), np.array([[1.5, -3], [3, 1.5]], np.float32))
    values = watch(task, W, solve(W, 0.01 * task.x, task.activation, on_failure="ignore"))
    assert values["abscissa_W"] == pytest.approx(1.5) and 1 < values["abscissa_GW"] < 1.5
    assert values["settled_20"] == values["settled"] == 0 and values["settling_time"] == np.inf


# ---- All of it on a small problem ----

SMALL = {
    "exact": ({gradient: [0.01, 0.1], linearized: [0.1]}, {"record": watch}),
    "euler": ({gradient: [0.1]}, {"record": watch_euler, "solve": scripts_euler}),
}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(reproduce, "Digits", Tiny)
    monkeypatch.setattr(reproduce, "PROTOCOLS", SMALL)
    monkeypatch.setattr(reproduce, "STEPS", 24)
    monkeypatch.setattr(reproduce, "EVERY", 10)


def rows_in(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_the_tables_hold_every_run_and_every_measurement(small, tmp_path):
    mnist(tmp_path, seeds=[3, 4], progress=False)
    runs, curves = (
        [row for protocol in SMALL for row in rows_in(tmp_path / f"mnist-{protocol}-{name}.csv")]
        for name in ("runs", "curves")
    )
    names = [(r["protocol"], r["rule"], r["lr"], r["seed"]) for r in runs]
    assert sorted(names) == sorted(
        (protocol, rule.__name__, str(lr), seed)
        for protocol, (rates, _) in SMALL.items()
        for rule, lrs in rates.items()
        for lr in lrs
        for seed in ("3", "4")
    )
    steps = [(r["protocol"], r["rule"], r["lr"], r["seed"], r["step"]) for r in curves]
    assert sorted(steps) == sorted(
        (*name, step) for name in names for step in ("0", "10", "20", "24")
    )

    # One run by hand.
    task = Tiny.published(4)
    history = train(
        task,
        gradient,
        0.1,
        24,
        seed=4,
        progress=False,
        record=watch_euler,
        every=10,
        solve=scripts_euler,
    )
    row = next(r for r in runs if (r["protocol"], r["seed"]) == ("euler", "4"))
    assert row["diverged"] == "False" and row["steps"] == "24"
    expected = {
        "train_loss": history.loss[-20:].mean(),
        "test_loss": task.test(history.W, solve=scripts_euler)[1],
        "exact_test_loss": task.test(history.W)[1],
        "exact_converged": 1,
        "worst_convergence": history.recorded["converged"].min(),
        "abscissa_W": np.linalg.eigvals(history.W).real.max(),
    }
    for name, value in expected.items():
        assert float(row[name]) == pytest.approx(value, rel=2e-5), name
    mine = [r for r in curves if (r["protocol"], r["seed"]) == ("euler", "4")]
    assert [float(r["test_loss"]) for r in mine] == pytest.approx(
        history.recorded["test_loss"], rel=2e-5
    )
    before = [history.loss[max(0, k - 19) : k + 1].mean() for k in (0, 10, 20, 24)]
    assert [float(r["train_loss"]) for r in mine] == pytest.approx(before, rel=2e-5)
    exact = next(r for r in runs if r["protocol"] == "exact")
    assert exact["test_loss"] == exact["exact_test_loss"]


def test_a_run_that_breaks_down_is_a_row_like_the_others(small, tmp_path, monkeypatch):
    monkeypatch.setattr(
        reproduce,
        "PROTOCOLS",
        {"exact": ({collapsing: [1.0], linearized: [0.1]}, {"record": watch})},
    )
    mnist(tmp_path, seeds=[0], progress=False)
    broken, whole = rows_in(tmp_path / "mnist-exact-runs.csv")
    assert broken["diverged"] == "True" and broken["steps"] == "0"
    assert whole["diverged"] == "False" and whole["steps"] == "24"


SCRIPT = """
import sys
import test_reproduce as test
from fpnotes.chapters import reproduce
reproduce.Digits, reproduce.PROTOCOLS, reproduce.EVERY = test.Tiny, test.SLOW, 10
reproduce.STEPS = 24
if __name__ == "__main__":
    reproduce.mnist(sys.argv[1], seeds=range(30), progress=False)
"""


def slow(*arguments):
    time.sleep(0.01)
    return linearized(*arguments)


def collapsing(W, *arguments):
    return np.full_like(W, np.nan)


def interrupting(W, *arguments):
    raise KeyboardInterrupt


SLOW = {"exact": ({slow: [0.1]}, {"record": watch})}


@pytest.mark.slow  # a killed sweep is tested in tests/package/test_sweeps.py too
def test_killed_and_called_again_it_loses_and_repeats_no_run(small, tmp_path, monkeypatch):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    process = subprocess.Popen(
        [sys.executable, str(script), str(out)],
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # so that its workers are killed too
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("exact/slow*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = sorted(out.glob("exact/slow*.npz"))
    assert 3 <= len(kept) < 30 and not list(out.glob("*.csv"))
    assert all(len(History.load(path)[0].loss) == 25 for path in kept)
    before = {path: path.stat().st_mtime_ns for path in kept}

    monkeypatch.setattr(reproduce, "PROTOCOLS", SLOW)
    seeds = len(kept) + 2
    mnist(out, seeds=range(seeds), progress=False)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    assert len(rows_in(out / "mnist-exact-runs.csv")) == seeds
    assert len(rows_in(out / "mnist-exact-curves.csv")) == 4 * seeds


def test_stopped_by_hand_it_keeps_what_is_finished_and_writes_no_table(
    small, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        futures, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(1)
    )
    stopped = {linearized: [0.1], interrupting: [0.1]}
    monkeypatch.setattr(reproduce, "PROTOCOLS", {"exact": (stopped, {"record": watch})})
    with pytest.warns(RuntimeWarning, match="interrupted"), pytest.raises(SystemExit) as end:
        reproduce.main(["mnist", "--out", str(tmp_path), "--seeds", "1", "--shipped"])
    assert "same command" in str(end.value)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.match("linearized-lr0.1-seed0-*.npz")


def test_runs_on_other_images_are_other_runs(small, tmp_path):
    mnist(tmp_path, seeds=[0], full=False, progress=False)
    shipped = set(tmp_path.rglob("*.npz"))
    mnist(tmp_path, seeds=[0], full=True, progress=False)
    assert len(set(tmp_path.rglob("*.npz")) - shipped) == len(shipped) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": []}, "^seeds must be one or more different whole numbers, not"),
        ({"seeds": [1, 2, 1]}, "^seeds must be one or more different whole numbers, not"),
        ({"seeds": [0.5]}, "^seeds must be a whole number, not 0.5"),
        ({"seeds": [-1]}, "^seeds must be at least 0, not -1"),
        ({"protocols": []}, r"^protocols must be some of exact, euler, unrolled, not \[\]"),
        ({"protocols": ["Euler"]}, "^protocols must be some of exact, euler, unrolled, not"),
        ({"workers": 0}, "^workers must be at least 1, not 0"),
        ({"workers": 1.5}, "^workers must be a whole number, not 1.5"),
        ({"cache": 3}, "^cache must be a path, not 3"),
        ({"out": None}, "^out must be a path, not None"),
    ],
)
def test_wrong_arguments_of_mnist_are_named_before_anything_is_made(given, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        mnist(**{"out": tmp_path / "out", "full": False, "progress": False, **given})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_a_run(small, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "sweep", None)
    (tmp_path / "file").write_text("something")
    for out in ("file", "file/out"):
        with pytest.raises(OSError, match="out must be a folder that can be written"):
            mnist(tmp_path / out, seeds=[0], progress=False)


def test_a_tilde_in_out_and_cache_is_the_home_folder(small, tmp_path, monkeypatch):
    given = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(reproduce, "PROTOCOLS", {"exact": ({linearized: [0.1]}, {})})
    monkeypatch.setattr(
        reproduce, "sweep", lambda task, *_, **options: given.append((task, options)) or {}
    )
    with pytest.raises(KeyboardInterrupt):  # none of the runs came back
        mnist("~/out", seeds=[0], cache="~/mnist", progress=False)
    ((task, options),) = given
    assert task.keywords["cache"] == tmp_path / "mnist"
    assert options["folder"] == tmp_path / "out/exact"


@pytest.mark.parametrize("option", ["--seeds", "--workers"])
@pytest.mark.parametrize("number", ["0", "-2", "1.5", "many"])
def test_the_command_line_refuses_numbers_that_count_nothing(option, number, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        reproduce.main(["mnist", "--out", str(tmp_path / "out"), f"{option}={number}"])
    assert end.value.code == 2 and not (tmp_path / "out").exists()
    expected = f"argument {option}: must be a whole number from 1 on, not {number}"
    assert expected in capsys.readouterr().err


def test_the_command_line_says_what_to_run(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(reproduce, "mnist", lambda out, **given: calls.append((out, given)))
    reproduce.main(["mnist", "--out", str(tmp_path)])
    reproduce.main(["mnist", "--out", "there", "--seeds", "5", "--workers", "8", "--shipped"])
    reproduce.main(["mnist", "--out", "there", "--protocols", "euler", "unrolled"])
    whole = {"seeds": range(3), "full": True, "workers": 2, "cache": None}
    whole["protocols"] = ["exact", "euler", "unrolled"]
    assert calls[0] == (tmp_path, whole)
    assert calls[2] == (Path("there"), {**whole, "protocols": ["euler", "unrolled"]})
    assert calls[1] == (Path("there"), {**whole, "seeds": range(5), "workers": 8, "full": False})
    with pytest.raises(SystemExit):
        reproduce.main([])


# ---- The tables ----


def test_a_table_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reproduce.py", "mnist", "--out", "a folder"])
    monkeypatch.setattr(reproduce, "files", lambda package: tmp_path)
    (tmp_path / "tables").mkdir()
    rows = [
        {
            "rule": "gradient",
            "lr": 0.0025,
            "steps": np.int64(354),
            "diverged": False,
            "time": np.inf,
        },
        {"rule": "linearized", "lr": 0.1, "steps": np.int64(7), "diverged": True, "time": 1 / 3},
    ]
    write(tmp_path / "tables" / "table.csv", made(), rows)
    assert [p.name for p in (tmp_path / "tables").iterdir()] == ["table.csv"]
    table = results("table")
    assert table.columns.tolist() == list(rows[0])
    assert table["steps"].tolist() == [354, 7] and table["diverged"].tolist() == [False, True]
    assert table["time"].tolist() == [np.inf, pytest.approx(1 / 3, rel=1e-5)]
    command, versions = table.attrs["made"]
    assert command == "python -m fpnotes.chapters.reproduce mnist --out 'a folder'"
    assert "Python 3" in versions and "numpy" in versions


@pytest.mark.parametrize("name", ["mnist", "mnist-runs.csv", "", None])
def test_a_table_that_is_not_there_is_named_with_those_that_are(name):
    with pytest.raises(
        ValueError, match=f"^name must be one of .*mnist-exact-runs, .*, not {name!r}$"
    ):
        results(name)


def test_the_published_curves_end_as_read_from_the_authors_files():
    """Rates of every rule are those that the runs use; four rows were read a second time, by other code."""
    table = results("mnist-published").set_index(["rule", "lr"])
    assert sorted(table.index) == sorted(
        (rule.__name__, lr) for rule, rates in reproduce.RATES.items() for lr in rates
    )
    known = {
        ("gradient", 0.0025): (2.081, 2.081, 0.348, 0.49),
        ("gradient", 0.01): (1.351, 1.324, 0.651, 1.24),
        ("linearized", 0.025): (1.186, 1.157, 0.777, 0.48),
        ("linearized", 0.1): (0.678, 0.641, 0.849, 0.52),
    }
    for key, values in known.items():
        row = table.loc[key, ["train_loss", "test_loss", "test_accuracy", "abscissa_W"]]
        assert row.tolist() == pytest.approx(values, abs=0.006), key
    assert "github.com/RobertRosenbaum" in results("mnist-published").attrs["made"][0]


@pytest.mark.parametrize(("protocol", "count"), [("exact", 45), ("euler", 45), ("unrolled", 15)])
def test_the_tables_that_come_with_the_package_hold_every_run(protocol, count):
    """Fifteen rates by exact fixed points and by Euler steps, five by the gradient through them."""
    runs, curves = (results(f"mnist-{protocol}-{kind}") for kind in ("runs", "curves"))
    names = ["protocol", "rule", "lr", "seed"]
    expected = {
        (protocol, rule.__name__, lr, seed)
        for rule, lrs in reproduce.PROTOCOLS[protocol][0].items()
        for lr in lrs
        for seed in range(3)
    }
    assert len(expected) == count == len(runs)
    assert set(runs[names].itertuples(index=False, name=None)) == expected
    at = [*range(0, 354, 20), 354]
    for name, run in curves.groupby(names):
        end = runs.set_index(names).loc[name]
        assert end.steps == 354 or end.diverged
        assert run.step.tolist() == [step for step in at if step <= end.steps], name
    assert not runs.isna().any(axis=None) and not curves.isna().any(axis=None)
    for table in (runs, curves):
        command, how = table.attrs["made"]
        assert command.startswith("python -m fpnotes.chapters.reproduce mnist ")
        assert "commit" in how


def test_tables_name_commits_that_the_history_has():
    """A commit that was rewritten later tells nobody which code made a table."""
    git = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True)
    if git(["git", "rev-parse", "--is-shallow-repository"]).stdout.strip() != "false":
        pytest.skip("needs the whole history of the project, as a plain git clone has it")
    named = {}
    for path in sorted(ROOT.glob("fpnotes/chapters/tables/*.csv")):
        lines = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
        if not any("github.com" in line for line in lines):  # a commit of the authors' repository
            words = re.findall(r"\b[0-9a-f]{7,40}\b", " ".join(lines))
            named[path.stem] = [word for word in words if not word.isdecimal()]
    assert {"mnist-euler-runs", "best-runs", "rivals-runs"} <= {
        name for name in named if named[name]
    }
    for name, commits in named.items():
        for commit in commits:
            found = git(["git", "merge-base", "--is-ancestor", commit, "HEAD"])
            assert found.returncode == 0, (name, commit)


def test_the_published_curves_end_as_the_table_of_their_ends_says():
    curves, ends = results("mnist-published-curves"), results("mnist-published")
    runs = {}
    for row in curves.to_dict("records"):
        runs.setdefault((row["rule"], row["lr"]), []).append(row)
    assert len(runs) == len(ends) == 15
    for end in ends.to_dict("records"):
        run = runs[end["rule"], end["lr"]]
        assert [row["step"] for row in run] == list(range(354))
        assert run[0]["train_loss"] == pytest.approx(end["first_loss"], abs=1e-4)
        for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
            last = np.mean([row[name] for row in run[-20:]])
            assert last == pytest.approx(end[name], abs=1e-4)
