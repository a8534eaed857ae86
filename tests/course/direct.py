"""The tests of a problem set, run on answers without Otter and a notebook: many seeds in little time."""

import ast
import json
import re
import sys
from collections.abc import Callable
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Test(NamedTuple):
    """One test of a question."""

    name: str
    points: int
    hidden: bool
    function: Callable


@cache
def module(name):
    """Return a module of ``assignments``."""
    folder = str(ROOT / "assignments")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return __import__(name)


@cache
def text(name, own=None):
    """Return a set with the numbers of a class, whose seed ``own`` is, or of the book."""
    master = (ROOT / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    return module("variants").rendered(master, own)


def search(pattern, source, flags=0):
    """Return the first group of a pattern that a text must hold."""
    found = re.search(pattern, source, flags)
    assert found, pattern
    return found[1]


@cache
def questions(name, own=None):
    """Return {question: (cells of the answer, tests)} of the questions in code of a set."""
    found = {}
    for part in text(name, own).split("# BEGIN QUESTION\n")[1:]:
        key = search(r"name: (\S+)", part)
        before, _, after = part.partition("# BEGIN TESTS")
        cells = re.findall(r"^```\{code-cell\}\n(.*?)^```$", before, re.M | re.S)
        tests = []
        for settings, source in re.findall(
            r'^""" # BEGIN TEST CONFIG\n(.*?)""" # END TEST CONFIG\n(.*?)^```$', after, re.M | re.S
        ):
            names: dict = {}
            exec(compile(source, f"{name}:{key}", "exec"), names)
            test = search(r"def (\w+)", source)
            worth = int(search(r"points: (\d+)", settings))
            tests.append(Test(test, worth, "hidden: true" in settings, names[test]))
        if tests:
            found[key] = cells, tests
    return found


def solution(name, question, own=None):
    """Return the cell that defines the instructor's answer."""
    (cell,) = [
        c for c in questions(name, own)[question][0] if re.search(rf"^def {question}\(", c, re.M)
    ]
    return cell


MARK = r"<<[^<>]*>>"  # where a master has a number of the class
PIECES = re.compile(r"[\w.]+|\s+|\W")


def template(name, question):
    """Return the cell that defines the instructor's answer, with the marks for a class's numbers in it."""
    master = (ROOT / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    part = master.split(f"name: {question}\n")[1].partition("# BEGIN TESTS")[0]
    cells = re.findall(r"^```\{code-cell\}\n(.*?)^```$", part, re.M | re.S)
    (cell,) = [cell for cell in cells if re.search(rf"^def {question}\(", cell, re.M)]
    return cell


def planted(name, mistake, own):
    """Yield the answers of a class in which a mistake is planted, without and with the numbers in its place.

    A student who makes the mistake may leave out the number of the class that stands there, or keep it.
    """
    cell, old = template(name, mistake.question), PIECES.findall(mistake.old)
    pattern = "".join(f"((?:{MARK})?){re.escape(piece)}" for piece in old)
    found = re.search(pattern, cell)
    if not found:
        return
    new = PIECES.findall(mistake.new)
    for keep in (False, True):
        text = ""
        for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if kind == "equal":
                text += "".join(a + b for a, b in zip(found.groups()[i:j], old[i:j], strict=True))
            else:
                text += "".join(found.groups()[i:j] if keep else []) + "".join(new[k:m])
        source = module("variants").rendered(cell.replace(found[0], text), own)
        try:
            compile(source, "an answer", "exec")
        except SyntaxError:  # a factor without what it multiplies is no answer
            continue
        yield source


NAMES = sorted(path.stem for path in (ROOT / "assignments").glob("[0-9]-*.md"))
STYLES = sorted(path.name for path in (ROOT / "tests" / "course" / "styles").iterdir())


@cache
def styles(name, style="loops"):
    """Return right answers to a set in another style than the instructor's, {question: source}.

    They were written from what students are asked. What an answer imports, and the functions and classes
    that it calls, stand above it.
    """
    file = ROOT / "tests" / "course" / "styles" / style / f"{name}.py"
    source = file.read_text(encoding="utf-8")
    lines, head, answers = source.splitlines(), [], {}
    for node in ast.parse(source).body:
        name_of = node.name if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else ""
        if not name_of and not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        first = min(part.lineno for part in [node, *getattr(node, "decorator_list", [])])
        text = "\n".join(lines[first - 1 : node.end_lineno])
        if name_of in questions(name):
            answers[name_of] = text
        else:
            head.append(text)
    return {key: "\n\n\n".join([*head, text]) for key, text in answers.items()}


def notebook(name, question, source, own=None):
    """Return the names of a notebook in which ``source`` stands where the question's answer should."""
    preamble = search(
        r"^```\{code-cell\}\n:deletable.*?\n\n(.*?)^```$", text(name, own), re.M | re.S
    )
    cells = [preamble, solution(name, question, own), source]
    if question == "one_run":  # its answer is more than a function
        cells.insert(2, questions(name, own)["run"][0][0])
        cells.append(
            next(c for c in questions(name, own)[question][0] if c.startswith("results = {}"))
        )
    names = {"__name__": "__main__"}
    for cell in cells:
        exec(compile(cell, "a cell", "exec"), names)
    return names


@cache
def practice(name, folder, own=None):
    """Write a set's practice instances into a folder, and make the tests read them there."""
    record = module("practice").record
    noted = {
        key: [note for test in tests if test.hidden for note in record(test.function)]
        for key, (_, tests) in questions(name, own).items()
    }
    found = {key: notes for key, notes in noted.items() if notes}
    (folder / "practice.json").write_text(json.dumps(found), encoding="utf-8")
    return json.loads(json.dumps(found))


def grade(name, question, names, seed, instances=None, own=None):
    """Return (points lost, what hidden tests say, what public tests say) of the answer among these names.

    ``instances`` is the folder of practice instances, whose test is a public one.
    """
    grading = module("grading")
    grading.SEED = seed
    grading._restore = grading._pin()  # or else the answer is blamed for the new seed
    lost, hidden, public = 0, [], []
    tests = [*questions(name, own)[question][1]]
    if instances and question in practice(name, instances, own):
        tests.append(Test("practice", 0, False, lambda env: grading.practice(env, question)))
        grading.HERE = instances
    for test in tests:
        grading._used.clear()
        grading._too_slow.clear()
        try:
            test.function(names)
        except AssertionError as error:
            lost += test.points
            (hidden if test.hidden else public).append(str(error))
    return lost, hidden, public
