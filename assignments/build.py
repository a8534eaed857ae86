"""Make the student version, the instructor version and the autograder of each problem set.

``python assignments/build.py [--seed SEED] [set ...]`` reads ``assignments/<set>.md`` and writes

    dist/student/<set>/         the notebook without solutions and hidden tests, what it needs, how to start
    dist/instructor/<set>/      the notebook with solutions, rubrics and all tests
    dist/autograder/<set>.zip   for Gradescope, or for grade.py
    dist/keys/<set>.*           answers and rubrics for assistants

``--seed`` gives a class numbers of its own (see ``variants``), in ``dist/class-SEED`` in place of ``dist``;
an autograder refuses the notebook of another class, by name.

A question with hidden tests gets a public one that judges practice instances (see ``practice``). The
autograder holds the seed from which it draws: handing in again, or grading again, meets the same instances.

It fails when a solution does not pass its own tests, or when a question's points are not those of its
tests. What all sets have in common stands here, so that a master holds questions only. A folder
``assignments/<set>/``, if there is one, is data that comes along.
"""

import argparse
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import jupytext
import keys
import nbformat
import practice
import rubric
import variants
import yaml
from otter.assign import main as otter_assign

HERE = Path(__file__).resolve().parent
DIST = HERE.parent / "dist"
SETUP = """\
# Stops a cell that computes for more than two minutes, so that an endless loop costs no other answer.
import grading

grading.guard_notebook()"""
PRACTICE = '''\
""" # BEGIN TEST CONFIG
points: 0
""" # END TEST CONFIG
def test_practice(env):
    """Fixed instances, on which likely mistakes are known, and named when your answer makes one."""
    import grading

    grading.practice(env, "{question}")'''
README = """\
# How to start

You need Python 3.11 or later. In a terminal, in this folder, once:

    python3 -m venv .venv
    .venv/bin/pip install -r requirements.txt
    .venv/bin/pip install jupyterlab

and each time you work:

    .venv/bin/jupyter lab {name}.ipynb

On Windows write `python` for `python3`, and `.venv\\Scripts\\` for `.venv/bin/`. Keep `fpnotes` and
the other files beside the notebook: it imports them. Keep its name: under another one, such as
`{name}-Copy1`, its second cell does not find it. Its
last cell makes the zip file that you hand in.
"""


def requirements():
    """Return what the package and the students' figures lean on, in the versions installed here."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w-]+", line)[0] for line in (*project["dependencies"], "matplotlib")]
    return [f"{name}=={version(name)}" for name in names]


def masters():
    """Return the masters, in order."""
    return sorted(HERE.glob("[0-9]-*.md"))


def config(name, files):
    """Return Otter's settings for a set, as the text of its configuration cell."""
    settings = {
        "name": name,  # a submission to another set's autograder is refused
        "files": files,
        "requirements": requirements(),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "show_question_points": True,
        "export_cell": {"pdf": False},  # a PDF would need LaTeX on every student's machine
        "tests": {"ok_format": False},  # a test is a function whose exception has a message
        # Gradescope shows why an answer lost points once grades are published.
        "generate": {"show_hidden": True},
    }
    return "# ASSIGNMENT CONFIG\n" + yaml.safe_dump(settings, sort_keys=False)


def read(text):
    """Return the text of a set as a notebook.

    Otter wants each of its marks in a block of its own; a master may put several into one.
    """

    def split(block):
        marks = re.split(r"\n(?=# (?:BEGIN|END) )", block[1])
        return "\n\n".join(f"```otter\n{mark}\n```" for mark in marks)

    text = re.sub(r"^```otter\n(.*?)\n```$", split, text, flags=re.M | re.S)
    return jupytext.reads(text, fmt="md:myst")


def check_points(name, text):
    """Stop unless each question is worth as much as its tests together; say when all are not worth 100."""
    total = 0
    for part in text.split("# BEGIN QUESTION")[1:]:
        question, points = (
            re.search(rf"^{key}: (\S+)$", part, re.M)[1] for key in ("name", "points")
        )
        tests = re.findall(r"# BEGIN TEST CONFIG\npoints: (\d+)", part)
        if tests and sum(map(int, tests)) != int(points):
            sys.exit(f"{name}: {question} is worth {points} points, its tests {' + '.join(tests)}")
        total += int(points)
    if total != 100:
        print(f"{name}: the points of all questions add up to {total}, not 100")


def practice_of(notebook):
    """Put a public test of practice instances into each question that allows it; return these instances."""
    instances, cells = {}, []
    question, place, noted = "", 0, []
    for cell in notebook.cells:
        if "# END TESTS" in cell.source and noted:
            instances[question] = noted
            cells.insert(place, nbformat.v4.new_code_cell(PRACTICE.format(question=question)))
        cells.append(cell)
        if found := re.search(r"# BEGIN QUESTION\nname: (\S+)", cell.source):
            question, noted = found[1], []
        elif "# BEGIN TESTS" in cell.source:
            place = len(cells)
        elif cell.cell_type == "code" and re.search(r"^hidden: true$", cell.source, re.M):
            names: dict = {}
            exec(cell.source, names)
            test = re.search(r"^def (test_\w+)", cell.source, re.M)[1]
            noted += practice.record(names[test])
    notebook.cells = cells
    return instances


def finish_autograder(archive, name, text, student):
    """Add to an autograder what Otter does not put there: the seed, the points, and what was handed out."""
    questions = rubric.questions(text)
    by_hand = [question for question in questions if question.words]
    cells = nbformat.read(student, as_version=4).cells
    about = {
        "name": name,
        "points": {q.name: float(q.points) for q in questions if not q.words},
        "words": {q.name: float(q.points) for q in by_hand},
        "headings": {q.heading: q.name for q in by_hand},
        "handed out": [
            hashlib.sha256(cell.source.strip().encode()).hexdigest()
            for cell in cells
            if cell.cell_type == "code"
        ],
    }
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("files/grading-seed", str(secrets.randbelow(10**6)))
        file.writestr("set.json", json.dumps(about, indent=1, ensure_ascii=False))


def build(master, seed=None):
    """Write a set's three versions and its key; return where."""
    name, target = master.stem, DIST
    text = variants.rendered(master.read_text(encoding="utf-8"), seed)
    if seed is not None:
        name, target = f"{master.stem}-class-{seed}", DIST / f"class-{seed}"
    check_points(name, text)
    sys.path.append(str(HERE.parent))  # the package, which tests import
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        shutil.copy(HERE / "grading.py", scratch)
        notebook = read(text)
        (scratch / "practice.json").write_text(json.dumps(practice_of(notebook)), encoding="utf-8")
        unused = ["__pycache__", *([] if "Digits" in text else ["data"])]
        shutil.copytree(
            HERE.parent / "fpnotes", scratch / "fpnotes", ignore=shutil.ignore_patterns(*unused)
        )
        if (HERE / master.stem).is_dir():
            shutil.copytree(HERE / master.stem, scratch, dirs_exist_ok=True)
        files = sorted(path.name for path in scratch.iterdir())

        setup = nbformat.v4.new_code_cell(SETUP, metadata={"deletable": False, "editable": False})
        notebook.cells[:0] = [nbformat.v4.new_raw_cell(config(name, files)), setup]
        nbformat.write(notebook, scratch / f"{name}.ipynb")
        otter_assign(str(scratch / f"{name}.ipynb"), str(scratch / "out"))

        for version_of, made in (("student", "student"), ("instructor", "autograder")):
            into = target / version_of / master.stem
            shutil.rmtree(into, ignore_errors=True)
            ignore = shutil.ignore_patterns("*.zip", "otter_config.json", "__pycache__")
            shutil.copytree(scratch / "out" / made, into, ignore=ignore)
            shutil.copy(HERE / "requirements.txt", into)
            (into / "README.md").write_text(README.format(name=name))
        (target / "autograder").mkdir(parents=True, exist_ok=True)
        (made,) = (scratch / "out" / "autograder").glob("*.zip")
        student = target / "student" / master.stem / f"{name}.ipynb"
        finish_autograder(made, name, text, student)
        shutil.copy(made, target / "autograder" / f"{master.stem}.zip")
    title = re.search(r"^# (Problem set .*)", text, re.M)[1]
    keys.write(master.stem, title, rubric.questions(text), target / "keys")
    return target


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sets", nargs="*", metavar="set", help="a problem set; all if none is named"
    )
    parser.add_argument("--seed", type=int, help="a whole number, from which a class gets its own")
    options = parser.parse_args()
    unknown = set(options.sets) - {master.stem for master in masters()}
    if unknown:
        parser.error(f"no such problem set: {', '.join(sorted(unknown))}")
    for master in masters():
        if not options.sets or master.stem in options.sets:
            folder = build(master, options.seed).relative_to(HERE.parent)
            print(
                f"{master.stem}: {folder}/student, /instructor, /keys, /autograder/{master.stem}.zip"
            )
