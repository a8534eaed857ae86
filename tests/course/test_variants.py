"""Classes with numbers of their own: other numbers, right keys, and no use for another class's key."""

import csv
import itertools
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest

from tests.course import direct
from tests.course.mistakes import IN_A_CLASS, MISTAKES
from tests.course.notebooks import ROOT, points_of

variants = direct.module("variants")
SETS = ["1-fixed-points", "2-gradient", "3-rules", "4-comparison"]
# An open comparison: its experiment, its runs and its search for a rate are the same for all classes.
SAME = {"run", "best_rate", "one_run"}
THIS, LAST = 2027, 2026
EVERY = range(11)


def questions(name):
    """Return the questions in code of a set that have numbers of a class in them."""
    return [question for question in direct.questions(name) if question not in SAME]


def graded(name, question, source, own, seed=0, folder=None):
    """Return what an answer gets in the class ``own``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a wrong answer
        names = direct.notebook(name, question, source, own)
        return direct.grade(name, question, names, seed, folder, own)


def test_two_classes_have_no_number_in_common():
    """Seeds whose difference is no multiple of 11 give every number another value, and none the book's."""
    assert {len(set(values)) for _, values in variants.NUMBERS.values()} == {len(EVERY)}
    drawn = [variants.drawn(seed) for seed in [None, *EVERY]]
    for one, other in itertools.combinations(drawn, 2):
        assert not {name for name in one if one[name] == other[name]}
    assert variants.drawn(THIS) == variants.drawn(THIS % 11)


@pytest.mark.parametrize("own", [None, LAST, THIS])
@pytest.mark.parametrize("name", SETS)
def test_every_number_is_filled_in(name, own):
    """No mark of the template is left in a set; a factor of the class is there only for a class."""
    text = direct.text(name, own)
    assert not re.search(r"<<|>>|<%|%>", text)
    assert ("is part of every question" in text or "are part of the answers" in text) == (
        own is not None
    )
    assert not re.search(r"\d\.\d{6}", text)  # a number that was computed, and not rounded


@pytest.mark.parametrize(
    "own", [THIS, *(pytest.param(own, marks=pytest.mark.slow) for own in EVERY if own != THIS % 11)]
)
@pytest.mark.parametrize("name", SETS)
def test_the_key_of_a_class_is_right(name, own, tmp_path):
    """Each solution passes every test of its class, also those of practice."""
    direct.practice.cache_clear()
    for question in questions(name):
        for seed in range(2):
            source = direct.solution(name, question, own)
            assert graded(name, question, source, own, seed, tmp_path) == (0, [], []), question


def wrong(name, mistake, own):
    """Return the answers of a class in which a mistake is planted, and what their author is told."""
    if text := IN_A_CLASS.get((mistake.question, mistake.says)):
        old, new, says = (variants.rendered(piece, own) for piece in text)
        source = direct.solution(name, mistake.question, own)
        assert old in source, f"{mistake}: the class's answer holds no {old}"
        return [source.replace(old, new)], says
    return [*direct.planted(name, mistake, own)], mistake.says


@pytest.mark.parametrize(
    ("own", "seeds"),
    [
        (THIS, range(1)),
        *(pytest.param(own, range(1, 10), marks=pytest.mark.slow) for own in EVERY),
    ],
)
@pytest.mark.parametrize("name", SETS)
def test_mistakes_of_a_class_are_named(name, own, seeds, tmp_path):
    """With a class's own numbers a planted mistake costs the same, and its author is told the same."""
    direct.practice.cache_clear()
    unnamed = []
    for mistake in MISTAKES[name]:
        if mistake.question in SAME:
            continue
        answers, says = wrong(name, mistake, own)
        heard: list = []
        for source in answers:  # one that keeps the number, or one that leaves it out
            results = [
                graded(name, mistake.question, source, own, seed, tmp_path) for seed in seeds
            ]
            heard += results
            if all(
                lost == mistake.lost
                and any(says in plain(line) for line in (*public, *(hidden * mistake.hidden)))
                for lost, hidden, public in results
            ):
                break
        else:
            unnamed.append(f"{mistake}: {heard[:2]}")
    assert not unnamed, "\n".join(unnamed)


def plain(message):
    """Return a message without the class's factors: I - 0.4 * W is I - W for the book."""
    return re.sub(r"\d[\d.]* \* ", "", message)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (THIS, LAST),
        (THIS, None),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in itertools.permutations(EVERY, 2)
            if pair != (THIS % 11, LAST % 11)
        ),
    ],
)
@pytest.mark.parametrize("name", SETS)
def test_the_key_of_another_class_gets_nothing(name, own, other):
    """Neither last year's key nor the book's scores in any question that has numbers of a class."""
    for question in questions(name):
        source = direct.solution(name, question, other)
        assert source != direct.solution(name, question, own)
        lost, hidden, public = graded(name, question, source, own)
        points = sum(test.points for test in direct.questions(name, own)[question][1])
        assert lost == points, f"{question}: {points - lost} of {points}, {hidden} {public}"


@pytest.fixture
def classes():
    """Return the folders of two classes that nobody teaches, and remove them."""
    folders = {seed: ROOT / "dist" / f"class-{seed}" for seed in (987_654_321, 987_654_322)}
    yield folders
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SETS)
def test_a_class_has_its_own_autograder(name, classes, tmp_path):
    """It gives the class's own instructor version every point, and names what is another class's."""
    python = ROOT / ".venv-otter/bin/python"
    for seed, folder in classes.items():
        build = [python, ROOT / "assignments/build.py", "--seed", str(seed), name]
        subprocess.run(build, check=True, capture_output=True)
        shutil.copy(
            next((folder / "instructor" / name).glob("*.ipynb")), tmp_path / f"{seed}.ipynb"
        )
    (this, folder), (last, _) = classes.items()
    grader = folder / "autograder" / f"{name}.zip"
    command = [python, ROOT / "assignments/grade.py", grader, f"{this}.ipynb", f"{last}.ipynb"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    with open(tmp_path / "grades" / "grades.csv", newline="", encoding="utf-8") as file:
        right, refused = csv.DictReader(file)
    full, _ = points_of(name)
    assert {question: float(right[question]) for question in full} == full
    assert refused["remark"].startswith(f"not graded: it is a notebook of {name}-class-{last}")


def test_answers_in_words_change_along():
    """In sets 1 to 3 each question in words has numbers of the class, or a network that has."""
    for name in SETS[:3]:
        read = direct.module("rubric").questions
        for one, other in zip(
            read(direct.text(name, LAST)), read(direct.text(name, THIS)), strict=True
        ):
            if one.words and one.name != "written-shortcut":  # its answer names the class's W
                assert one.asked != other.asked, one.name
            assert one.answer != other.answer, one.name


# ---- What answers in words say, computed in another way ----
CHOICES = {name: (book, *values) for name, (book, values) in variants.NUMBERS.items()}


@pytest.mark.parametrize("choice", CHOICES["exits"])
def test_two_exits(choice):
    """At the exits of set 1 the eigenvalues of W are those of the answer; before, none has left."""
    exit = variants.exits(*choice)

    def eigenvalues(w, k):
        return np.sort_complex(np.linalg.eigvals(np.array([[w, -k], [k, -exit.d]], float)))

    pair = eigenvalues(exit.complex, exit.large)
    np.testing.assert_allclose(pair, [1 - 1j * exit.root**0.5, 1 + 1j * exit.root**0.5])
    assert np.prod(pair).real == pytest.approx(exit.product)
    assert np.prod(1 - pair).real == pytest.approx(exit.root)
    real = eigenvalues(exit.real, exit.small)
    np.testing.assert_allclose(real, [exit.other, 1], atol=2e-3)  # rounded to four digits
    for w, k in ((exit.complex, exit.large), (exit.real, exit.small)):
        assert max(eigenvalues(v, k).real.max() for v in np.linspace(0, w - 0.01, 200)) < 1


@pytest.mark.parametrize("weight", CHOICES["weight"])
def test_one_neuron_settles_and_its_iteration_does_not(weight):
    """The iteration from rest ends in a cycle of two, and the rate given is that of the fixed point."""
    r, cycle = 0.0, []
    for _ in range(10_000):
        r = np.tanh(weight * r + 0.2)
        cycle = [*cycle[-1:], r]
    assert abs(cycle[0] - cycle[1]) > 0.1 and np.tanh(weight * r + 0.2) == pytest.approx(cycle[0])
    rest = float(variants.resting(weight))
    assert rest == pytest.approx(np.tanh(weight * rest + 0.2), abs=0.02)
    assert 1 - np.tanh(weight * rest + 0.2) ** 2 > 0.98  # "with gain close to 1"


@pytest.mark.parametrize("target", CHOICES["target"])
def test_a_step_that_ends_far_away(target):
    """From a = 10 the step leads to w near -1000, where the gradient is small and the way back is long."""
    step, h = variants.far(target), 1e-3

    def loss(w):
        return (1 / (1 - w) - target) ** 2

    w = 0.9 - step.rate * (loss(0.9 + 1e-7) - loss(0.9 - 1e-7)) / 2e-7
    assert w == pytest.approx(-1000, rel=0.01)
    slope = (loss(-999 + h) - loss(-999 - h)) / (2 * h)
    assert -slope == pytest.approx(number(step.slope), rel=0.02) and -slope < 1e-5
    assert loss(-999) == pytest.approx(step.loss, rel=0.02)
    assert loss(float(step.minimum)) == pytest.approx(0, abs=1e-4)
    u, steps = 1000.0, 0.0
    while u > 1:  # of steps of rate 1, a hundredth of the way at a time
        steps += 0.01 * u / (2 * (target - 1 / u) / u**2) if target > 1 / u else np.inf
        u *= 0.99
        if u < 100:
            break  # what is left is a thousandth
    assert steps == pytest.approx(number(step.steps), rel=0.15)


def number(latex):
    """Return a number that a formula holds."""
    first, _, exponent = latex.replace("{", "").replace("}", "").rpartition("10^")
    if not exponent or "10^" not in latex:
        return float(latex)
    return float(first.replace(r"\cdot", "").strip() or 1) * 10.0 ** int(exponent)


@pytest.mark.parametrize("choice", CHOICES["cost"])
def test_what_a_step_costs(choice):
    """The counts of set 3, added up product by product, and what its answer concludes from them."""
    (n, m), count = choice, variants.cost(*choice)

    def product(a, b, c):
        return a * b * c

    def solve(size, sides):
        return size**3 / 3 + size**2 * sides

    def ways(m):
        gradient = product(n, m, n)
        middle = product(m, n, m) + solve(m, n)
        outer = 2 * product(m, n, n)
        return (
            gradient + 2 * n**3,
            outer + middle + gradient,
            min(outer, gradient + n**3) + gradient,
        )

    definition, woodbury, linear = ways(m)
    assert number(count.definition) == pytest.approx(definition, rel=0.05)
    assert number(count.woodbury) == pytest.approx(woodbury, rel=0.05)
    assert number(count.products) == pytest.approx(linear, rel=0.05)
    assert float(count.factor) == pytest.approx(definition / linear, rel=0.05)
    assert float(count.percent) == pytest.approx(100 * (1 - linear / woodbury), abs=0.5)
    definition, woodbury, linear = ways(count.many)
    assert number(count.many_definition) == pytest.approx(definition, rel=0.05)
    assert woodbury > number(count.many_woodbury) * 0.9 > 3 * definition
    assert n**2 * count.many > 4 * 2 * n**3  # "the gradient dominates"


def test_a_bound_is_what_it_says():
    """The bound of set 1's question on flags is far from a useful one for every class."""
    for alpha, chi in zip(CHOICES["alpha"], CHOICES["chi"], strict=True):
        assert number(variants.power(1e-6 / (alpha * (1 - chi)))) == pytest.approx(
            1e-6 / (alpha * (1 - chi)), rel=0.06
        )
