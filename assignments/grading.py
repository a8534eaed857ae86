"""What the tests of every problem set share; students have this file too, and it holds no answer.

A test draws fresh random instances, calls the student's function, and compares what comes back with
what should. When they differ, ``compare`` looks for a reason and says it in words: the sign, a
transpose, a factor, an inverse, or one of the ``slips`` that the test computes for its own question.

    def test_gradient(env):
        import grading
        import numpy as np

        for rng, (n,) in grading.sizes((4,), (7,)):
            W, g = rng.standard_normal((n, n)), rng.uniform(0.2, 1, n)
            got = grading.call(env, "effective", W, g)
            grading.compare("effective", got, np.diag(g) @ W, slips={"the gains multiply columns": W * g})

A call that takes too long, raises an exception, changes its arguments, or borrows the answer from the
package fails that test with a sentence, and no other.

``practice`` does the same on fixed instances that students have. What is right there, and what each slip
gives, is stored sealed: a sentence can be read only with the result that it describes.
"""

import base64
import builtins
import hashlib
import importlib.util
import inspect
import json
import os
import re
import signal
import sys
import threading
import time
import types
from copy import deepcopy
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
_FOUND = importlib.util.find_spec("fpnotes")
_PACKAGE = os.path.join(os.path.dirname(_FOUND.origin), "") if _FOUND and _FOUND.origin else "\0"

# Seconds of computing for one call of an answer, and for one cell; the tests of the tests are less patient.
# All calls of one function together have SHARE times as long as one.
CALL_SECONDS = float(os.environ.get("GRADING_CALL_SECONDS", 10))
CELL_SECONDS = float(os.environ.get("GRADING_CELL_SECONDS", 120))
SHARE = 6

QUOTED = 80  # characters of a student's value in a message


def _seed():
    """Return what the instances are drawn from: one number for a class, or another in each process."""
    if "GRADING_SEED" in os.environ:
        return int(os.environ["GRADING_SEED"])
    if (HERE / "grading-seed").exists():  # only in an autograder
        return int((HERE / "grading-seed").read_text())
    return int(np.random.SeedSequence().entropy % 10**6)


# Setting GRADING_SEED to the number in a message repeats its instances.
SEED = _seed()

# f-I curves, and functions of weights, that practice instances can name.
CURVES = {
    "tanh": np.tanh,
    "arctan": np.arctan,
    "relu": lambda z: np.maximum(z, 0.0),
    "linear": lambda z: z,
    "sine": lambda z: np.sin(z) / 2,
    "sum of cubes and squares": lambda V: np.sum(V**3 + V**2),
}


# ---- Instances ----
def fresh(times):
    """Yield that many random generators, one for each instance of a test."""
    for instance in range(times):
        yield np.random.default_rng((SEED, instance))


def sizes(*shapes):
    """Yield a random generator and a tuple of sizes for each instance of a test."""
    yield from zip(fresh(len(shapes)), shapes, strict=True)


def with_eigenvalues(rng, real, pair, above=0.0):
    """Return a random matrix with these real eigenvalues and the complex pair a ± ib, for pair = (a, b).

    ``above`` stands above the diagonal of its triangular form; where it is large, norms say nothing.
    """
    a, b = pair
    core = np.diag([*real, a, a]) + above * np.triu(np.ones((len(real) + 2,) * 2), 1)
    core[-2, -1], core[-1, -2] = -b, b
    S = np.eye(len(core)) + 0.3 * rng.uniform(-1, 1, core.shape) / len(core) ** 0.5
    if above:
        S, _ = np.linalg.qr(S)
    return S @ core @ np.linalg.inv(S)


def fail(message):
    """Fail the test with a sentence for the student."""
    raise AssertionError(f"{message} [seed {SEED}]")


# ---- Calling an answer ----
def call(env, name, *args, allow=(), forbid=(), largest=None, **options):
    """Return what the student's function ``name`` returns for these arguments.

    Parameters
    ----------
    env : dict
        The notebook's names, as Otter hands them to a test.
    allow : tuple of str
        Modules of the package that the answer may call, such as "fpnotes.solvers". It may call no
        other: to write what they hold is the question.
    forbid : tuple of str
        Further modules that the answer must not call, also inside of what ``allow`` names.
    largest : int, optional
        Size of the largest square matrix that the answer may invert, factorize or solve with.

    Returns
    -------
    arrays, numbers, strings, and tuples and lists of them
        Copies in NumPy's and Python's own types.

    Raises
    ------
    AssertionError
        With a sentence for the student: when there is no such function, it raises an exception, takes
        too long, returns nothing, changes an argument, or calls what it must not.
    """
    restore = _restore
    function = env.get(name)
    if not callable(function):
        fail(f"There is no function {name}: run the cell that defines it")
    if id(function) in _too_slow:
        fail(_too_slow[id(function)][1])
    before = [np.copy(a) if isinstance(a, np.ndarray) else None for a in args]
    value = error = None
    watch = _Watch(allow, forbid, largest)
    used = _used.get(id(function), (function, 0.0))[1]
    limit = _push(min(CALL_SECONDS, SHARE * CALL_SECONDS - used))
    try:
        with watch:
            value = _plain(function(*args, **options))
    except BaseException as caught:  # sys.exit and Ctrl-C too: they end this call, and nothing else
        error = caught
    finally:
        _pop(limit)
    _used[id(function)] = function, used + limit.used()
    changed = restore()
    if changed:
        fail(f"{name} changes {changed[0]}, which grading needs")
    if limit.rang or isinstance(error, _OutOfTime):
        whole = (
            f"in {CALL_SECONDS:g} s" if limit.seconds == CALL_SECONDS else "all its calls in time"
        )
        _too_slow[id(function)] = function, f"{name} did not finish {whole}: does its loop end?"
        fail(_too_slow[id(function)][1])
    if watch.seen:
        fail(f"{name} {watch.seen}")
    if error is not None:
        fail(f"{name} raised {_words_of(error)}")
    for position, (argument, old) in enumerate(zip(args, before, strict=True)):
        if old is not None and not np.array_equal(argument, old, equal_nan=True):
            fail(
                f"{name} changed its argument {_parameter(function, position)} in place: "
                "the caller still needs it"
            )
    if value is None or value is Ellipsis:
        fail(f"{name} returns nothing yet")
    return value


def held(env, name):
    """Return a dictionary of the notebook, in NumPy's and Python's own types, or None if there is none."""
    try:
        value = env.get(name)
        return {_plain(k): _plain(v) for k, v in value.items()} if isinstance(value, dict) else None
    except BaseException as error:
        fail(f"{name} cannot be read: {_words_of(error)}")


def quoted(value):
    """Return a student's value in at most QUOTED characters."""
    return _cut(str(value))


def _parameter(function, position):
    try:
        return list(inspect.signature(function).parameters)[position]
    except (ValueError, TypeError, IndexError):
        return f"number {position + 1}"


def _words_of(error):
    try:
        return f"{type(error).__name__}: {_cut(str(error))}".removesuffix(": ")
    except BaseException:
        return type(error).__name__


def _cut(text):
    text = " ".join(text.split())
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."


class _Thing:
    """What an answer returned and no test can use; its words are all that is left of it."""

    def __init__(self, value):
        self.words = _cut(repr(value))

    def __repr__(self):
        return self.words


def _plain(value):
    """Return a result in NumPy's and Python's own types, so that no object of the answer's judges itself."""
    if value is None or value is Ellipsis or type(value) in (bool, int, float, complex, str):
        return value
    if isinstance(value, (list, tuple)):
        return [*map(_plain, value)] if isinstance(value, list) else (*map(_plain, value),)
    if isinstance(value, np.generic):
        return np.array(value)[()]
    if isinstance(value, float):
        return float.__pos__(value)
    if isinstance(value, int):
        return int.__pos__(value)
    try:
        array = np.array(value)
    except Exception:
        return _Thing(value)
    return _Thing(value) if array.dtype.kind == "O" else array


# ---- Limits of time ----
class _OutOfTime(KeyboardInterrupt):
    """Like Ctrl-C, so that ``except Exception`` in a student's loop does not swallow it."""


# By a function's id, and with the function itself, so that no other has this id. What ran out of time once is
# not waited for again.
_used = {}  # seconds that it has used, in all its calls since this cell began
_too_slow = {}  # what its author is told
_limits = []  # those in force, from the outermost in
TICK = 0.1
# A cell that was stopped has this long to end; a second exception while the first is shown would end Python.
AGAIN = 3.0


class _Limit:
    """Seconds of computing, or of waiting, since this limit began.

    A limit counts computing time, so that a busy machine is no excuse to stop an answer. What waits for
    something else than a processor has as long again. Linux tells the two apart; elsewhere three quarters of
    the time in which a process does not compute are taken for the machine's.
    """

    def __init__(self, seconds, again):
        self.seconds, self.rang, self.over = seconds, False, False
        self.next, self.again = seconds, again
        self.began, self.ran = time.monotonic(), time.process_time()
        self.queued = _queued()

    def used(self):
        """Return the seconds of computing or of waiting, whichever are more."""
        computing = time.process_time() - self.ran
        idle = time.monotonic() - self.began - computing
        queued = _queued()
        if queued is None or self.queued is None:
            return max(computing, idle / 4)
        return max(computing, idle - (queued - self.queued))


def _queued():
    """Return the seconds in which this process was ready to compute and had no processor, or None."""
    try:
        with open("/proc/self/schedstat") as file:
            ran, queued, _ = map(int, file.read().split())
    except (OSError, ValueError):
        return None
    return queued / 1e9 if ran else None  # some sandboxes have the file, and only zeros in it


def _push(seconds, again=TICK):
    """Begin a limit: _OutOfTime is raised when it is over, and again after so long, until it is ended.

    Windows has no such alarms: there a student has the interrupt button, and grading happens elsewhere.
    """
    limit = _Limit(seconds, again)
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        _limits.append(limit)
        signal.signal(signal.SIGALRM, _tick)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    return limit


def _pop(limit):
    """End a limit, and those that began in it."""
    limit.over = True
    if limit in _limits:
        del _limits[_limits.index(limit) :]
        if not _limits:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _tick(signum, frame):
    for limit in _limits:
        if limit.used() > limit.next and not limit.over:
            limit.rang, limit.next = True, limit.used() + limit.again
            raise _OutOfTime("this takes too long: does the loop end?")


# ---- What an answer calls ----
# These only multiply or measure, whatever the size.
_HARMLESS = frozenset(
    "norm multi_dot matrix_power matmul outer tensordot trace det matrix_transpose diagonal vecdot "
    "vector_norm matrix_norm cross aslinearoperator issymmetric ishermitian bandwidth".split()
)


# What starts another process, whoever calls it. Nothing watches over what an answer computes there.
_STARTS = frozenset(
    function
    for module, names in {
        "os": "system fork forkpty posix_spawn posix_spawnp execv execve",
        "_posixsubprocess": "fork_exec",
        "_winapi": "CreateProcess",
    }.items()
    if importlib.util.find_spec(module)
    for name in names.split()
    if (function := getattr(importlib.import_module(module), name, None))
)
# What an answer itself has no use for. Modules that it calls may need these.
_USELESS = {
    open: "opens a file: an answer gets all it needs as arguments",
    sys._getframe: "looks at what calls it: an answer gets all it needs as arguments",
} | dict.fromkeys((exec, eval, compile), "runs code that was made from text: write it in a cell")


class _Forbidden(BaseException):
    """Not an Exception, so that an answer which catches those does not go on."""


class _Watch:
    """In its block, look at each Python function that is called, however it was imported, in every thread."""

    def __init__(self, allow, forbid, largest):
        self.allow, self.forbid, self.largest = allow, ("otter", *forbid), largest
        self.seen = None

    def __enter__(self):
        self.before = sys.getprofile()
        threading.setprofile(self.look)
        sys.setprofile(self.look)

    def __exit__(self, *exception):
        if sys.getprofile() != self.look and self.seen is None and not exception[0]:
            self.seen = "turns off what watches over it"
        sys.setprofile(self.before)
        threading.setprofile(None)

    def look(self, frame, event, arg):
        if self.seen is None and event in ("call", "c_call"):
            self.seen = self.wrong(frame) if event == "call" else self.useless(frame, arg)
            if self.seen:
                raise _Forbidden

    @staticmethod
    def useless(frame, function):
        """Return what is wrong with calling this function of Python's own from this frame, or None."""
        try:
            said = _USELESS.get(function)
            if function in _STARTS:
                return "starts another process: an answer is computed in this one"
        except TypeError:  # a method of what has no hash
            return None
        if frame.f_code.co_name == "_modified_open" and frame.f_back:  # what IPython calls open
            frame = frame.f_back
        return said if frame.f_globals.get("__name__") == "__main__" else None

    def wrong(self, frame):
        """Return what is wrong with calling this function, or None."""
        module, code = frame.f_globals.get("__name__") or "", frame.f_code
        called = f"{module}.{code.co_name}"
        if _within(module, self.forbid):
            return f"calls {called}, which this question rules out"
        if not _within(module, ("fpnotes",)) and code.co_filename.startswith(_PACKAGE):
            return f"runs {code.co_name} from the files of fpnotes: the question is to write it yourself"
        if _within(module, ("fpnotes",)) and not _within(module, self.allow):
            verb = "imports" if code.co_name == "<module>" else "calls"
            called = called.removesuffix(".<module>")
            return f"{verb} {called}: the question is to write it yourself"
        if module == "inspect" and code.co_name.startswith("getsource"):
            return "reads the source of another function: the question is to write it yourself"
        by_python = module in sys.modules or module.startswith("namedtuple_")
        if (
            code.co_filename == "<string>"
            and code.co_name[:2] != "__"
            and (module == "__main__" or not by_python)
        ):
            return "runs code that was made from text: write it in a cell"
        if self.largest is not None and re.match(r"(numpy|scipy)(\.sparse)?\.linalg\b", module):
            size = self.size(frame)
            if size > self.largest:
                return f"calls {code.co_name} of {module.split('.')[0]} for a matrix of size {size}"
        return None

    @staticmethod
    def size(frame):
        """Return the size of the matrix that a function of linear algebra was given first, or 0."""
        code = frame.f_code
        if code.co_name in _HARMLESS or code.co_name[0] in "_<" or not code.co_argcount:
            return 0
        given = frame.f_locals.get(code.co_varnames[0])
        try:
            shape = np.shape(given) if isinstance(given, (np.ndarray, list, tuple)) else ()
        except ValueError:  # rows of different lengths
            shape = ()
        return min(shape[-2:]) if len(shape) >= 2 else 0


def _within(module, packages):
    return any(module == p or module.startswith(f"{p}.") for p in packages)


# ---- The notebook around the answers ----
CHECKS = re.compile(
    r'(\s*[\w.]+(\(\))?\.check\("[\w-]+"\)\s*)+|from otter\.execute import Checker\n.*', re.S
)


def guard_notebook():
    """Keep one cell of this notebook from spoiling the others.

    A cell that computes or waits for too long is stopped, and after it the others have half as long. The
    working folder is as before when a cell has ended, and what tests need is put back when one begins. Points
    come from cells that do nothing but check.
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or getattr(shell, "_grading_guards", False):
        return
    shell._grading_guards = True
    folder, restore, cells = Path.cwd(), _restore, []
    seconds = CELL_SECONDS
    if "otter.execute" in sys.modules:
        sys.modules["otter.execute"].Checker._test_files = _Results(_results())

    def start(info=None):
        restore()
        _used.clear()
        # Checks have limits of their own, one for each call.
        if not CHECKS.fullmatch(getattr(info, "raw_cell", "")):
            results = _results()
            cells.append((_push(seconds, AGAIN), results, len(results)))

    def stop(result=None):
        nonlocal seconds
        while cells:
            limit, results, count = cells.pop()
            _pop(limit)
            # What was checked in a cell of the student's own is checked again when all cells have run.
            del results[count:]
            if limit.rang:
                seconds = max(seconds / 2, CELL_SECONDS / 8)
        try:
            moved = Path.cwd() != folder
        except OSError:  # the cell has removed it
            moved = True
        if moved:
            os.chdir(folder)
            print(f"The working folder is again {folder.name}, where the tests are.")

    shell.events.register("pre_run_cell", start)
    shell.events.register("post_run_cell", stop)


def _results():
    """Return the list into which Otter collects results while it grades."""
    checker = getattr(sys.modules.get("otter.execute"), "Checker", None)
    return checker.get_results() if checker else []


class _Results(list):
    """Results of checks, which the notebook does not hold: it is given others, and may change those."""

    def append(self, result):
        super().append(deepcopy(result))


# Modules, and packages with all that is in them, that grading runs through.
_NEEDED = frozenset("builtins copy inspect json pickle re time".split())
_PACKAGES = "otter", "numpy", "fpnotes"
# Packages whose classes, too, tests lean on, and what Python itself adds to a class.
_CLASSES = __name__, "otter", "fpnotes"
_ADDED = frozenset(("__slotnames__", "__annotations__"))
# Names among the builtins that a notebook changes itself.
_OF_THE_NOTEBOOK = set("exit quit input print display get_ipython".split())
# How a function may be changed while it stays the same object.
_INSIDES = "__code__", "__defaults__", "__kwdefaults__"


def _pin():
    """Return a function that puts back what tests need, and returns the names of what had been changed."""
    this = sys.modules[__name__]
    if _FOUND:
        importlib.import_module("fpnotes")  # before a notebook can change it
    modules = [
        module
        for name, module in [*sys.modules.items()]
        if isinstance(module, types.ModuleType)
        and (name in _NEEDED or _within(name, _PACKAGES))
        and not _within(name, ("fpnotes.chapters",))
    ]
    names, insides, classes = [], {}, {}
    for module in dict.fromkeys([this, *modules]):
        for name, value in [*vars(module).items()]:
            plain = module is this and isinstance(value, (int, float, frozenset, re.Pattern))
            if (callable(value) or plain) and not (
                name == "_restore" or (module is builtins and name in _OF_THE_NOTEBOOK)
            ):
                names.append((vars(module), module, name, value))
            if module in (this, builtins) or not isinstance(value, type):
                insides[id(value)] = value
            if isinstance(value, type) and _within(value.__module__, _CLASSES):
                classes[value] = {*vars(value)}
                for key, part in vars(value).items():
                    part = getattr(part, "__func__", getattr(part, "fget", part))
                    if type(part) is types.FunctionType:
                        names.append((vars(value), value, key, vars(value)[key]))
                        insides[id(part)] = part
    # NumPy wraps functions of its own.
    functions = [getattr(value, "_implementation", value) for value in insides.values()]
    parts = [
        (function, key, getattr(function, key))
        for function in functions
        if type(function) is types.FunctionType
        for key in _INSIDES
    ]
    files = _files()

    def restore():
        this._restore, changed = restore, []
        for space, owner, name, value in names:
            if space.get(name) is not value:
                setattr(owner, name, value)
                changed.append(f"{owner.__name__}.{name}")
        for function, key, value in parts:
            if getattr(function, key) is not value:
                setattr(function, key, value)
                changed.append(f"{function.__module__}.{function.__name__}")
        for owner, known in classes.items():
            for name in vars(owner).keys() - known - _ADDED:
                delattr(owner, name)
                changed.append(f"{owner.__name__}.{name}")
        if sys.modules.get(this.__name__) is not this:
            sys.modules[this.__name__] = this
            changed.append(this.__name__)
        for path, known in files.items():
            if _state(path) != known[0]:
                path.parent.mkdir(exist_ok=True)
                path.unlink(missing_ok=True)
                path.write_bytes(known[1])
                known[0] = _state(path)
                changed.append(f"{path.parent.name}/{path.name}")
        return changed

    return restore


def _files():
    """Return {path: [state, content]} of the tests on disk, which only an autograder has."""
    return {path: [_state(path), path.read_bytes()] for path in sorted(HERE.glob("tests/*.py"))}


def _state(path):
    """Return what changes with a file, and cannot be set back."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_ctime_ns


# ---- Judging what came back ----
def compare(name, got, want, *, slips=None, factors=None, rtol=1e-6, inverse=False):
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
    inverse : bool
        Compare one over ``got``, whose entries are positive or np.inf: "never" is then 0.
    """
    want = np.asarray(want, float)
    for sentence, slip in (slips or {}).items():
        if np.shape(slip) == np.shape(got) != want.shape and _near(
            numbers(name, got, np.shape(slip)), slip, rtol
        ):
            fail(f"{name}: {sentence}")
    got = numbers(name, got, want.shape, infinite=inverse)
    if inverse:
        got = _inverse(name, got)
    if _near(got, want, rtol):
        return
    for sentence, slip in (slips or {}).items():
        if np.shape(slip) == want.shape and _near(got, np.asarray(slip, float), rtol):
            fail(f"{name}: {sentence}")
    for sentence, slip in likely(want, factors or {}).items():
        if _near(got, slip, rtol):
            fail(f"{name}: {sentence}")
    factor = _factor(got, want, rtol)
    if factor is not None:
        shown = f"{factor:.4g}"
        if abs(float(shown)) == 1:
            shown = f"{factor:.9f}".rstrip("0")
        fail(f"{name}: the result is off by a factor of {shown}")
    square = want.ndim == 2 and want.shape[0] == want.shape[1] > 1
    if square and _near(got - want, (got - want)[0, 0] * np.eye(len(want)), rtol):
        fail(f"{name}: the result is off by a multiple of the identity matrix")
    size = np.abs(got - want).max() / max(np.abs(want).max(), 1e-12)
    fail(f"{name}: the result is wrong, by {size:.2g} of its largest entry")


def likely(want, factors):
    """Return what mistakes that any answer can make would give, keyed by a sentence that describes them."""
    found = {"the sign is wrong": -want}
    for label, value in factors.items():
        found[f"the result is off by a factor of {label}: too large"] = want * value
        found[f"the result is off by a factor of {label}: too small"] = want / value
        found[f"the result is off by a factor of {label}, too large, and its sign is wrong"] = (
            -want * value
        )
        found[f"the result is off by a factor of {label}, too small, and its sign is wrong"] = (
            -want / value
        )
    if want.ndim == 2 and want.shape[0] == want.shape[1] > 1:
        found["the result has the right size but is transposed"] = want.T
        found["the result is transposed and its sign is wrong"] = -want.T
        if np.linalg.cond(want) < 1e8:
            found["the result is the inverse of the right matrix"] = np.linalg.inv(want)
    return {sentence: slip for sentence, slip in found.items() if not _near(slip, want, 1e-3)}


def numbers(name, got, shape, *, infinite=False):
    """Return ``got`` as an array of floats, or fail unless it is one of this shape; NaN is no number."""
    given = got
    try:
        got = np.asarray(given)
        real = got.dtype.kind in "biuf"
    except ValueError:
        real = False
    if not real:
        fail(f"{name} should return real numbers, not {_describe(given)}")
    if got.shape != shape:
        hint = ""
        if got.shape == shape[::-1]:
            hint = ": is it transposed?"
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
    if len(got) == 1:
        fail(f"{name}: the answer here is {got[0]}, and should be {want[0]}")
    if len(set(got)) == 1:
        fail(f"{name}: the answer is {got[0]} for all {len(got)} instances that were tried")
    wrong = sum(g != w for g, w in zip(got, want, strict=True))
    fail(f"{name}: {wrong} of {len(want)} answers are wrong")


def flags(name, got, count):
    """Return ``got`` as a list of that many Python bools, or fail."""
    if np.shape(got) != (count,):
        fail(f"{name} should have shape {(count,)}, one flag for each sample, not {np.shape(got)}")
    for flag in got:
        if not isinstance(flag, (bool, np.bool_)):
            fail(f"{name} should be True or False for each sample, not {_describe(flag)}")
    return [bool(flag) for flag in got]


def parts(name, got, names):
    """Return the several things that an answer returns, named as in "r, converged", or fail."""
    count = names.count(",") + 1
    if not isinstance(got, (tuple, list, np.ndarray)) or len(got) != count:
        fail(f"{name} should return {count} things: return {names}")
    return list(got)


def _inverse(name, got):
    if np.any(got <= 0):
        fail(f"{name}: each of these is positive, or np.inf")
    return 1 / got


def _near(a, b, rtol):
    scale = max(np.abs(b).max(initial=0), 1e-12)
    return bool(np.abs(a - b).max(initial=0) <= rtol * scale)


def _factor(got, want, rtol):
    """Return c if got = c·want, for a c other than 0 and ±1, or None; of one number that says nothing."""
    if np.count_nonzero(want) < 2:
        return None
    c = np.sum(got * want) / np.sum(want * want)
    return (
        c if abs(c) > 1e-6 and abs(abs(c) - 1) > 10 * rtol and _near(got, c * want, rtol) else None
    )


def _shape(shape):
    return f"an array of shape {shape}" if shape else "one number"


def _describe(value):
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of {value.dtype} and shape {value.shape}"
    return _cut(repr(value))


# ---- Practice: fixed instances, sealed results ----
def practice(env, name):
    """Judge an answer on the fixed instances in ``practice.json``, and name a mistake that it makes there."""
    instances = json.loads((HERE / "practice.json").read_text(encoding="utf-8"))
    for instance in instances[name]:
        label, got = instance["label"], []
        for given in instance["calls"]:
            args = [_unpacked(arg) for arg in given["args"]]
            options = {key: _unpacked(arg) for key, arg in given["options"].items()}
            rules = {key: given[key] for key in ("allow", "forbid", "largest")}
            value = call(env, name, *args, **rules, **options)
            if given["names"]:
                value = parts(name, value, given["names"])[given["part"]]
            got.append(value)
        if instance["shape"] is None:
            result = [isinstance(g, (bool, np.bool_)) and bool(g) for g in got]
            verdicts(label, got, result)  # whether they are True or False at all
        else:
            shape = tuple(instance["shape"])
            if any(np.shape(got[0]) == tuple(slip["shape"]) for slip in instance["slips"]):
                shape = np.shape(got[0])  # wrong, and a mistake that has a name
            result = numbers(label, got[0], shape, infinite=instance["inverse"])
            result = _inverse(label, result) if instance["inverse"] else result
        if unsealed(result, instance["want"]) is not None:
            continue
        for slip in instance["slips"]:
            sentence = unsealed(result, slip)
            if sentence is not None:
                fail(f"{label}: {sentence}")
        fail(f"{label}: on a practice instance the result is not right")


def sealed(result, sentence):
    """Return a sentence that can be read only with this result, up to small errors of rounding."""
    values = _traits(result)
    unit = float(10.0 ** np.ceil(np.log10(max(np.abs(values).max(), 1e-9)) - 5))
    left = np.mod(values, unit)
    seal = {"shape": np.shape(result), "unit": unit, "left": left.tolist()}
    key = _key(values, seal)
    return seal | {"mark": key.hex()[:16], "text": _hidden(sentence.encode(), key)}


def unsealed(result, seal):
    """Return the sentence of a seal if this result opens it, or else None."""
    if np.shape(result) != tuple(seal["shape"]):
        return None
    values = _traits(result)
    key = _key(values, seal)
    if key.hex()[:16] != seal["mark"]:
        return None
    return base64.b64decode(_hidden(base64.b64decode(seal["text"]), key)).decode()


def _traits(result):
    """Return three weighted sums of a result's entries, which identify it."""
    flat = np.asarray(result, float).ravel()
    weights = np.random.default_rng(20230712).uniform(0.5, 1.5, (3, 4096))[:, : flat.size]
    return weights @ flat


def _key(values, seal):
    digits = np.rint((values - np.array(seal["left"])) / seal["unit"])
    return hashlib.sha256(repr(digits.tolist()).encode()).digest()


def _hidden(text, key):
    """Return a text mixed with what follows from the key; doing it again gives the text back."""
    stream = b"".join(hashlib.sha256(key + bytes([k])).digest() for k in range(len(text) // 32 + 1))
    return base64.b64encode(bytes(a ^ b for a, b in zip(text, stream, strict=False))).decode()


def packed(value):
    """Return an argument as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    for name, curve in CURVES.items():
        if value is curve:
            return {"curve": name}
    if callable(value):
        raise TypeError("a practice instance can name no other functions than grading.CURVES")
    return value


def _unpacked(value):
    if isinstance(value, dict):
        return CURVES[value["curve"]] if "curve" in value else np.array(value["array"], float)
    return value


_restore = _pin()
