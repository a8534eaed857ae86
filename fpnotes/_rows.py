"""Work on a batch some rows at a time, on every core that BLAS would use."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
from threadpoolctl import ThreadpoolController

# Rows are taken so many bytes at a time: the few arrays of that size that a step touches then stay in a
# core's cache, and memory does not grow with m. Fewer rows than LEAST would make products slow.
BYTES = 320_000
LEAST = 128
# What needs many arrays of the batch's size at once takes it in parts, each of chunks for every core.
PART = 25 * BYTES

# Freed memory stays with the process: Linux's allocator would otherwise return the arrays of a training step
# to the system, and get them back empty at the next, a third of the step's time. It keeps as much as the
# largest array that it has seen freed, up to 32 MB; this one is never touched.
np.empty(2**25 - 2**16, np.uint8)

# NumPy's, which is the only one that a product of arrays calls. Looking for libraries takes milliseconds.
_blas = ThreadpoolController().select(user_api="blas")


def slices(rows, nbytes):
    """Return slices of an (m, N) array, as few of at most so many bytes as there can be, of equal size."""
    m, most = len(rows), max(LEAST, nbytes // (rows.shape[1] * rows.itemsize))
    size = -(-m // max(1, -(-m // most)))
    return [slice(start, min(start + size, m)) for start in range(0, m, max(1, size))]


def in_chunks(work, rows, side_by_side=False):
    """Call ``work(part)`` for slices that together are all rows of an array.

    Parameters
    ----------
    work : callable
        Works on the rows of one slice, and on nothing that another slice's call touches.
    rows : (m, N) array
        The batch; only its shape and dtype matter.
    side_by_side : bool
        Whether calls may run in several threads: as many as BLAS would use, each then with one.
    """
    parts = slices(rows, BYTES)
    threads = max((library.num_threads for library in _blas.lib_controllers), default=1)
    if not side_by_side or min(threads, len(parts)) < 2:
        for part in parts:
            work(part)
        return
    with _blas.limit(limits=1), ThreadPoolExecutor(threads) as executor:
        # A context each, so that np.errstate holds in the threads too.
        futures = [executor.submit(copy_context().run, work, part) for part in parts]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def largest(a):
    """Return the largest modulus of every row of a real array: (m, N) → (m,)."""
    return np.maximum(a.max(axis=1, initial=0), -a.min(axis=1, initial=0))
