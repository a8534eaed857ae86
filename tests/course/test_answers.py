"""What right, wrong, borrowed and copied answers get from the tests of the problem sets, at any seed."""

import ast
import re
import warnings

import numpy as np
import pytest

from tests.course import copying, direct, truth
from tests.course.mistakes import BORROWED, MISTAKES

SETS = sorted(MISTAKES)
FEW = range(2)
MANY = pytest.param(range(100), marks=[pytest.mark.slow, pytest.mark.timeout(3600)], id="100 seeds")
# An experiment takes a minute, and the seed decides only which of its runs is repeated: one, weekly.
# Right answers to it are graded on every change, as all are, in a notebook.
LONG = {"one_run"}


@pytest.fixture
def lies(monkeypatch):
    """Judge anew, from the results, what every comparison says; return the list of what is not true."""
    grading, found = direct.module("grading"), []
    compare = grading.compare

    def witnessed(name, got, want, *, slips=None, factors=None, **options):
        try:
            compare(name, got, want, slips=slips, factors=factors, **options)
        except AssertionError as error:
            if options.get("inverse"):
                got = 1 / np.asarray(got, float)
            why = truth.untrue(str(error), name, got, want, slips or {}, factors or {})
            if why:
                found.append(f"{error}, and {why}")
            raise

    monkeypatch.setattr(grading, "compare", witnessed)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a function that gives the folder of a set's practice instances."""
    return lambda name: practice_folders.setdefault(name, tmp_path_factory.mktemp(name))


practice_folders: dict = {}


def grades(name, question, source, seeds, instances=None):
    """Yield what an answer gets for each seed; what it warns of is its own affair."""
    if question in LONG and seeds == FEW:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = direct.notebook(name, question, source)
        for seed in list(seeds)[:1] if question in LONG else seeds:
            yield seed, direct.grade(name, question, names, seed, instances)


@pytest.mark.parametrize("seeds", [pytest.param(FEW, id="2 seeds"), MANY])
@pytest.mark.parametrize("name", SETS)
def test_right_answers_lose_nothing(name, seeds, folder):
    """The instructor's answers, and others' in every style, pass every test, also those of practice."""
    for question in direct.questions(name):
        written = [direct.styles(name, style).get(question) for style in direct.STYLES]
        for source in (direct.solution(name, question), *filter(None, written)):
            for seed, result in grades(name, question, source, seeds, folder(name)):
                assert result == (0, [], []), f"seed {seed}, {question}: {result}\n{source}"


@pytest.mark.parametrize("seeds", [pytest.param(FEW, id="2 seeds"), MANY])
@pytest.mark.parametrize("name", SETS)
def test_planted_mistakes(name, seeds, folder, lies):
    """Each loses the same points at every seed, and is told what it is by every grading and in practice.

    Nothing that is not true is said of it, and it is not taken for another planted mistake.
    """
    wrong = lies
    for mistake in MISTAKES[name]:
        source = direct.solution(name, mistake.question)
        assert mistake.old in source, f"{mistake}: the answer holds no such piece"
        source = source.replace(mistake.old, mistake.new)
        for seed, (lost, hidden, public) in grades(
            name, mistake.question, source, seeds, folder(name)
        ):
            if lost != mistake.lost or not any(mistake.says in line for line in [*hidden, *public]):
                wrong.append(f"seed {seed}: {mistake} loses {lost}: {hidden} {public}")
            elif taken := others(name, mistake, [*hidden, *public]):
                wrong.append(f"seed {seed}: {mistake} is taken for another: {taken}")
            elif not any(mistake.says in line for line in public) and not mistake.hidden:
                wrong.append(f"seed {seed}: {mistake} is not named in practice: {public}")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:20])


def others(name, mistake, lines):
    """Return those lines that name other mistakes of the question, and not this one."""
    named = {other.says for other in MISTAKES[name] if other.question == mistake.question}
    apart = [says for says in named if says not in mistake.says and says != "the result is wrong"]
    lines = [line for line in lines if not (mistake.also and mistake.also in line)]
    return [
        line for line in lines if mistake.says not in line and any(says in line for says in apart)
    ]


@pytest.mark.parametrize("name", SETS)
def test_borrowed_answers_get_nothing(name, folder):
    """An answer that calls the package or autograd for what is asked loses all points, and is told why."""
    for question, source, says in BORROWED[name]:
        _, tests = direct.questions(name)[question]
        for _, (lost, hidden, public) in grades(name, question, source, [0]):
            assert lost == sum(test.points for test in tests), (
                f"{question}: {hidden} {public}\n{source}"
            )
            assert any(says in line for line in [*hidden, *public]), (
                f"{question}: {hidden} {public}"
            )


@pytest.mark.parametrize("name", SETS)
def test_answers_copied_from_the_notebook_get_nothing(name, folder):
    """No expression in the student notebook's code, tests or formulas is the answer to a question."""
    found = copying.leaks(name, direct.practice(name, folder(name)))
    assert not found, found


@pytest.mark.parametrize(
    ("name", "leak", "question"),
    [
        (
            "3-rules",
            r"Expand $\Delta W_2 = B - (A - \eta\,\nabla_{\!A} J)^{-1}$ in $\eta$.",
            "reparameterized_step",
        ),
        ("3-rules", r"Someone reads $\Delta W_3 = -\eta B\,\nabla_{\!A} J\,B$.", "linearized_step"),
        (
            "3-rules",
            r"Show that $-\eta B B^{\mathsf T}\,\nabla J\,B^{\mathsf T} B$ never does.",
            "metric_gradient",
        ),
        ("3-rules", "slope, said = np.sum(dJ * V), np.sum((A @ got @ A) * (A @ V @ A))", "inner"),
        (
            "3-rules",
            "B = np.eye(n) - W\nexact = B - np.linalg.inv(np.linalg.inv(B) - lr * dA)",
            "reparameterized_step",
        ),
        ("2-gradient", r"From $dr = (I - GW)^{-1} G\,(dW\,r + dx)$ read off the gradient.", "push"),
    ],
)
def test_copying_finds_what_gives_an_answer_away(name, leak, question, folder):
    """The search of the test before this one finds the answer in each of these."""
    notes = direct.practice(name, folder(name))
    found = (
        copying.in_prose(leak, name, notes) if "$" in leak else copying.in_code(leak, name, notes)
    )
    assert question in found


@pytest.mark.parametrize("name", SETS)
def test_points_are_given_on_two_sizes_or_more(name):
    """A test with points that names sizes has two or more, none of them 5, and one without two equal."""
    checked = 0
    for question, (_, tests) in direct.questions(name).items():
        source = direct.text(name).split(f"name: {question}\n")[1].split("# END QUESTION")[0]
        for test in tests:
            body = source.split(f"def {test.name}(env)")[1].split("\n```")[0]
            for call in ast.walk(ast.parse(f"def {test.name}(env){body}")):
                if (
                    isinstance(call, ast.Call)
                    and ast.unparse(call.func) == "grading.sizes"
                    and test.points
                ):
                    sizes = {
                        tuple(map(int, re.findall(r"\d+", ast.unparse(arg)))) for arg in call.args
                    }
                    sizes = (
                        {size for size in sizes if size}
                        if not isinstance(call.args[0], ast.Starred)
                        else {(3,), (4,)}
                    )
                    assert len(sizes) >= 2, f"{question}: {test.name}"
                    assert not any(5 in size for size in sizes), f"{question}: {test.name}"
                    assert any(len(set(size)) == len(size) for size in sizes), (
                        f"{question}: {test.name}"
                    )
                    checked += 1
    assert checked >= 8


@pytest.mark.parametrize("name", SETS)
def test_at_least_five_mistakes_are_planted(name):
    """A set has five planted mistakes or more, and one in every question that code answers."""
    assert len(MISTAKES[name]) >= 5
    assert {mistake.question for mistake in MISTAKES[name]} == set(direct.questions(name))
