"""What the tests of the problem sets share: true sentences, sealed results, plain values, limits of time."""

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy._core import einsumfunc

import fpnotes
from tests.course import direct

grading = direct.module("grading")


def says(function, *arguments, **options):
    """Return the sentence with which a check fails, or None."""
    try:
        function(*arguments, **options)
    except AssertionError as error:
        return str(error).rpartition(" [seed")[0]
    return None


@pytest.mark.parametrize("size", [(), (3,), (4, 3), (3, 3)])
def test_a_factor_is_named_only_where_it_is_one(size):
    """No other result is said to be a multiple of the right one; one number has no factor without a name."""
    rng = np.random.default_rng(3)
    want = rng.uniform(1, 2, size)
    assert says(grading.compare, "f", want, want) is None
    assert says(grading.compare, "f", want * (1 + 1e-9), want) is None
    other = says(grading.compare, "f", want + rng.uniform(1, 2, size), want)
    assert other is not None and "factor" not in other and "sign" not in other
    tripled = says(grading.compare, "f", 3 * want, want)
    assert tripled == (
        "f: the result is wrong, by 2 of its largest entry"
        if size == ()
        else "f: the result is off by a factor of 3"
    )
    close = says(grading.compare, "f", (1 + 3e-5) * want, want)
    assert size == () or close == "f: the result is off by a factor of 1.00003"
    named = says(grading.compare, "f", 3 * want, want, factors={"m": 3})
    assert named == "f: the result is off by a factor of m: too large"
    assert says(grading.compare, "f", -want, want) == "f: the sign is wrong"


def test_an_enormous_result_is_no_multiple():
    """A sum that blew up, along one direction, is wrong, and by no factor."""
    rng = np.random.default_rng(4)
    want = rng.standard_normal((4, 4))
    blown = 1e144 * np.outer(rng.standard_normal(4), rng.standard_normal(4))
    assert "the result is wrong" in (says(grading.compare, "f", blown, want) or "")


def test_verdicts_say_no_more_than_was_tried():
    """One wrong answer is one wrong answer; the same for all is said with their number."""
    assert (
        says(grading.verdicts, "f", [False], [True])
        == "f: the answer here is False, and should be True"
    )
    assert (
        says(grading.verdicts, "f", [True, True, True], [True, False, True])
        == "f: the answer is True for all 3 instances that were tried"
    )
    assert (
        says(grading.verdicts, "f", [True, False, False], [True, True, False])
        == "f: 1 of 3 answers are wrong"
    )
    assert (
        says(grading.verdicts, "f", [1, 0], [True, False]) == "f should return True or False, not 1"
    )


def test_a_value_is_quoted_in_few_characters():
    """Neither what an answer returns nor what it raises can carry a text into a message."""

    def returns():
        return "secret " * 1000

    def raises():
        raise ValueError("secret " * 1000)

    value = grading.call({"f": returns}, "f")
    assert len(says(grading.numbers, "f", value, ()) or "") < 150
    assert len(says(grading.call, {"f": raises}, "f") or "") < 150


@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError, BaseException]
)
def test_whatever_an_answer_raises_fails_that_call(error):
    """No exception of an answer leaves the call, not even those that end a program."""

    def answer():
        raise error

    assert says(grading.call, {"f": answer}, "f") == f"f raised {error.__name__}"


def test_results_are_plain():
    """An object of the answer's own is compared by its value, and by no method of its own."""

    class Agrees(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    class Array(np.ndarray):
        pass

    value = grading.call({"f": lambda: (Agrees(2), [np.ones(2).view(Array)], object)}, "f")
    assert type(value[0]) is float and type(value[1][0]) is np.ndarray
    assert (
        says(grading.numbers, "f", value[2], ())
        == "f should return real numbers, not <class 'object'>"
    )


def test_time_is_that_of_computing_and_waiting(monkeypatch):
    """An answer that computes, one that waits, and one that catches what stops it are all stopped."""
    monkeypatch.setattr(grading, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(grading, "_restore", grading._pin())

    def computes():
        while True:
            pass

    def waits():
        time.sleep(60)

    def catches():
        for _ in range(10**9):
            try:
                time.sleep(1)
            except BaseException:
                return 1.0

    for answer in (computes, waits, catches):
        begun = time.monotonic()
        assert (
            says(grading.call, {"f": answer}, "f")
            == "f did not finish in 0.3 s: does its loop end?"
        )
        assert says(grading.call, {"f": answer}, "f")  # not waited for again
        assert time.monotonic() - begun < 30
    assert grading.call({"f": lambda: 2.0}, "f") == 2


def test_a_cell_that_is_stopped_may_end():
    """No second exception comes while the notebook shows the first."""
    limit = grading._push(0.2, grading.AGAIN)
    try:
        with pytest.raises(KeyboardInterrupt):
            while True:
                pass
        begun = time.process_time()
        while time.process_time() - begun < 5 * grading.TICK:
            pass
    finally:
        grading._pop(limit)
    assert limit.rang


def test_what_grading_needs_is_put_back():
    """An answer that replaces a function that tests lean on is told so, and the function is back."""
    for module, name in (
        (grading, "compare"),
        (np, "abs"),
        (np.linalg, "inv"),
        (einsumfunc, "c_einsum"),
        (fpnotes, "solve"),
        (fpnotes.RateNetwork, "velocity"),
    ):
        original = getattr(module, name)

        def replaces(module=module, name=name):
            setattr(module, name, lambda *given, **more: 0.0)
            return 0.0

        assert (
            says(grading.call, {"f": replaces}, "f")
            == f"f changes {module.__name__}.{name}, which grading needs"
        )
        assert getattr(module, name) is original


def test_an_answer_must_not_turn_off_what_watches():
    """An answer that ends the watch is told so."""

    def unwatched():
        sys.setprofile(None)
        return 1.0

    assert says(grading.call, {"f": unwatched}, "f") == "f turns off what watches over it"


@pytest.mark.parametrize(
    "invert",
    [
        "np.linalg.inv(M)",
        "inv(M)",
        "scipy.linalg.inv(M)",
        "np.linalg.matrix_power(M, -1)",
        "scipy.linalg.lu_factor(M)[0]",
    ],
)
def test_a_large_inverse_is_seen_however_it_is_imported(invert):
    """The size of a matrix that is inverted or factorized counts, and not the name by which it was."""
    names: dict = {}
    source = (
        f"import numpy as np, scipy.linalg\nfrom numpy.linalg import inv\ndef f(M): return {invert}"
    )
    exec(compile(source, "a cell", "exec"), names)
    M = np.eye(7) * 2
    assert grading.call(names, "f", M, largest=7).shape == (7, 7)
    assert (says(grading.call, names, "f", M, largest=6) or "").endswith("for a matrix of size 7")


# ---- Sealed results ----
@pytest.mark.parametrize("size", [(), (2,), (6, 6)])
def test_a_seal_opens_for_its_result_alone(size):
    """A sentence is read with the result that it describes, up to rounding, and with no other."""
    rng = np.random.default_rng(5)
    for scale in (1e-6, 1.0, 1e6):
        result = scale * rng.standard_normal(size)
        seal = json.loads(json.dumps(grading.sealed(result, "the gains are missing: ∂")))
        assert grading.unsealed(result, seal) == "the gains are missing: ∂"
        assert grading.unsealed(result * (1 + 1e-9), seal) == "the gains are missing: ∂"
        assert grading.unsealed(result * 1.001, seal) is None
        assert grading.unsealed(-result, seal) is None
        assert "gains" not in json.dumps(seal)


@pytest.mark.parametrize("name", ["1-fixed-points", "2-gradient", "3-rules", "4-comparison"])
def test_practice_gives_no_result_and_no_sentence_away(name):
    """What students have of a practice instance is its arguments; and there is one for most questions."""
    content = json.loads(
        (direct.ROOT / "dist" / "student" / name / "practice.json").read_text(encoding="utf-8")
    )
    questions = direct.questions(name)
    assert set(questions) - set(content) <= {"run", "one_run"}
    for instances in content.values():
        for instance in instances:
            assert set(instance) == {"label", "calls", "shape", "inverse", "want", "slips"}
            for seal in [instance["want"], *instance["slips"]]:
                assert set(seal) == {"shape", "unit", "left", "mark", "text"}
                assert all(0 <= left < seal["unit"] for left in seal["left"])


# ---- What an answer must leave alone ----
def changes_code():
    """Change a function of grading and leave its name."""
    grading.compare.__code__ = (lambda *given, **more: None).__code__


def changes_a_method():
    """Change a method."""
    grading._Watch.wrong = lambda self, frame: None


def changes_a_sum():
    """Change what NumPy calls to find a largest entry."""
    np._core._methods._amax = lambda *given, **more: 0.0  # pyright: ignore


def changes_numpy():
    """Change what a function of NumPy does."""
    np.linalg.eigvals._implementation.__code__ = (lambda *given: 0.0).__code__  # pyright: ignore


def changes_random():
    """Change what instances are drawn from."""
    np.random.default_rng = lambda *given: None  # pyright: ignore


@pytest.mark.parametrize(
    ("answer", "says_so"),
    [
        (changes_code, "grading.compare"),
        (changes_a_method, "_Watch.wrong"),
        (changes_a_sum, "numpy._core._methods._amax"),
        (changes_numpy, "numpy.linalg._linalg.eigvals"),
        (changes_random, "numpy.random.default_rng"),
    ],
)
def test_what_is_changed_inside_is_put_back(answer, says_so):
    """An answer that changes it, also from inside, is told so, and the next one is judged as before."""
    assert says(grading.call, {"f": answer}, "f") == f"f changes {says_so}, which grading needs"
    assert not grading._restore()
    assert (
        says(grading.compare, "g", 1.0, 2.0)
        == "g: the result is wrong, by 0.5 of its largest entry"
    )
    assert np.linalg.eigvals(np.eye(2)).tolist() == [1, 1] and np.max([[1, 2]], axis=1) == 2


def test_tests_on_disk_are_put_back(tmp_path, monkeypatch):
    """An answer that edits or removes them is told so, also if it sets their time back."""
    file = tmp_path / "tests" / "f.py"
    file.parent.mkdir()
    file.write_text("test")
    monkeypatch.setattr(grading, "HERE", tmp_path)
    monkeypatch.setattr(grading, "_restore", grading._pin())
    before = file.stat()

    def edits():
        file.write_text("pass")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    for answer in (edits, file.unlink):
        assert says(grading.call, {"f": answer}, "f") == "f changes tests/f.py, which grading needs"
        assert file.read_text() == "test" and not grading._restore()


def test_other_threads_are_watched():
    """What an answer calls in a thread counts as what it calls itself."""

    def answer():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(np.linalg.inv, np.eye(9)).exception()
        return 1.0

    assert (
        says(grading.call, {"f": answer}, "f", largest=8)
        == "f calls inv of numpy for a matrix of size 9"
    )
    assert threading.getprofile() is None
