"""The problem sets: what a right, an untouched, a wrong and a broken submission get."""

import ast
import csv
import json
import re
import shutil
import subprocess
import zipfile
from functools import cache
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from length import exercises, hours

from tests.course import direct
from tests.course.notebooks import answer, notebook, points_of

ROOT = Path(__file__).parents[2]
SETS = sorted(path.stem for path in (ROOT / "assignments").glob("[0-9]-*.md"))


def grade(name, submissions, folder):
    """Grade notebooks with assignments/grade.py; return {name: ({question: points}, remark, feedback)}."""
    _, written = points_of(name)
    for label, content in submissions.items():
        (folder / f"{label}.ipynb").write_text(json.dumps(content), encoding="utf-8")
    with open(folder / "written.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["submission", *written])
        for label in submissions:
            marks = written.values() if label == "instructor" else [0] * len(written)
            table.writerow([f"{label}.ipynb", *marks])
    with open(folder / "roster.csv", "w", newline="") as file:
        students = [
            [f"user-{label}", f"{label}.ipynb"] for label in submissions if label != "styles"
        ]
        csv.writer(file).writerows([["Username", "submission"], *students, ["user-none", ""]])
    run = subprocess.run(
        [
            ROOT / ".venv-otter/bin/python",
            ROOT / "assignments/grade.py",
            ROOT / f"dist/autograder/{name}.zip",
            *(f"{label}.ipynb" for label in submissions),
            *("--written", "written.csv", "--roster", "roster.csv"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "styles.ipynb is on no row of roster.csv" in run.stdout
    assert "no rubrics" not in run.stdout
    with open(folder / "grades" / "gradebook.csv", newline="") as file:
        sums = {row["Username"]: row[name] for row in csv.DictReader(file)}
    assert sums == {"user-student": "0", "user-instructor": "100"}
    graded = {}
    with open(folder / "grades" / "grades.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            label, remark = row.pop("submission").removesuffix(".ipynb"), row.pop("remark")
            del row["seed"]
            feedback = (folder / "grades" / f"{label}.ipynb.txt").read_text(encoding="utf-8")
            graded[label] = {key: float(value) for key, value in row.items()}, remark, feedback
    return graded


@pytest.fixture(scope="module", params=SETS)
def graded(request, tmp_path_factory):
    """A set, and what its submissions got: (name, {submission: (points, remark, feedback)})."""
    name = request.param
    submissions = {
        "student": notebook("student", name),
        "instructor": notebook("instructor", name),
        "styles": notebook("instructor", name),
    }
    for question, written in direct.styles(name).items():
        cell = answer(submissions["styles"]["cells"], question)
        source = "".join(cell["source"])
        (node,) = [node for node in ast.parse(source).body if getattr(node, "name", "") == question]
        cell["source"] = source.replace(ast.get_source_segment(source, node) or "", written)
    return name, grade(name, submissions, tmp_path_factory.mktemp(name))


def part_of(text, question):
    """Return the part of a feedback that belongs to a question."""
    (part,) = re.findall(rf"^{question}: .*(?:\n    .*)*", text, re.M)
    return part


def test_instructor_version_scores_100(graded):
    """The instructor version gets every point for code; with every point for words that is 100."""
    name, results = graded
    code, written = points_of(name)
    points, remark, _ = results["instructor"]
    assert not remark
    assert points == code | written | {"sum": 100}


def test_other_styles_lose_nothing(graded):
    """Right answers with loops, lists and inverses get every point that the question is for."""
    name, results = graded
    code, _ = points_of(name)
    points, _, text = results["styles"]
    assert set(direct.styles(name)) == set(code)
    assert {question: points[question] for question in code} == code, text


def test_untouched_student_version_scores_0(graded):
    """The student version as it is handed out is graded without a crash, and gets no point."""
    name, results = graded
    points, remark, text = results["student"]
    assert remark.startswith("no answer found to ")
    assert set(points.values()) == {0}
    for question in points_of(name)[0]:
        assert f"{question} returns nothing yet" in part_of(text, question)


# ---- What students must not see ----
def plain(text):
    """Return text with its white space evened out."""
    return " ".join(text.split())


def secrets(name):
    """Return a master's solutions, written answers, rubrics and hidden tests, each a list of lines."""
    text = direct.text(name)
    blocks = re.findall(r"^ *# BEGIN SOLUTION\n(?!```)(.*?)^ *# END SOLUTION$", text, re.M | re.S)
    blocks += re.findall(r"^\*\*Answer\.\*\*.*?(?=^```otter)", text, re.M | re.S)
    blocks += re.findall(r"^hidden: true\n.*?\n```$", text, re.M | re.S)
    code, written = points_of(name)
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
    text = json.dumps(notebook("student", name), ensure_ascii=False).replace("\\n", "\n")
    text = text.replace("\\\\", "\\").replace('\\"', '"')
    text += "".join(
        path.read_text(encoding="utf-8") for path in [*folder.glob("*.py"), *folder.glob("*.json")]
    )
    found = [line for block in secrets(name) for line in block if line in plain(text)]
    assert not found
    assert "BEGIN SOLUTION" not in text and "hidden=True" not in text
    # The instructor version has them: the comparison finds what is there.
    text = json.dumps(notebook("instructor", name), ensure_ascii=False).replace("\\n", "\n")
    text = text.replace("\\\\", "\\").replace('\\"', '"')
    assert all(
        line in plain(text) for block in secrets(name)[: len(points_of(name)[0])] for line in block
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
        about = archive.read("set.json").decode()
    for question in direct.module("rubric").questions(direct.text(name)):
        assert (
            not question.words
            or json.dumps(question.answer[:40], ensure_ascii=False)[1:-1] not in about
        )
    tests = {f"tests/{question}.py" for question in points_of(name)[0]}
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
    text = chapters()["teaching"]
    plan = text[text.index("### Four weeks") : text.index("### Two lectures")]
    weeks = re.findall(
        r"\*\*Week \d, .*? \{hours\}`([^`]+)` hours, and \{exercises\}`([^`]+)` for the exercises\.\*\*\n"
        r"(.*?)(?=\n\n|\Z)",
        plan,
        re.S,
    )
    assert len(weeks) == len(SETS)
    whole = []
    for (counted, solved, week), problems in zip(weeks, sorted(SETS), strict=True):
        week = week.partition("*For those who want more:*")[0]
        named = re.findall(r"\{doc\}`([\w-]+)`", week)
        first, *read = counted.split()
        assert first == problems and sorted(read) == sorted(solved.split()) == sorted(named)
        whole.append((hours(ROOT, first, read), exercises(ROOT, read)))
    longest = [max(range(len(weeks)), key=lambda k: whole[k][n]) for n in (0, 1)]
    assert "This is the longest week" in weeks[2][2] and longest == [2, 2]
    times = [
        int(minutes)
        for name in SETS
        for minutes in re.findall(r"\*\*Time:\*\* about (\d+) minutes", direct.text(name))
    ]
    assert f"takes {min(times)} to {max(times)} minutes at a desk" in plan and len(times) == 4


def test_commands_of_the_teaching_page(tmp_path, request):
    """The commands in boxes of book/teaching.md run as they stand, in order, and grade as they say."""
    text = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    boxes = re.findall(r"^```\{code-block\} shell\n(.*?)^```$", text, re.M | re.S)
    assert len(boxes) >= 3
    for entry in ROOT.iterdir():  # the checkout, with a class of two in it
        if entry.name not in {".git", "submissions", "grades", "written.csv", "roster.csv"}:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "submissions").mkdir()
    for student, version in (("ada", "instructor"), ("bob", "student")):
        content = json.dumps(notebook(version, "1-fixed-points"))
        (tmp_path / "submissions" / f"{student}.ipynb").write_text(content, encoding="utf-8")
    _, written = points_of("1-fixed-points")
    with open(tmp_path / "written.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [["submission", *written], ["submissions/ada.ipynb", *written.values()]]
        )
    roster = re.findall(r"^```\{code-block\} text\n(Username,.*?)^```$", text, re.M | re.S)
    (tmp_path / "roster.csv").write_text(*roster, encoding="utf-8")
    own = ROOT / "dist" / "class-2027"
    assert not own.exists(), f"remove {own}: this test makes it"
    request.addfinalizer(lambda: shutil.rmtree(own, ignore_errors=True))
    sums = []
    for box in boxes:
        run = subprocess.run(
            ["bash", "-e", "-c", box], cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{box}\n{run.stdout}{run.stderr}"
        if (tmp_path / "grades").exists():
            with open(tmp_path / "grades" / "grades.csv", newline="") as file:
                sums.append({row["submission"]: row["sum"] for row in csv.DictReader(file)})
    ada, bob = "submissions/ada.ipynb", "submissions/bob.ipynb"
    assert sums[0] == {ada: "80.0", bob: "0.0"}
    assert sums[-1] == {ada: "100.0", bob: ""}  # who has no marks for words has no sum
    with open(tmp_path / "grades" / "gradebook.csv", newline="") as file:
        points = {row["Username"]: row["1-fixed-points"] for row in csv.DictReader(file)}
    assert points == {"ada": "100"}
    answers = (tmp_path / "grades" / "written.html").read_text(encoding="utf-8")
    assert answers.count('class="beside"') == len(written)
    assert answers.count(f"<h3>{ada}") == answers.count(f"<h3>{bob}") == len(written)
    assert answers.count("(no answer)") == len(written)
    assert (
        answers.count("overshoot by more each time") == 2
    )  # in the answer, and in the key beside it
