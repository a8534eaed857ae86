"""Batches in chunks: nothing lost or done twice, the same numbers, no memory that grows with m."""

import json
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fpnotes import gradient, linearized, solve
from fpnotes._rows import in_chunks, largest
from fpnotes.rules import linearized_without_gains


@pytest.fixture
def small_chunks(monkeypatch):
    """Take rows three at a time when they have twenty entries."""
    monkeypatch.setattr("fpnotes._rows.BYTES", 3 * 20 * 8)
    monkeypatch.setattr("fpnotes._rows.LEAST", 1)


def numpy_blas():
    """Return the paths of the BLAS libraries that NumPy alone loads; another test may have loaded SciPy's."""
    code = "import json, numpy, threadpoolctl as t; print(json.dumps(t.threadpool_info()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return {lib["filepath"] for lib in json.loads(done.stdout) if lib["user_api"] == "blas"}


@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize("m", [0, 1, 3, 4, 61])
def test_every_row_comes_once(m, side_by_side, small_chunks):
    seen = np.zeros(m, int)

    def work(part):
        assert 1 <= len(seen[part]) <= 3
        seen[part] += 1

    with threadpool_limits(2, user_api="blas"):
        in_chunks(work, np.empty((m, 20)), side_by_side)
    assert (seen == 1).all()


def test_threads_have_one_blas_thread_each_the_callers_errstate_and_leave_things_as_they_were(
    small_chunks,
):
    both = threading.Barrier(2, timeout=60)  # passed only if two calls run at once
    numpys = numpy_blas()
    seen = []

    def work(part):
        both.wait()
        blas = {lib["num_threads"] for lib in threadpool_info() if lib["filepath"] in numpys}
        seen.append((blas, np.geterr()["over"]))

    with threadpool_limits(2, user_api="blas"), np.errstate(over="raise"):
        before = threadpool_info()
        in_chunks(work, np.empty((6, 20)), side_by_side=True)
        assert threadpool_info() == before
    assert seen == [({1}, "raise")] * 2


@pytest.mark.parametrize("side_by_side", [False, True])
def test_an_error_comes_through(side_by_side, small_chunks):
    def work(part):
        if part.start >= 3:
            raise KeyError("the second chunk")

    with threadpool_limits(2, user_api="blas"), pytest.raises(KeyError, match="second"):
        in_chunks(work, np.empty((30, 20)), side_by_side)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_chunks_change_nothing(dtype, threads, monkeypatch):
    rng = np.random.default_rng(3)
    n, m = 60, 47
    W = (0.9 * rng.standard_normal((n, n)) / np.sqrt(n)).astype(dtype)
    x, error = rng.standard_normal((2, m, n)).astype(dtype)
    point = solve(W, x)
    dW = gradient(W, point, error, 1.0)
    monkeypatch.setattr("fpnotes._rows.BYTES", 10 * n * 4)
    monkeypatch.setattr("fpnotes._rows.LEAST", 1)
    with threadpool_limits(threads, user_api="blas"):
        chunked = solve(W, x)
        in_parts = gradient(W, chunked, error, 1.0)
    assert chunked.r.dtype == dtype and chunked.converged.all()
    tol = 100 * np.finfo(dtype).eps if dtype == np.float64 else 3e-5
    np.testing.assert_allclose(chunked.r, point.r, atol=max(tol, 1e-7))
    np.testing.assert_allclose(in_parts, dW, atol=max(tol, 1e-6) * np.abs(dW).max())


SUMS = (gradient, linearized, linearized_without_gains)


@pytest.mark.parametrize("rule", SUMS)
def test_parts_of_a_batch_add_up(rule, monkeypatch):
    rng = np.random.default_rng(6)
    W, (x, error) = 0.4 * rng.standard_normal((5, 5)) / np.sqrt(5), rng.standard_normal((2, 301, 5))
    point = solve(W, x)
    dW = rule(W, point, error, 0.1)
    monkeypatch.setattr("fpnotes.rules.PART", 1)  # so parts are of LEAST rows
    np.testing.assert_allclose(rule(W, point, error, 0.1), dW, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rule", SUMS)
def test_memory_of_a_rule_does_not_grow_with_the_batch(rule, monkeypatch):
    monkeypatch.setattr("fpnotes.rules.PART", 100_000)
    rng = np.random.default_rng(7)
    n = 50
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)

    def extra(m):
        point, error = solve(W, rng.standard_normal((m, n))), rng.standard_normal((m, n))
        tracemalloc.start()
        try:
            rule(W, point, error, 0.1)
            return tracemalloc.get_traced_memory()[1], error.nbytes
        finally:
            tracemalloc.stop()

    small, _ = extra(4_000)
    large, result = extra(40_000)
    assert large - small < 0.25 * result


def test_memory_beyond_the_result_does_not_grow_with_the_batch():
    rng = np.random.default_rng(4)
    n = 50
    W = 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)

    def extra(m):
        x = rng.standard_normal((m, n))
        tracemalloc.start()
        try:
            point = solve(W, x)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        arrays = (point.r, point.gain, point.x, point.recurrent)
        return peak - sum(array.nbytes for array in arrays), point.r.nbytes

    small, _ = extra(4_000)
    large, result = extra(40_000)
    # What remains is a few numbers a sample, against N.
    assert large - small < 0.25 * result


def test_largest_is_the_largest_modulus_of_a_row():
    a = np.random.default_rng(5).standard_normal((40, 7))
    a[3], a[4] = np.abs(a[3]), -np.abs(a[4])
    np.testing.assert_array_equal(largest(a), np.abs(a).max(axis=1))
    a[5, 2] = np.nan
    assert np.isnan(largest(a)[5])
