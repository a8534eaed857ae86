"""How many threads BLAS has, and one thread for as long as anything in this process asks for it."""

from contextlib import contextmanager
from functools import lru_cache
from threading import Lock

from threadpoolctl import OpenBLASController, ThreadpoolController, threadpool_limits

_lock = Lock()
_users, _limits = 0, None


@lru_cache(maxsize=1)
def _libraries():
    import scipy.linalg  # noqa: F401  # as below

    return ThreadpoolController().select(user_api="blas").lib_controllers


def has_one_thread():
    """Return whether every BLAS in this process, NumPy's and SciPy's, has one thread at this moment.

    Only then may the two take turns: where each has a pool of threads, the pools get in each other's way.
    """
    threads = [library.num_threads for library in _libraries()]
    return bool(threads) and max(threads) == 1


@contextmanager
def one_blas_thread():
    """Limit BLAS to one thread while this runs, in whatever thread: the last one out ends the limit.

    ``threadpool_limits`` alone restores what it found, and where two threads overlap one of them finds the
    other's limit. It also lets one thread only change OpenBLAS's limit, until that thread steps down.
    """
    global _users, _limits
    import scipy.linalg  # noqa: F401  # its BLAS is a library of its own, which must be there to be limited

    with _lock:
        if _users == 0:
            OpenBLASController.clear_controlling_thread(force=True)
            _limits = threadpool_limits(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limits is not None:
                OpenBLASController.clear_controlling_thread(force=True)
                _limits.restore_original_limits()
                OpenBLASController.clear_controlling_thread(force=True)
