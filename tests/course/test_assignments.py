"""The problem sets: what a right, an untouched, a wrong and a broken submission get."""

import ast
import csv
import json
import os
import re
import subprocess
import zipfile
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from length import hours

from tests.course.mistakes import MISTAKES

ROOT = Path(__file__).parents[2]
SETS = sorted(path.stem for path in (ROOT / "assignments").glob("[0-9]-*.md"))

# What students do to a cell: each costs its question, and that one alone. {} is the function's name.
BROKEN = {
    "the cell is deleted": (None, "There is no function {}"),
    "the cell raises": ("1 / 0", "There is no function {}"),
    "the cell is no Python": ("def {}(W:", "There is no function {}"),
    "the cell never ends": ("while True:\n    pass", "There is no function {}"),
    "the function raises": (
        "def {}(*given, **more):\n    return 1 / 0",
        "{} raised ZeroDivisionError",
    ),
    "the function never ends": (
        "def {}(*given, **more):\n    while True:\n        try:\n            1 / 0\n"
        "        except Exception:\n            pass",
        "{} did not finish",
    ),
}


def notebook(version, name):
    """Return a generated notebook, as parsed JSON."""
    path = ROOT / "dist" / version / name / f"{name}.ipynb"
    assert path.exists(), "run: make assignments"
    return json.loads(path.read_text(encoding="utf-8"))


def answer(cells, question):
    """Return the cell that defines the function of a question."""
    (cell,) = [
        cell for cell in cells if re.search(rf"^def {question}\(", "".join(cell["source"]), re.M)
    ]
    return cell


def styles(name):
    """Return right answers to a set in another style than the instructor's, {question: source}."""
    source = (ROOT / "tests" / "course" / "styles" / f"{name}.py").read_text(encoding="utf-8")
    head = "\n".join(re.findall(r"^(?:import|from) .*", source, re.M))
    names = re.findall(r"^def (\w+)", source, re.M)
    return {question: f"{head}\n\n\n{function(source, question)}" for question in names}


def function(source, name):
    """Return the part of a source that defines a function at its top level."""
    (node,) = [node for node in ast.parse(source).body if getattr(node, "name", None) == name]
    part = ast.get_source_segment(source, node)
    assert part
    return part


def questions(name):
    """Return {question: points} of the code and of the written questions of a master."""
    text = (ROOT / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"# BEGIN QUESTION\nname: (\S+)\n(manual: true\n)?points: (\d+)\n", text)
    code = {question: int(points) for question, manual, points in found if not manual}
    return code, {question: int(points) for question, manual, points in found if manual}


def rounds(name):
    """Return the planted mistakes as lists, each with one mistake a question at most: one submission each."""
    ordered = sorted(MISTAKES[name], key=lambda mistake: mistake.question)
    each = [list(group) for _, group in groupby(ordered, key=lambda mistake: mistake.question)]
    return [[group[k] for group in each if len(group) > k] for k in range(max(map(len, each)))]


def grade(name, submissions, folder, **environment):
    """Grade notebooks with assignments/grade.py; return {name: ({question: points}, remark, feedback)}."""
    _, written = questions(name)
    for label, content in submissions.items():
        (folder / f"{label}.ipynb").write_text(json.dumps(content), encoding="utf-8")
    with open(folder / "written.csv", "w", newline="") as file:
        csv.writer(file).writerows([["submission", *written], ["instructor", *written.values()]])
    run = subprocess.run(
        [
            ROOT / ".venv-otter/bin/python",
            ROOT / "assignments/grade.py",
            ROOT / f"dist/autograder/{name}.zip",
        ]
        + [folder / f"{label}.ipynb" for label in submissions]
        + ["--output", folder, "--written", folder / "written.csv"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    graded = {}
    with open(folder / "grades.csv", newline="") as file:
        for row in csv.DictReader(file):
            label, remark = row.pop("submission"), row.pop("remark")
            told = (folder / f"{label}.txt").read_text(encoding="utf-8")
            graded[label] = {key: float(value) for key, value in row.items()}, remark, told
    return graded


@pytest.fixture(scope="module", params=SETS)
def graded(request, tmp_path_factory):
    """A set, and what all its submissions got: (name, {submission: (points, remark, feedback)})."""
    name = request.param
    submissions = {version: notebook(version, name) for version in ("student", "instructor")}
    for k, planted in enumerate(rounds(name)):
        submissions[f"wrong-{k}"] = wrong = notebook("instructor", name)
        for mistake in planted:
            cell = answer(wrong["cells"], mistake.question)
            source = "".join(cell["source"])
            assert mistake.old in source, f"{mistake}: the answer holds no such piece"
            cell["source"] = source.replace(mistake.old, mistake.new)
    submissions["styles"] = other = notebook("instructor", name)
    for question, written in styles(name).items():
        cell = answer(other["cells"], question)
        source = "".join(cell["source"])
        cell["source"] = source.replace(function(source, question), written)
    return name, grade(name, submissions, tmp_path_factory.mktemp(name))


def said(told, question):
    """Return the part of a feedback that belongs to a question."""
    (part,) = re.findall(rf"^{question}: .*(?:\n    .*)*", told, re.M)
    return part


def test_instructor_version_scores_100(graded):
    """The instructor version gets every point for code; with every point for words that is 100."""
    name, results = graded
    code, written = questions(name)
    points, remark, _ = results["instructor"]
    assert not remark
    assert points == code | written | {"sum": 100}


def test_other_styles_lose_nothing(graded):
    """Right answers with loops, lists and inverses get every point that the question is for."""
    name, results = graded
    code, _ = questions(name)
    points, _, told = results["styles"]
    assert set(styles(name)) == set(code)
    assert {question: points[question] for question in code} == code, told


def test_untouched_student_version_scores_0(graded):
    """The student version as it is handed out is graded without a crash, and gets no point."""
    name, results = graded
    points, remark, told = results["student"]
    assert not remark
    assert set(points.values()) == {0}
    for question in questions(name)[0]:
        assert f"{question} returns nothing yet" in said(told, question)


def test_planted_mistakes(graded):
    """Each planted mistake loses exactly the points it should, and is told what it is."""
    name, results = graded
    code, _ = questions(name)
    wrong = []
    for k, planted in enumerate(rounds(name)):
        points, _, told = results[f"wrong-{k}"]
        lost = {mistake.question: mistake.lost for mistake in planted}
        for question, possible in code.items():
            if points[question] != possible - lost.get(question, 0):
                wrong.append(
                    f"{question}: {points[question]:g} points\n{said(told, question)}\n{planted}"
                )
        for mistake in planted:
            if mistake.says not in said(told, mistake.question):
                wrong.append(f"{mistake} says: {said(told, mistake.question)}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("name", SETS)
def test_at_least_five_mistakes_are_planted(name):
    """A set has five planted mistakes or more, and one in every question that code answers."""
    assert len(MISTAKES[name]) >= 5
    assert {mistake.question for mistake in MISTAKES[name]} == set(questions(name)[0])


@pytest.mark.parametrize(
    "name", [SETS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in SETS[1:])]
)
def test_broken_answers_cost_their_own_question(name, tmp_path):
    """An endless loop, an exception, or a deleted cell costs that question alone."""
    code, _ = questions(name)
    submissions, expected = {}, {}
    for label, ways in (("broken-0", list(BROKEN)[:3]), ("broken-1", list(BROKEN)[3:])):
        submissions[label] = submission = notebook("instructor", name)
        expected[label] = dict(zip(code, ways, strict=False))
        for question, way in expected[label].items():
            cell = answer(submission["cells"], question)
            source, _ = BROKEN[way]
            if source is None:
                submission["cells"].remove(cell)
            else:
                cell["source"] = source.format(question)
    for label, (points, remark, told) in grade(
        name, submissions, tmp_path, GRADING_CALL_SECONDS="5", GRADING_CELL_SECONDS="20"
    ).items():
        assert not remark
        for question, possible in code.items():
            way = expected[label].get(question)
            assert points[question] == (0 if way else possible), f"{way}: {said(told, question)}"
            if way:
                assert BROKEN[way][1].format(question) in said(told, question)


# ---- What students must not see ----
def plain(text):
    """Return text with its white space evened out."""
    return " ".join(text.split())


def secrets(name):
    """Return a master's solutions, written answers, rubrics and hidden tests, each a list of lines."""
    text = (ROOT / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *# BEGIN SOLUTION\n(?!```)(.*?)^ *# END SOLUTION$", text, re.M | re.S)
    blocks += re.findall(r"^\*\*Answer\.\*\*.*?(?=^```otter)", text, re.M | re.S)
    blocks += re.findall(r"^hidden: true\n.*?\n```$", text, re.M | re.S)
    code, written = questions(name)
    assert len(blocks) >= len(code) + len(written) + 5
    shown = text
    for block in blocks:
        shown = shown.replace(block, "")
    return [
        [
            plain(line)
            for line in block.splitlines()
            if len(plain(line)) > 20 and plain(line) not in plain(shown)
        ]
        for block in blocks
    ]


@pytest.mark.parametrize("name", SETS)
def test_student_version_holds_no_secret(name):
    """No line of a solution, a written answer, a rubric or a hidden test is in what students get."""
    folder = ROOT / "dist" / "student" / name
    told = json.dumps(notebook("student", name), ensure_ascii=False).replace("\\n", "\n")
    told = told.replace("\\\\", "\\").replace('\\"', '"')
    told += "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    found = [line for block in secrets(name) for line in block if line in plain(told)]
    assert not found
    assert "BEGIN SOLUTION" not in told and "hidden=True" not in told
    # The instructor version has them: the comparison finds what is there.
    told = json.dumps(notebook("instructor", name), ensure_ascii=False).replace("\\n", "\n")
    told = told.replace("\\\\", "\\").replace('\\"', '"')
    assert all(
        line in plain(told) for block in secrets(name)[: len(questions(name)[0])] for line in block
    )


@cache
def published():
    """Return the text of the book's sources and of its built pages."""
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")]
    for path in (ROOT / "_build" / "html").rglob("*.html"):
        pages.append(BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").get_text())
    return plain("\n".join(pages))


@pytest.mark.parametrize("name", SETS)
def test_book_holds_no_secret(name):
    """No solution, written answer or hidden test is on a page of the book, or can be downloaded there."""
    book = published()
    found = [block for block in secrets(name) if block and all(line in book for line in block)]
    assert not found
    built = {path.name for path in (ROOT / "_build" / "html").rglob("*")}
    assert not built & {f"{name}.md", f"{name}.ipynb", f"{name}.zip", f"{name}.html"}


@pytest.mark.parametrize("name", SETS)
def test_autograder_is_ready_for_gradescope(name):
    """The zip file has what Gradescope runs, and pins what it installs."""
    with zipfile.ZipFile(ROOT / "dist" / "autograder" / f"{name}.zip") as archive:
        names = set(archive.namelist())
        environment = archive.read("environment.yml").decode()
    tests = {f"tests/{question}.py" for question in questions(name)[0]}
    assert {"setup.sh", "run_autograder", "run_otter.py", "files/grading.py", *tests} <= names
    for package in ("numpy", "scipy", "autograd", "matplotlib", "threadpoolctl"):
        assert re.search(rf"\b{package}==\d", environment)


# ---- The page for teachers ----
def exercise_minutes():
    """Return the table of exercises on book/teaching.md as pairs of a label and its minutes, in order."""
    text = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \{ref\}`(ex-[\w-]+)` \| (\d+) \| \S", text, re.M)
    return [(label, int(minutes)) for label, minutes in rows]


def chapters():
    """Return the text of each page of the book that is in the contents, by its name, in order."""
    names = re.findall(r"book/([\w-]+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return {name: (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8") for name in names}


def test_teaching_page_lists_every_exercise():
    """Each exercise of the book has one row in the table of the teaching page, in the book's order."""
    book = re.findall(r"^:label: (ex-\S+)", "\n".join(chapters().values()), re.M)
    assert [label for label, _ in exercise_minutes()] == book


def test_chapters_state_the_minutes_of_their_exercises():
    """What a chapter says at its top about its exercises is the sum of their minutes on the teaching page."""
    minutes = dict(exercise_minutes())
    for name, text in chapters().items():
        labels = re.findall(r"^:label: (ex-\S+)", text, re.M)
        stated = re.findall(r"The exercises take (\d+) minutes", text)
        assert stated == ([str(sum(minutes[label] for label in labels))] if labels else []), name


def test_weeks_of_the_syllabus_count_their_own_set_and_chapters():
    """A week's hours are computed from its own problem set and the chapters it names; week 3 has the most."""
    text, pages = chapters()["teaching"], chapters()
    plan = text[text.index("### Four weeks") : text.index("A plan for 90 minutes")]
    weeks = re.findall(
        r"\*\*Week \d, .*? \{hours\}`([^`]+)` hours\.\*\*\n(.*?)(?=\n\n|\Z)", plan, re.S
    )
    assert len(weeks) == len(SETS)
    longest, solving = [], []
    for (counted, week), problems in zip(weeks, sorted(SETS), strict=True):
        week = week.partition("*For those who want more:*")[0]
        named = re.findall(r"\{doc\}`([\w-]+)`", week)
        first, *read = counted.split()
        assert first == problems and sorted(read) == sorted(named)
        longest.append(hours(ROOT, first, read))
        stated = [re.findall(r"exercises take (\d+) minutes", pages[name]) for name in named]
        solving.append(sum(int(minutes) for (minutes,) in stated))
    assert "Week 3 is the longest" in plan and max(longest) == longest[2] > sorted(longest)[-2]
    assert "two to four and a half hours more" in plan
    assert (round(min(solving) / 30) / 2, round(max(solving) / 30) / 2) == (2, 4.5)


def test_commands_of_the_teaching_page(tmp_path):
    """The commands in boxes of book/teaching.md run as they stand, in order, and grade as they say."""
    text = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    boxes = re.findall(r"^```\{code-block\} shell\n(.*?)^```$", text, re.M | re.S)
    assert len(boxes) >= 3
    for entry in ROOT.iterdir():  # the checkout, with a class of two in it
        if entry.name not in {".git", "submissions", "grades", "written.csv"}:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "submissions").mkdir()
    for student, version in (("ada", "instructor"), ("bob", "student")):
        content = json.dumps(notebook(version, "1-fixed-points"))
        (tmp_path / "submissions" / f"{student}.ipynb").write_text(content, encoding="utf-8")
    _, written = questions("1-fixed-points")
    with open(tmp_path / "written.csv", "w", newline="") as file:
        csv.writer(file).writerows([["submission", *written], ["ada", *written.values()]])
    sums = []
    for box in boxes:
        run = subprocess.run(
            ["bash", "-e", "-c", box], cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{box}\n{run.stdout}{run.stderr}"
        if (tmp_path / "grades").exists():
            with open(tmp_path / "grades" / "grades.csv", newline="") as file:
                sums.append({row["submission"]: float(row["sum"]) for row in csv.DictReader(file)})
    assert sums[0] == {"ada": 80, "bob": 0}
    assert sums[-1] == {"ada": 100, "bob": 0}
    answers = (tmp_path / "grades" / "written.md").read_text(encoding="utf-8")
    headings = re.findall(r"^# (.*)", answers, re.M)
    assert len(headings) == len(written)
    assert answers.count("## ada") == answers.count("## bob") == len(written)
    assert "Type your answer here" in answers
