"""Fingerprints: the same in every process, different wherever a run could be, and refused where unknown."""

import collections
import dataclasses
import enum
import functools
import importlib
import itertools
import os
import subprocess
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from scipy.special import erf, expit

import fpnotes as fp
from fpnotes import _identity, _packages
from fpnotes._identity import fingerprint, readable


def known(value):
    return fingerprint("it", value)


def function(source, **globals_):
    """Return the function f of a piece of source, with globals of its own."""
    exec(textwrap.dedent(source), globals_)
    return globals_["f"]


def closure(value):
    return lambda: value


def draw(seed, **options):
    return lambda r: r * seed


class Scaled:
    """An object that can be called, with a setting."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        return self.scale * x

    def method(self, x):
        return x + self.scale


class Slots:
    """Keeps its setting in a slot."""

    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


@dataclasses.dataclass
class Setting:
    """Two fields."""

    a: int = 1
    b: object = None


class Color(enum.Enum):
    """Two members."""

    RED = 1
    BLUE = 2


Pair = collections.namedtuple("Pair", "a b")
Other = collections.namedtuple("Other", "a b")


def class_of(source, **globals_):
    exec(textwrap.dedent(source), globals_)
    return globals_["C"]


def named(rule):
    rule.__name__ = "heavy ball"
    return rule


def circle(start):
    """Return two functions that call each other."""
    return function(
        f"""
        def f(n): return {start} if n == 0 else g(n - 1)
        def g(n): return f(n - 1)
        """
    )


def loop(*values):
    """Return a list that holds itself."""
    result: list = list(values)
    result.append(result)
    return result


task = fp.LinearRegression(np.zeros((2, 2)), np.eye(2), np.ones((2, 2)))
CUBE = np.arange(8.0)

# No two values of a row may be taken for one another.
DIFFERENT = {
    "types": [1, 1.0, True, "1", b"1", 1j, None, np.float64(1), np.float32(1), np.int64(1)]
    + [np.array(1), np.array([1]), (1,), [1], {1}, frozenset({1}), {1: 1}, {"1": 1}, np.True_],
    "numbers": [0.0, -0.0, float("nan"), float("inf"), 0.1, 0.1 + 1e-17 * 2, 1e300],
    "whole numbers": [0, 1, -1, 10**20, 10**5000, False],
    "text": ["", "a", "A", "é", "e\u0301", "\ud800", b"a"],
    "nesting": [(1, 2, 3), ((1, 2), 3), (1, (2, 3)), [(1, 2), 3], ((), (1, 2, 3)), (1, 2), (2, 1)],
    "dicts": [{}, {"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1}, {"a": {"b": 1}}],
    "sets": [set(), {1}, {2}, {1, 2}, {"1", "2"}, {(1, 2)}, frozenset()],
    "slices": [slice(1), slice(1, 2), slice(1, 2, 3), range(1), range(1, 2), range(0)],
    "entries": [CUBE, CUBE + 1e-15, CUBE[::-1], CUBE.reshape(2, 4), CUBE.reshape(4, 2)]
    + [CUBE.astype(dtype) for dtype in ("f4", "i8", ">f8", "O", "c16", "U4", "m8[s]", "m8[ms]")],
    "dtypes": [np.float32, np.dtype("f4"), np.dtype("f8"), np.dtype([("a", "f4")]), float],
    "masks": [np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 2]), np.array([1, 2])],
    "code": [
        function("def f(x): return x + 1"),
        function("def f(x): return x + 1.0"),
        function("def f(x): return x - 1"),
        function("def f(x, y): return x + 1"),
        function("def f(*x): return x + 1"),
        function("def f(y): return y + 1"),  # its argument may be given by name
        function("def f(x, /): return x + 1"),
        function("def f(x): return x.a + 1"),
        function("def f(x): return x.b + 1"),
        function("async def f(x): return x + 1"),
        function("def f(x): yield x + 1"),
    ],
    "handlers": [
        function(f"""
        def f(x):
            try:
                return 1 / x
            except {error}:
                return 0
        """)
        for error in ("ValueError", "ZeroDivisionError", "(ValueError, ZeroDivisionError)")
    ],
    "defaults": [
        function("def f(x, a=1): return a"),
        function("def f(x, a=2): return a"),
        function("def f(x, a=None): return a"),
        function("def f(x, *, a=1): return a"),
        function("def f(x, *, a=2): return a"),
        function("def f(x, *, a): return a"),
    ],
    "closures": [closure(1), closure(2), closure(1.0), closure(closure(1)), closure(closure(2))],
    "lambdas": [lambda W, p: 1.0, lambda W, p: 2.0, lambda W, p: W, lambda W, p: p],
    "globals": [
        function("def f(x): return a * x", a=1),
        function("def f(x): return a * x", a=2),
        function("def f(x): return a * x", a=closure(1)),
        function("def f(x): return a * x"),
        function("def f(x): return b * x", b=1),
    ],
    "what is called by what is called": [
        function(f"""
        def deeper(x): return x + {n}
        def deep(x): return [deeper(i) for i in x]
        def f(x): return deep(x)
        """)
        for n in (1, 2, 3)
    ],
    "nested functions": [
        function(f"""
        def f(x):
            def inner(y): return y + {n}
            return inner(x)
        """)
        for n in (1, 2)
    ],
    "classes in functions": [
        function(f"""
        def f(x):
            class Inner:
                scale = {n}
            return Inner.scale * x
        """)
        for n in (1, 2)
    ],
    "globals of comprehensions": [
        function("def f(x): return [a * i for i in x]", a=1),
        function("def f(x): return [a * i for i in x]", a=2),
    ],
    "circles": [circle(0), circle(1), loop(), loop(1), loop(loop())],
    "partials": [
        partial(closure, 1),
        partial(closure, 2),
        partial(closure, value=1),
        partial(closure),
        partial(draw, 1),
        partial(partial(closure), value=[1, 2]),
        partial(closure, value="masks/a.npy"),
        partial(closure, value=Path("masks/a.npy")),
        closure,
    ],
    "objects": [Scaled(1), Scaled(1.0), Scaled(2), Scaled(Scaled(1)), Scaled, Slots(1), Slots(2)],
    "methods": [Scaled(1).method, Scaled(2).method, Scaled(1).__call__, Scaled.method],
    "dataclasses": [Setting(), Setting(2), Setting(b=1), Setting(b=[1])],
    "named tuples": [Pair(1, 2), Pair(2, 1), Other(1, 2), (1, 2)],
    "enums": [Color.RED, Color.BLUE, Color, 1],
    "classes": [
        class_of(source)
        for source in (
            "class C: pass",
            "class C:\n a = 1",
            "class C:\n a = 2",
            "class C:\n def a(self): return 1",
            "class C:\n def a(self): return 2",
            "class C:\n @staticmethod\n def a(self): return 1",
            "class C:\n @classmethod\n def a(self): return 1",
            "class C:\n @property\n def a(self): return 1",
            "class C:\n @property\n def a(self): return 2",
            "import functools\nclass C:\n @functools.cached_property\n def a(self): return 1",
            "import functools\nclass C:\n @functools.cached_property\n def a(self): return 2",
            "import functools\nclass C:\n @functools.cache\n def a(self): return 2",
            "class B:\n def a(self): return 1\nclass C(B): pass",
            "class B:\n def a(self): return 3\nclass C(B): pass",
            "class M(type): pass\nclass C(metaclass=M): pass",
            "class C(dict): pass",
            "class C:\n a = str.upper",
            "class C:\n a = str.lower",
        )
    ],
    "objects of such classes": [
        class_of("class B:\n def a(self): return 1\nclass C(B): pass")(),
        class_of("class B:\n def a(self): return 3\nclass C(B): pass")(),
    ],
    "built-in functions": [len, sum, max, [].append, {}.get, {1: 2}.get, (1.0).__add__],
    "functions of packages": [np.sin, np.cos, anp.sin, anp.cos, np.sum, np.mean, expit, erf]
    + [np.linalg.solve, np.linalg.inv, np, np.linalg, textwrap.dedent, Path],
    "cached functions": [functools.cache(draw), functools.cache(closure)],
    "random generators": [
        np.random.default_rng(1),
        np.random.default_rng(2),
        np.random.RandomState(1),
        np.random.RandomState(2),
        np.random.Generator(np.random.MT19937(1)),
    ],
    "rules": [fp.gradient, fp.linearized, partial(fp.gradient, tol=1e-3), fp.Momentum(fp.gradient)]
    + [fp.Momentum(fp.gradient, 0.5), fp.Momentum(fp.linearized), fp.Adam(fp.gradient)]
    + [fp.Dale(fp.gradient, signs) for signs in ([1, 1], [1, -1])],
    "curves": ["tanh", fp.tanh, fp.relu, fp.powerlaw(2), fp.powerlaw(3), fp.powerlaw(2, 0.5)]
    + [fp.as_activation(lambda z: z), fp.as_activation(lambda z: 2 * z)],
    "derivatives": [autograd.grad(lambda r: r), autograd.grad(lambda r: 2 * r)],
    "vectorized": [np.vectorize(lambda r: r), np.vectorize(lambda r: 2 * r)],
    "tasks": [
        task,
        dataclasses.replace(task, W0=np.eye(2)),
        dataclasses.replace(task, x=2 * np.eye(2)),
        dataclasses.replace(task, y=np.zeros((2, 2))),
        fp.Task(task.W0, task.x, task.y, task.loss, "linear"),
        fp.Task(task.W0, task.x, task.y, lambda r, y: (r - y).sum(), "linear"),
        fp.Task(task.W0, task.x, task.y, lambda r, y: (r + y).sum(), "linear"),
        fp.Task(task.W0, task.x, task.y, task.loss, "tanh"),
    ],
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_is_told_apart(values):
    prints = [known(value) for value in values]
    for (i, a), (j, b) in itertools.combinations(enumerate(prints), 2):
        assert a != b, (values[i], values[j])


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_a_piece_of_a_task_or_a_rule_counts_wherever_it_is_held(values):
    holders = (
        lambda v: [v],
        lambda v: {"a": v},
        closure,
        Setting,
        Slots,
        partial(partial, closure),
    )
    for hold in holders:
        assert len({known(hold(value)) for value in values}) == len(values)


PLAIN = """
def f(x, scale=2):
    total = 0
    for i in x:
        total += scale * i
    return helper(total)
def helper(x):
    return x
"""
REWRITTEN = '''
"""A module with a docstring."""
import os

def helper(y_is_an_argument_by_position_only, /):
    """Never used."""


def helper(x):
    # A comment.
    """Return x."""
    return x


def f(x: "list", scale: float = 2) -> float:
    """Return a sum.

    With a long docstring.
    """
    sum_of_all = 0  # the total
    for element in x:
        sum_of_all += scale * element

    return helper(sum_of_all)
'''
# The values of a row are one and the same.
SAME = {
    "comments, docstrings, lines, local names": [function(PLAIN), function(REWRITTEN)],
    "a docstring where nothing is returned": [
        function("def f(x): x.append(1)"),
        function('def f(x):\n "Append."\n x.append(1)'),
    ],
    "docstrings of classes": [
        class_of("class C:\n a = 1"),
        class_of('class C:\n "A class."\n a: int = 1  # a number'),
    ],
    "docstrings of classes in functions": [
        function("def f():\n class C:\n  a = 1\n return C"),
        function('def f():\n\n class C:\n  "A class."\n  a = 1\n return C'),
    ],
    "orders": [{"a": 1, "b": {"x", "y"}}, {"b": {"y", "x"}, "a": 1}],
    "copies": [Scaled(np.ones(3)), Scaled(np.ones(3))],
    "layouts": [np.ones((2, 3)), np.asfortranarray(np.ones((2, 3))), np.ones((2, 6))[:, ::2]],
    "closures": [closure([1, 2]), closure([1, 2])],
    "circles": [circle(1), circle(1)],
    "generators": [np.random.default_rng(1), np.random.default_rng(1)],
    "rules": [
        fp.Momentum(partial(fp.gradient, tol=1e-3)),
        fp.Momentum(partial(fp.gradient, tol=1e-3)),
    ],
    "names": [lambda x: x + 1, function("def f(x): return x + 1")],
    "other names of one function": [fp.Momentum(fp.gradient), named(fp.Momentum(fp.gradient))],
    "cached": [functools.cache(draw), functools.cache(draw)],
}


@pytest.mark.parametrize("values", SAME.values(), ids=SAME)
def test_what_computes_the_same_is_the_same(values):
    assert len({known(value) for value in values}) == 1


def test_what_was_computed_once_and_kept_does_not_count():
    C = class_of("import functools\nclass C:\n @functools.cached_property\n def a(self): return 1")
    value = C()
    before = known(value)
    assert value.a == 1 and known(value) == before


def test_a_used_memory_and_a_used_generator_are_other_ones():
    rng, rule = np.random.default_rng(1), fp.Momentum(fp.gradient)
    fresh = known(rng), known(rule)
    rng.random()
    rule.step = np.ones((2, 2))
    assert known(rng) != fresh[0] and known(rule) != fresh[1]


def test_an_object_may_say_what_of_it_counts():
    class Counting(Scaled):
        calls: tuple = ()

        def __reduce__(self):
            return Counting, (self.scale,)

    a, b = Counting(1), Counting(1)
    a.calls = (1, 2, 3)
    assert known(a) == known(b) != known(Counting(2))


# ---- Modules ----


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Return a function that writes modules of a user's, and imports the last of them."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(**sources):
        for name in set(sys.modules) - before:
            del sys.modules[name]
        name = ""
        for name, source in sources.items():
            path = tmp_path / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


USES = {
    "import mine_tools\ndef f(x): return mine_tools.scale * x",
    "import mine_tools as t\ndef f(x): return t.times(x)",
    "from mine_tools import times\ndef f(x): return times(x)",
    "from mine_tools import scale\ndef f(x): return scale * x",
    "def f(x):\n import mine_tools\n return mine_tools.times(x)",
    "def f(x):\n from mine_tools import times\n return times(x)",
    "import mine_tools\nhold = [mine_tools]\ndef f(x): return hold[0].times(x)",
    "import mine_tools\ndef of(t): return lambda x: t.times(x)\nf = of(mine_tools)",
    "import mine_tools\nf = mine_tools.Times().apply",
}


@pytest.mark.parametrize("source", sorted(USES))
def test_a_change_in_a_module_of_ones_own_is_noticed(modules, source):
    tools = """
    scale = {}
    def times(x): return scale * x
    class Times:
        def apply(self, x): return times(x)
    """
    prints = [
        known(modules(mine_tools=tools.format(scale), mine=source).f) for scale in ("1", "2", "1")
    ]
    assert prints[0] == prints[2] != prints[1]


def test_what_a_function_does_not_use_of_a_module_does_not_count(modules):
    source = "import mine_tools\ndef f(x): return mine_tools.times(x)"
    first, second = (
        known(modules(mine_tools=f"def times(x): return x\nother = {n}", mine=source).f)
        for n in (1, 2)
    )
    assert first == second


def test_modules_of_a_package_that_use_each_other(modules):
    sources = {
        "mine.__init__": "",
        "mine.a": "from mine import b\ndef f(x):\n from . import c\n return b.g(x) + c.h(x)",
        "mine.b": "import mine.a\ndef g(x): return mine.a.f(x)",
        "mine.last": "from mine.a import f",
    }
    prints = [known(modules(**{"mine.c": f"def h(x): return {n}", **sources}).f) for n in (1, 2, 1)]
    assert prints[0] == prints[2] != prints[1]


def test_a_module_that_is_missing_is_not_an_error():
    known(function("def f(x):\n import no_such_module\n return no_such_module.a"))


def test_an_installed_package_is_known_by_its_version(monkeypatch):
    def uses(x):
        return np.sin(x)

    before, ours = known(uses), known(fp.gradient)
    _packages.package_of.cache_clear()
    monkeypatch.setattr(_packages, "version", lambda name: "0.0.0")
    assert known(uses) != before and known(fp.gradient) == ours
    monkeypatch.undo()
    _packages.package_of.cache_clear()
    assert known(uses) == before


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("numpy.linalg", f"numpy {np.__version__}"),
        ("functools", "functools"),
        ("os", "os"),
        ("builtins", "builtins"),
        ("fpnotes.rules", "fpnotes"),
        (__name__, None),
        ("__main__", None),
        ("no_such_module", None),
    ],
)
def test_which_package_a_module_is_of(module, package):
    assert _packages.package_of(module) == package


# ---- What cannot be read ----


def with_log(log):
    def rule(W, point, error, lr):
        log.write("called")
        return fp.gradient(W, point, error, lr)

    return rule


def deep():
    value: list = []
    for _ in range(10**5):
        value = [value]
    return value


UNREADABLE = {
    "an open file": (lambda: open(os.devnull), "TextIOWrapper"),
    "a lock": (threading.Lock, "lock"),
    "a generator": (lambda: (i for i in [1]), "generator"),
    "a function without a name": (lambda: np.frompyfunc(lambda x: x, 1, 1), "not found under its"),
    "too deep": (deep, "nested too deeply"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("make", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_named(make, message):
    value = make()
    with pytest.raises(TypeError, match=f"^it must be .*{message}.* sweep without a folder"):
        known(value)
    with pytest.raises(TypeError, match=f"^it must be .*{message}"):
        known(with_log(value))
    if message != "nested too deeply":
        with pytest.raises(TypeError, match=r"\(a, item 1, function rule, 'log'\)"):
            known({"a": [1, with_log(value)]})


# ---- Other processes ----

SCRIPT = """
import dataclasses, enum, functools, sys
from pathlib import Path
import autograd.numpy as anp
import numpy as np
import fpnotes as fp
from fpnotes._identity import fingerprint

class Kind(enum.Enum):
    A = "a"

@dataclasses.dataclass(frozen=True)
class Clip:
    most: float = 1.0
    kinds: frozenset = frozenset({"a", "b", "c"})
    def __call__(self, W, point, error, lr):
        if self.most in {"x", "y", "z"}:
            return Kind.A
        return np.clip(fp.gradient(W, point, error, lr), -self.most, self.most)

def loss(r, y):
    return anp.sum(anp.tanh(r - y) ** 2)

task = fp.Task(np.zeros((2, 2)), np.eye(2), np.eye(2), loss, lambda z: anp.tanh(2 * z))
VALUES = [
    Clip(), Clip, fp.Momentum(Clip(2.0), 0.5), task, {"a", "b", 1, 2.5, None, ("x", "y")},
    {"b": {"q", "r"}, "a": Kind.A}, functools.partial(loss, y=[1, 2]), Path("a") / "b",
    np.random.default_rng(3), lambda W, point: anp.linalg.norm(W), fp.Digits.published,
]
PRINTS = [fingerprint("it", value) for value in VALUES]
"""


def test_every_process_and_folder_gives_the_same(tmp_path):
    found = set()
    for seed, folder, how in [(0, "a", "run"), (1, "b", "run"), (2, "b", "import")]:
        path = tmp_path / folder / "script.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n" * seed + SCRIPT + "\nif __name__ == '__main__': print(*PRINTS)")
        run = [str(path)] if how == "run" else ["-c", "import script; print(*script.PRINTS)"]
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        output = subprocess.run(
            [sys.executable, *run],
            env=environment,
            cwd=path.parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        found.add(output.stdout)
    assert len(found) == 1 and len(set(found.pop().split())) == 11


# ---- Names for people ----


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (fp.gradient, "gradient"),
        (partial(fp.gradient, tol=1e-6), "gradient(tol=1e-06)"),
        (partial(partial(draw, 3), b=fp.linearized, a="x"), "draw(3, a='x', b=linearized)"),
        (lambda x: x, "<lambda>"),
        (Setting(3), "Setting(a=3, b=None)"),
        (Scaled(1), "Scaled"),
        (Scaled(1).method, "method"),
        (partial(draw, {"b", "a"}), "draw({'a', 'b'})"),
        (0.1, "0.1"),
    ],
)
def test_names_are_short_and_the_same_everywhere(value, name):
    assert readable(value) == name


def test_long_names_are_cut_and_stay_apart():
    first, second = (partial(draw, mask=[0, 1] * 60 + [end]) for end in (0, 1))
    assert readable(first) != readable(second)
    assert max(len(readable(first)), len(readable(second))) < 100
    zeros, ones = (partial(draw, mask=np.full((2, 3), fill)) for fill in (0, 1))
    assert readable(zeros) != readable(ones)
    assert readable(zeros).startswith("draw(mask=array(2, 3) int64 ")


def test_nothing_of_the_package_is_walked_into(monkeypatch):
    """A rule of the package costs nothing to know, and stays the same run when its code is rewritten."""
    monkeypatch.setattr(_identity._Reader, "_code", None)
    assert known(fp.gradient) != known(fp.Digits.published) != known(fp.solve)
