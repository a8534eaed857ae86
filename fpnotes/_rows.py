"""Work on a batch some rows at a time."""

import numpy as np

# Rows are taken so many bytes at a time: the few arrays of that size that an iteration touches then stay in
# cache, and memory does not grow with m. Fewer rows than LEAST would make products slow. Threads of our own
# over such chunks were slower than BLAS's inside one, measured on two cores.
BYTES = 1_280_000
LEAST = 128
# What only sums over samples needs several arrays of the batch's size once: it takes larger parts.
PART = 8_000_000


def chunks(rows):
    """Return slices of an (m, N) array to iterate on, one after the other."""
    return _slices(rows, BYTES)


def parts(rows):
    """Return slices of an (m, N) array to sum over; one at least, if of no rows."""
    return _slices(rows, PART) or [slice(0)]


def _slices(rows, nbytes):
    """Return as few slices of at most so many bytes as there can be, of equal size."""
    m, most = len(rows), max(LEAST, nbytes // (rows.shape[1] * rows.itemsize))
    size = -(-m // max(1, -(-m // most)))
    return [slice(start, min(start + size, m)) for start in range(0, m, max(1, size))]


def largest(a):
    """Return the largest modulus of every row of a real array: (m, N) → (m,)."""
    return np.abs(a).max(axis=1, initial=0)
