"""Batches in chunks: nothing lost or done twice, the same numbers, no memory that grows with m."""

import tracemalloc

import numpy as np
import pytest

from fpnotes import gradient, linearized, solve
from fpnotes._rows import chunks, largest, parts
from fpnotes.rules import linearized_without_gains


@pytest.mark.parametrize("m", [0, 1, 3, 4, 61])
@pytest.mark.parametrize("slices, nbytes", [(chunks, "BYTES"), (parts, "PART")])
def test_every_row_comes_once(slices, nbytes, m, monkeypatch):
    monkeypatch.setattr(f"fpnotes._rows.{nbytes}", 3 * 20 * 8)
    monkeypatch.setattr("fpnotes._rows.LEAST", 1)
    seen = np.zeros(m, int)
    for part in slices(np.empty((m, 20))):
        assert len(seen[part]) <= 3
        seen[part] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_chunks_change_nothing(dtype, monkeypatch):
    rng = np.random.default_rng(3)
    n, m = 60, 47
    W = (0.9 * rng.standard_normal((n, n)) / np.sqrt(n)).astype(dtype)
    x, error = rng.standard_normal((2, m, n)).astype(dtype)
    point = solve(W, x)
    dW = gradient(W, point, error, 1.0)
    monkeypatch.setattr("fpnotes._rows.BYTES", 10 * n * 4)
    monkeypatch.setattr("fpnotes._rows.LEAST", 1)
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
    monkeypatch.setattr("fpnotes._rows.PART", 1)  # so parts are of LEAST rows
    np.testing.assert_allclose(rule(W, point, error, 0.1), dW, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rule", SUMS)
def test_memory_of_a_rule_does_not_grow_with_the_batch(rule, monkeypatch):
    monkeypatch.setattr("fpnotes._rows.PART", 100_000)
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
