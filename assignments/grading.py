"""What the tests of every problem set share; students have this file too, and it holds no answer.

A test draws fresh random instances, calls the student's function, and compares what comes back with
what should. When they differ, ``compare`` looks for a reason and says it in words: the sign, a
transpose, a factor, an inverse, or one of the ``slips`` that the test computes for its own question.

    def test_gradient(env):
        import grading
        import numpy as np

        for rng in grading.fresh(3):
            W, g = rng.standard_normal((4, 4)), rng.uniform(0.2, 1, 4)
            got = grading.call(env, "effective", W, g)
            grading.compare("effective", got, np.diag(g) @ W, slips={"the gains multiply columns": W * g})

A call that takes too long, raises an exception, changes its arguments, or borrows the answer from the
package fails that test with a sentence, and no other.
"""

import inspect
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np

# Seconds of computing for one call of an answer, and for one cell; the tests of the tests are less patient.
CALL_SECONDS = float(os.environ.get("GRADING_CALL_SECONDS", 10))
CELL_SECONDS = float(os.environ.get("GRADING_CELL_SECONDS", 120))

# Every process draws its own instances; setting GRADING_SEED to the number in a message repeats them.
SEED = int(os.environ.get("GRADING_SEED", np.random.SeedSequence().entropy % 10**6))

_rang = []  # alarms since the last call began
_too_slow = {}  # functions that ran out of time once: not waited for again


def fresh(times):
    """Yield that many random generators, one for each instance of a test."""
    for instance in range(times):
        yield np.random.default_rng((SEED, instance))


def with_eigenvalues(rng, real, pair):
    """Return a random matrix with these real eigenvalues and the complex pair a ± ib, for pair = (a, b)."""
    a, b = pair
    core = np.diag([*real, a, a])
    core[-2, -1], core[-1, -2] = -b, b
    S = np.eye(len(core)) + 0.3 * rng.uniform(-1, 1, core.shape) / len(core) ** 0.5
    return S @ core @ np.linalg.inv(S)


def fail(message):
    """Fail the test with a sentence for the student."""
    raise AssertionError(f"{message} [seed {SEED}]")


# ---- Calling an answer ----
def call(env, name, *args, forbid=(), **options):
    """Return what the student's function ``name`` returns for these arguments.

    Parameters
    ----------
    env : dict
        The notebook's names, as Otter hands them to a test.
    forbid : tuple of str
        Modules the answer must not lean on, such as "fpnotes.rules", because writing what they hold is
        the question.

    Raises
    ------
    AssertionError
        With a sentence for the student: when there is no such function, it raises an exception, takes
        too long, returns nothing, changes an argument, or calls a forbidden module.
    """
    function = env.get(name)
    if not callable(function):
        fail(f"There is no function {name}: run the cell that defines it")
    if function in _too_slow:
        fail(_too_slow[function])
    before = [np.copy(a) if isinstance(a, np.ndarray) else None for a in args]
    _rang.clear()
    try:
        with _without(forbid), _time_limit(CALL_SECONDS):
            value = function(*args, **options)
        if _rang:  # what it called took the alarm for an interrupt by hand, and returned
            raise _OutOfTime
    except _OutOfTime:
        _too_slow[function] = f"{name} did not finish in {CALL_SECONDS:g} s: does its loop end?"
        fail(_too_slow[function])
    except _Forbidden as error:
        fail(f"{name} calls {error} of the package: the question is to write it yourself")
    except Exception as error:
        fail(f"{name} raised {type(error).__name__}: {error}")
    for argument, old, parameter in zip(
        args, before, inspect.signature(function).parameters, strict=False
    ):
        if old is not None and not np.array_equal(argument, old, equal_nan=True):
            fail(f"{name} changed its argument {parameter} in place: the caller still needs it")
    if value is None or value is Ellipsis:
        fail(f"{name} returns nothing yet")
    return value


class _OutOfTime(KeyboardInterrupt):
    """Like Ctrl-C, so that ``except Exception`` in a student's loop does not swallow it."""


class _Forbidden(Exception):
    pass


# A limit is one of computing time, so that a busy machine is no excuse to stop an answer; what only waits is
# stopped after four times as long on the clock. Windows has no such alarms: there a student has the
# interrupt button, and grading happens elsewhere.
_ALARMS = (
    [
        (signal.ITIMER_PROF, signal.SIGPROF, time.process_time, 1),
        (signal.ITIMER_REAL, signal.SIGALRM, time.monotonic, 4),
    ]
    if hasattr(signal, "setitimer")
    else []
)


@contextmanager
def _time_limit(seconds):
    """Raise _OutOfTime in the block after some seconds."""
    alarms = _ALARMS if threading.current_thread() is threading.main_thread() else []
    outer = []
    for timer, number, clock, times in alarms:
        handler = signal.signal(number, _ring)
        left, _ = signal.setitimer(timer, times * seconds, 1)  # and again, if it is swallowed
        outer.append((handler, left, clock()))
    try:
        yield
    finally:
        for (timer, number, clock, _), (handler, left, began) in zip(alarms, outer, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
            if left:  # a limit around this one, that of the cell
                signal.setitimer(timer, max(left - clock() + began, 0.01), 1)


def _ring(signum, frame):
    _rang.append(signum)
    raise _OutOfTime("this takes too long: does the loop end?")


@contextmanager
def _without(modules):
    """Raise _Forbidden in the block when a function defined in one of the modules is called."""

    def look(frame, event, arg):
        module = frame.f_globals.get("__name__")
        if event == "call" and module in modules:
            raise _Forbidden(f"{module}.{frame.f_code.co_name}")

    if not modules:
        yield
        return
    old = sys.getprofile()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(old)


def limit_cells():
    """Stop a cell of this notebook that runs for too long, so that an endless loop costs no other answer."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return

    def start(info=None):
        for timer, number, _, times in _ALARMS:
            signal.signal(number, _ring)
            signal.setitimer(timer, times * CELL_SECONDS, 1)

    def stop(result=None):
        for timer, *_ in _ALARMS:
            signal.setitimer(timer, 0)

    shell.events.register("pre_run_cell", start)
    shell.events.register("post_run_cell", stop)


# ---- Judging what came back ----
def compare(name, got, want, *, slips=None, factors=None, rtol=1e-6):
    """Fail, in words, unless ``got`` is the number or array ``want``.

    Parameters
    ----------
    name : str
        The student's function.
    got, want : number or array
    slips : dict, optional
        What a likely mistake would give, keyed by the sentence that describes the mistake.
    factors : dict, optional
        Numbers that are easily forgotten, by name: {"m": 7} makes a value 7 times too large "off by a
        factor of m".
    rtol : float
        Difference allowed, relative to the largest entry of ``want``.
    """
    want = np.asarray(want, float)
    got = numbers(name, got, want.shape)
    if _near(got, want, rtol):
        return
    for sentence, slip in (slips or {}).items():
        if np.shape(slip) == want.shape and _near(got, np.asarray(slip, float), rtol):
            fail(f"{name}: {sentence}")
    fail(f"{name}: {_difference(got, want, factors or {}, rtol)}")


def numbers(name, got, shape, *, infinite=False):
    """Return ``got`` as an array of floats, or fail unless it is one of this shape; NaN is no number."""
    try:
        got = np.asarray(got)
        real = got.dtype.kind in "biuf"
    except ValueError:
        real = False
    if not real:
        fail(f"{name} should return real numbers, not {_describe(got)}")
    if got.shape != shape:
        hint = ""
        if got.shape == shape[::-1]:
            hint = ": it is transposed"
        elif got.size == np.prod(shape, dtype=int):
            hint = ": the entries may be right, their arrangement is not"
        fail(f"{name} should return {_shape(shape)}, not {_shape(got.shape)}{hint}")
    wrong = np.isnan(got) if infinite else ~np.isfinite(got)
    if wrong.any():
        fail(f"{name} returns {np.count_nonzero(wrong)} entries that are NaN or infinite")
    return got.astype(float)


def verdicts(name, got, want, slips=None):
    """Fail, in words, unless the yes-or-no answers ``got`` to a list of instances are those of ``want``.

    ``slips`` gives the answers that a likely mistake would lead to, keyed by the sentence that describes it.
    """
    for answer in got:
        if not isinstance(answer, (bool, np.bool_)):
            fail(f"{name} should return True or False, not {_describe(answer)}")
    got, want = [bool(g) for g in got], [bool(w) for w in want]
    if got == want:
        return
    for sentence, slip in (slips or {}).items():
        if got == [bool(s) for s in slip]:
            fail(f"{name}: {sentence}")
    if len(set(got)) == 1:
        fail(f"{name}: the answer is {got[0]} whatever the arguments")
    wrong = sum(g != w for g, w in zip(got, want, strict=True))
    fail(f"{name}: {wrong} of {len(want)} answers are wrong")


def _near(a, b, rtol):
    scale = max(np.abs(b).max(initial=0), 1e-12)
    return np.abs(a - b).max(initial=0) <= rtol * scale


def _difference(got, want, factors, rtol):
    """Say how ``got`` differs from ``want``: a sentence without the answer in it."""
    square = want.ndim == 2 and want.shape[0] == want.shape[1]
    if _near(got, -want, rtol):
        return "the sign is wrong"
    if square and _near(got, want.T, rtol):
        return "the result has the right size but is transposed"
    if square and _near(got, -want.T, rtol):
        return "the result is transposed and its sign is wrong"
    for label, turned in (("", want), (" and transposed", want.T if square else None)):
        factor = None if turned is None else _factor(got, turned, rtol)
        if factor is not None:
            sign = ", and its sign is wrong" if factor < 0 else ""
            return f"the result is {_named(abs(factor), factors)}{label}{sign}"
    if square:
        extra = got - want
        if _near(extra, extra[0, 0] * np.eye(len(want)), rtol):
            return "the result is off by a multiple of the identity matrix"
        if np.linalg.cond(want) < 1e8 and _near(got, np.linalg.inv(want), rtol):
            return "the result is the inverse of the right matrix"
    size = np.abs(got - want).max() / max(np.abs(want).max(), 1e-12)
    return f"the result is wrong, by {size:.2g} of its largest entry"


def _factor(got, want, rtol):
    """Return c if got = c·want for a nonzero c, or None."""
    norm = np.sum(want * want)
    c = np.sum(got * want) / norm if norm > 0 else 0
    return c if c != 0 and _near(got, c * want, rtol * abs(c)) else None


def _named(factor, factors):
    for name, value in factors.items():
        if np.isclose(factor, value):
            return f"off by a factor of {name}: too large"
        if np.isclose(factor, 1 / value):
            return f"off by a factor of {name}: too small"
    return f"off by a factor of {factor:.4g}"


def _shape(shape):
    return f"an array of shape {shape}" if shape else "one number"


def _describe(value):
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of {value.dtype} and shape {value.shape}"
    return repr(value)
