"""Every rule at its best on digits: how rates are chosen, what is paid and counted, what is kept."""

import csv
from unittest import mock

import numpy as np
import pytest

from fpnotes import implicit
from fpnotes.chapters import best
from fpnotes.chapters.best import (
    AbscissaPenalty,
    abscissa_gradient,
    adjoint_products,
    bracketed,
    held_out,
    watch,
)
from fpnotes.network import spectral_abscissa
from fpnotes.rules import gradient, linearized
from fpnotes.solvers import solve
from tests.book.test_reproduce import Tiny


@pytest.mark.checks("eq-abscissa-penalty")
@pytest.mark.parametrize("seed", range(4))
def test_abscissa_gradient_is_what_differences_of_the_abscissa_give(seed):
    """The derivative of the largest real part, for random matrices and directions."""
    rng = np.random.default_rng(seed)
    W, dW = rng.standard_normal((2, 8, 8))
    h = 1e-6
    slope = (spectral_abscissa(W + h * dW) - spectral_abscissa(W - h * dW)) / (2 * h)
    assert np.sum(abscissa_gradient(W) * dW) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.checks("eq-abscissa-penalty")
def test_the_penalty_descends_its_own_term_and_adds_nothing_below_the_bound():
    """The step has the rule's part and −η times c (μ − b) ∂μ/∂W, and the second only where μ is above b."""
    task = Tiny.published(1)
    W = 2 * task.W0
    point = solve(W, task.x, task.activation)
    error = task.error(point.r, task.y)
    plain = gradient(W, point, error, 0.1)
    top = spectral_abscissa(W)
    quiet = AbscissaPenalty(gradient, strength=3, bound=top + 0.1)
    np.testing.assert_array_equal(quiet(W, point, error, 0.1), plain)
    paying = AbscissaPenalty(gradient, strength=3, bound=top - 0.2)
    extra = paying(W, point, error, 0.1) - plain
    np.testing.assert_allclose(extra, -0.1 * 3 * 0.2 * abscissa_gradient(W), rtol=1e-3, atol=1e-6)
    assert paying(W, point, error, 0.1).dtype == np.float32
    assert spectral_abscissa(W + extra) < top
    assert paying.__name__ == "gradient+penalty"


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({1: 3.0, 2: 2.0, 4: 2.5}, (2, None)),
        ({1: 1.0, 2: 2.0}, (1, 0.5)),
        ({1: 3.0, 2: 2.0}, (2, 4)),
        ({1: 3.0, 2: 2.0, 4: np.inf}, (2, None)),
    ],
)
def test_the_search_goes_on_until_the_best_lies_between_two_worse(losses, expected):
    assert bracketed(losses) == expected


def test_what_is_held_out_is_neither_learned_from_nor_of_the_test_set(monkeypatch):
    monkeypatch.setattr(best, "Digits", Tiny)
    monkeypatch.setattr(best, "HELD_OUT", 30)
    whole, task = Tiny.published(2), held_out(2)
    np.testing.assert_array_equal(np.r_[task.x, task.test_x], whole.x)
    np.testing.assert_array_equal(np.r_[task.y, task.test_y], whole.y)
    assert len(task.test_x) == 30 and (task.W0 == whole.W0).all()


def test_adjoint_products_are_those_of_every_iteration_or_a_factorization():
    rng = np.random.default_rng(0)
    n, m = 60, 7
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    point = solve(W, rng.standard_normal((m, n)))
    error = rng.standard_normal((m, n))
    count = adjoint_products(W, point, error)
    assert 5 < count < 60  # iterated
    few = W[:40, :40]
    x = rng.standard_normal((m, 40))
    assert adjoint_products(few, solve(few, x), x) == pytest.approx(40 / 3)  # factorized
    assert implicit.iterate.__name__ == "iterate"  # put back after counting


def test_the_test_set_is_not_watched():
    task = Tiny.published(1)
    with mock.patch.object(Tiny, "test", None):
        values = watch(task, task.W0, solve(task.W0, task.x[:5]))
    assert values["settled"] == 1 and 0 < values["settling_time"] < 20
    assert values["abscissa_W"] == pytest.approx(np.linalg.eigvals(task.W0).real.max(), rel=1e-5)


def rows_in(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_all_of_it_on_a_small_problem(monkeypatch, tmp_path):
    """The best rate is bracketed and the one that the runs have; called again, no run is repeated."""
    for name, value in {
        "Digits": Tiny,
        "HELD_OUT": 30,
        "STEPS": 6,
        "EVERY": 3,
        "SEEDS": range(2),
        "CHOSEN_WITH": range(1),
        "RATES": {gradient: [0.5, 1.0], linearized: [1.0]},
    }.items():
        monkeypatch.setattr(best, name, value)
    best.best(tmp_path, full=False, progress=False)
    rates, runs, curves = (
        rows_in(tmp_path / f"best-{name}.csv") for name in ("rates", "runs", "curves")
    )
    for rule in ("gradient", "linearized"):
        own = [row for row in rates if row["rule"] == rule]
        losses = {}
        for row in own:
            diverged = row["diverged"] == "True"
            loss = np.inf if diverged else float(row["held_out_loss"])
            losses.setdefault(float(row["lr"]), []).append(loss)
        assert all(len(values) == 1 for values in losses.values())
        mean = {lr: np.mean(values) for lr, values in losses.items()}
        chosen = min(mean, key=mean.__getitem__)
        assert min(mean) < chosen < max(mean)
        assert [float(row["lr"]) for row in runs if row["rule"] == rule] == [chosen] * 2
    assert [row["step"] for row in curves] == ["0", "3", "6"] * 4
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    best.best(tmp_path, full=False, progress=False)
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
