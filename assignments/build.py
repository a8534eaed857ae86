"""Make the student version, the instructor version and the autograder of each problem set.

``python assignments/build.py [set ...]`` reads ``assignments/<set>.md`` and writes

    dist/student/<set>/         the notebook without solutions and hidden tests, what it needs, how to start
    dist/instructor/<set>/      the notebook with solutions, rubrics and all tests
    dist/autograder/<set>.zip   for Gradescope, or for grade.py

It fails when a solution does not pass its own tests, or when a question's points are not those of its
tests. What all sets have in common stands here, so that a master holds questions only. A folder
``assignments/<set>/``, if there is one, is data that comes along.
"""

import os
import re
import shutil
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

import jupytext
import nbformat
import yaml
from otter.assign import main as otter_assign

HERE = Path(__file__).resolve().parent
DIST = HERE.parent / "dist"
SETUP = """\
# Stops a cell that computes for more than two minutes, so that an endless loop costs no other answer.
import grading

grading.limit_cells()"""
README = """\
# How to start

You need Python 3.11 or later. In a terminal, in this folder, once:

    python3 -m venv .venv
    .venv/bin/pip install -r requirements.txt
    .venv/bin/pip install jupyterlab

and each time you work:

    .venv/bin/jupyter lab {name}.ipynb

On Windows write `python` for `python3`, and `.venv\\Scripts\\` for `.venv/bin/`. Keep `fpnotes` and
`grading.py` beside the notebook: it imports them. Its last cell makes the zip file that you hand in.
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


def read(master):
    """Return a master as a notebook.

    Otter wants each of its marks in a block of its own; a master may put several into one.
    """

    def split(block):
        marks = re.split(r"\n(?=# (?:BEGIN|END) )", block[1])
        return "\n\n".join(f"```otter\n{mark}\n```" for mark in marks)

    text = re.sub(r"^```otter\n(.*?)\n```$", split, master.read_text(), flags=re.M | re.S)
    return jupytext.reads(text, fmt="md:myst")


def check_points(master):
    """Stop unless each question is worth as much as its tests together; say when all are not worth 100."""
    total = 0
    for question in master.read_text().split("# BEGIN QUESTION")[1:]:
        name, points = (
            re.search(rf"^{key}: (\S+)$", question, re.M)[1] for key in ("name", "points")
        )
        tests = re.findall(r"# BEGIN TEST CONFIG\npoints: (\d+)", question)
        if tests and sum(map(int, tests)) != int(points):
            sys.exit(
                f"{master.name}: {name} is worth {points} points, its tests {' + '.join(tests)}"
            )
        total += int(points)
    if total != 100:
        print(f"{master.name}: the points of all questions add up to {total}, not 100")


def build(master):
    """Write a set's three versions into dist."""
    name = master.stem
    check_points(master)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        shutil.copy(HERE / "grading.py", scratch)
        unused = ["__pycache__", *([] if "Digits" in master.read_text() else ["data"])]
        shutil.copytree(
            HERE.parent / "fpnotes", scratch / "fpnotes", ignore=shutil.ignore_patterns(*unused)
        )
        if (HERE / name).is_dir():
            shutil.copytree(HERE / name, scratch, dirs_exist_ok=True)
        files = sorted(path.name for path in scratch.iterdir())

        notebook = read(master)
        setup = nbformat.v4.new_code_cell(SETUP, metadata={"deletable": False, "editable": False})
        notebook.cells[:0] = [nbformat.v4.new_raw_cell(config(name, files)), setup]
        nbformat.write(notebook, scratch / f"{name}.ipynb")
        otter_assign(str(scratch / f"{name}.ipynb"), str(scratch / "out"))

        for version_of, made in (("student", "student"), ("instructor", "autograder")):
            target = DIST / version_of / name
            shutil.rmtree(target, ignore_errors=True)
            ignore = shutil.ignore_patterns("*.zip", "otter_config.json", "__pycache__")
            shutil.copytree(scratch / "out" / made, target, ignore=ignore)
            shutil.copy(HERE / "requirements.txt", target)
            (target / "README.md").write_text(README.format(name=name))
        (DIST / "autograder").mkdir(parents=True, exist_ok=True)
        (made,) = (scratch / "out" / "autograder").glob("*.zip")
        shutil.copy(made, DIST / "autograder" / f"{name}.zip")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = sys.argv[1:]
    unknown = set(chosen) - {master.stem for master in masters()}
    if unknown:
        sys.exit(f"no such problem set: {', '.join(sorted(unknown))}")
    for master in masters():
        if not chosen or master.stem in chosen:
            build(master)
            print(
                f"{master.stem}: dist/student, dist/instructor, dist/autograder/{master.stem}.zip"
            )
