"""The tests of a problem set, run on answers without Otter and without a notebook: many seeds in little time."""

import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def grader():
    """Return the module ``grading`` of the problem sets."""
    folder = str(ROOT / "assignments")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import grading

    return grading


@cache
def master(name):
    """Return {question: (solution, cells given, tests)} of a set; a test is (name, points, hidden, function)."""
    text = (ROOT / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    found = {}
    for question in text.split("# BEGIN QUESTION\n")[1:]:
        key = re.match(r"name: (\S+)", question)[1]
        before, _, after = question.partition("# BEGIN TESTS")
        cells = re.findall(r"^```\{code-cell\}\n(.*?)^```$", before, re.M | re.S)
        tests = []
        for config, source in re.findall(
            r'^""" # BEGIN TEST CONFIG\n(.*?)""" # END TEST CONFIG\n(.*?)^```$', after, re.M | re.S
        ):
            names: dict = {}
            exec(compile(source, f"{name}:{key}", "exec"), names)
            test = re.search(r"def (\w+)", source)[1]
            tests.append(
                (
                    test,
                    int(re.search(r"points: (\d+)", config)[1]),
                    "hidden: true" in config,
                    names[test],
                )
            )
        if tests:
            found[key] = cells, tests
    return found


@cache
def preamble(name):
    """Return the source of the set's first cell, which imports."""
    text = (ROOT / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    return re.search(r"^```\{code-cell\}\n:deletable.*?\n\n(.*?)^```$", text, re.M | re.S)[1]


def notebook(name, sources):
    """Return the names that cells with these sources define, as those of a notebook."""
    names = {"__name__": "__main__"}
    for source in [preamble(name), *sources]:
        exec(compile(source, "a cell", "exec"), names)
    return names


def grade(name, question, env, seed):
    """Return (points lost, what the tests say) for the answer to a question among these names."""
    grading = grader()
    grading.SEED = seed
    grading._restore = grading._pin()  # or else the answer is blamed for the new seed
    lost, says = 0, []
    for test, points, _, function in master(name)[question][1]:
        grading._used.clear()
        try:
            function(env)
        except AssertionError as error:
            lost += points
            says.append(str(error))
        except Exception as error:
            raise RuntimeError(f"{question}: {test} itself fails") from error
    return lost, says
