"""What the pages for teachers state: a result, on random instances; ten answers; a plan for each lecture."""

import re
from pathlib import Path

import numpy as np
import pytest
from length import chapters

from fpnotes.rules import reparameterized
from fpnotes.solvers import solve
from fpnotes.tasks import LinearRegression

ROOT = Path(__file__).parents[2]


def excess_after_newton_rate(seed, color):
    """Return what one step of ΔW₂ at η = 1/ℓ_max leaves of J's excess over its minimum."""
    n, m = 6, 15
    rng = np.random.default_rng(seed)
    white = np.sqrt(m) * np.linalg.qr(rng.standard_normal((m, n)))[0]
    x, y = white * color, rng.standard_normal((m, n))
    task = LinearRegression(0.5 * rng.standard_normal((n, n)) / np.sqrt(n), x, y)
    point = solve(task.W0, x, "linear")
    lr = 1 / np.linalg.eigvalsh(2 / m * x.T @ x).max()
    W = task.W0 + reparameterized(task.W0, point, task.error(point.r, y), lr)
    least = task.loss(x @ np.linalg.lstsq(x, y, rcond=None)[0], y)
    after = task.loss(np.linalg.solve(np.eye(n) - W, x.T).T, y)
    return (after - least) / (task.loss(point.r, y) - least)


@pytest.mark.checks("clm-teaching-newton")
@pytest.mark.parametrize("seed", range(5))
def test_newton_in_the_response(seed):
    """One step of ΔW₂ at η = 1/ℓ is at the minimum with white inputs, and not with colored ones."""
    assert abs(excess_after_newton_rate(seed, 0.7)) < 1e-10
    assert excess_after_newton_rate(seed, np.geomspace(1, 0.3, 6)) > 1e-3


# ---- The diagnostic ----
def blocks(text):
    """Return the lines of Python on a page, in order."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_answers_of_the_diagnostic_are_right():
    """Ten questions in one session of Python; each answer has lines that assert it, and they run."""
    text = (ROOT / "book" / "diagnostic.md").read_text("utf-8")
    questions = re.split(r"^## (\d+)\. .*$", text, flags=re.MULTILINE)[1:]
    assert list(map(int, questions[::2])) == list(range(1, 11))
    names: dict = {}
    for number, question in zip(questions[::2], questions[1::2], strict=True):
        asked, answer = question.split(":::{admonition} Answer\n:class: dropdown\n")
        assert "assert" not in asked and "*Why:*" in answer and "*Reread:*" in answer
        assert "assert " in "".join(blocks(answer)), number
        for block in blocks(question):
            exec(compile(block, f"question {number}", "exec"), names)


# ---- The plans for lectures ----
def test_every_chapter_of_the_plan_has_a_lecture():
    """Each chapter that the four weeks read has one plan, in the book's order, with every part of one."""
    plan = (ROOT / "book" / "teaching.md").read_text("utf-8")
    plan = plan.split("### Four weeks")[1].split("### Two lectures")[0]
    weeks = "\n".join(re.findall(r"^\*\*Week.*?(?=\n\n)", plan, re.MULTILINE | re.DOTALL))
    weeks = re.sub(r"^: \*For those who want more:\*.*$", "", weeks, flags=re.MULTILINE)
    read = set(re.findall(r"\{doc\}`([\w-]+)`", weeks))
    text = (ROOT / "book" / "lectures.md").read_text("utf-8")
    lectures = re.split(r"^\(lecture-([\w-]+)\)=$", text, flags=re.MULTILINE)[1:]
    assert lectures[::2] == [chapter for chapter in chapters(ROOT) if chapter in read]
    for chapter, lecture in zip(lectures[::2], lectures[1::2], strict=True):
        assert f"*{{doc}}`{chapter}`, {{chapter}}`{chapter}`.*" in lecture
        for part in ("Question.", "Board.", "Exercise.", "They will say:", "Stop**"):
            assert f"- **{part}" in lecture, (chapter, part)
        own = (ROOT / "book" / f"{chapter}.md").read_text("utf-8")
        shown = "explore(" in own
        assert (f"{{slider}}`{chapter}" in lecture) == shown and (shown or "**Figure.**" in lecture)
        exercises = re.findall(r"\{ref\}`(ex-[\w-]+)`", lecture)
        assert exercises and all(f":label: {name}\n" in own for name in exercises), chapter
    assert f"the {NUMBERS[len(lectures) // 2]} plans" in plan


NUMBERS = {12: "twelve", 13: "thirteen", 14: "fourteen"}
