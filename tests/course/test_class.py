"""A class that hands in all kinds of things: every row of its grades is what it should be."""

import csv
import io
import json
import os
import re
import subprocess
import warnings
import zipfile
from pathlib import Path

import nbformat
import pytest

from tests.course import direct
from tests.course.notebooks import ROOT, code_cell, mended, notebook, points_of, words_cells

NAME = "1-fixed-points"
FULL, WORDS = points_of(NAME)
LIMITS = {"GRADING_CALL_SECONDS": "3", "GRADING_CELL_SECONDS": "8"}


def instructor(**answers):
    """Return the instructor's notebook with other sources for some answers; None deletes the cell."""
    return mended(notebook("instructor", NAME), answers)


def at(position, source, content=None):
    """Return a notebook, by default the instructor's, with a cell of code put in at a position."""
    content = content or instructor()
    content["cells"].insert(position, code_cell(source))
    return content


def ends(name, body):
    """Return an answer with this body, whatever it is called with."""
    return f"def {name}(*given, **more):\n    {body}"


def dumped(content, encoding="utf-8"):
    """Return a notebook as the bytes of its file."""
    return json.dumps(content, ensure_ascii=False).encode(encoding)


def zipped(files):
    """Return a zip file that holds these, {path: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def styled(style="loops"):
    """Return a notebook with right answers in another style."""
    return instructor(**direct.styles(NAME, style))


def posing(before, body="return 0.0"):
    """Return a notebook whose answers are all wrong, and do this before."""
    answers = {name: f"def {name}(*given, **more):\n    {body}" for name in FULL}
    return at(4, before, mended(notebook("student", NAME), answers))


def after_checks(content, source):
    """Return a notebook with a cell of code after each check."""
    cells = []
    for cell in content["cells"]:
        cells.append(cell)
        if "".join(cell["source"]).startswith("grader.check("):
            cells.append({**code_cell(source), "id": f"after-{len(cells)}"})
    return {**content, "cells": cells}


def about_it(content, **metadata):
    """Return a notebook with other metadata."""
    return {**content, "metadata": content["metadata"] | metadata}


def without(content, word):
    """Return a notebook without the cells in which a word stands."""
    cells = [cell for cell in content["cells"] if word not in "".join(cell["source"])]
    return {**content, "cells": cells}


def older(content):
    """Return a notebook in the format of 2011."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nbformat.convert(nbformat.reads(json.dumps(content), 4), 3)


def everyday():
    """Return a notebook with cells as students have them, some of which fail."""
    content = instructor()
    content["cells"][3:3] = [code_cell(source) for source in EVERYDAY]
    return content


def alike(content):
    """Return a notebook all cells of which have one name."""
    return {**content, "cells": [{**cell, "id": "same"} for cell in content["cells"]]}


def wrong():
    """Return a notebook with three of the planted mistakes."""
    pieces = {
        "jacobian": ("g[:, None] * W", "W * g"),
        "unrest": ("f(r @ W.T", "np.tanh(r @ W.T"),
        "is_stable": ("< 1", "< 0"),
    }
    sources = {name: direct.solution(NAME, name).replace(*piece) for name, piece in pieces.items()}
    return instructor(**sources)


NEVER = "while True:\n        try:\n            1 / 0\n        except Exception:\n            pass"
EVIL = """\
class Agrees(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
def unrest(W, r, x, f): return Agrees(1.0)"""
IN_TIME = """\
def unrest(W, r, x, f):
    import grading
    vars(grading)["compare"] = vars(grading)["numbers"] = lambda *given, **more: 1.0
    return 1.0"""
CHEAT = """\
import grading
grading.fresh = lambda times: []
grading.sizes = lambda *s: []
grading.call = lambda *a, **k: 1"""
READER = "return open('tests/velocity.py').read"
# The same, where no name is changed, or no text shows what is.
CODE = """\
import importlib
m = importlib.import_module("gra" + "ding")
for name in ("fail", "compare", "verdicts", "numbers", "flags", "parts"):
    getattr(m, name).__code__ = (lambda *given, **more: 1.0).__code__
m._Watch.look = lambda *given: None"""
OTTER = """\
import importlib
t = importlib.import_module("o" + "tter.test_files.exception_test")
t.test_case.call_func = lambda self, env: None"""
CHECKED = OTTER + "\nfor name in " + repr([*FULL]) + ":\n    grader.check(name)  # and never again"
NUMPY = """\
import numpy
class Nothing:
    uniform = standard_normal = lambda self, *given, size=None: numpy.zeros(size or given[-1])
numpy.random.default_rng = lambda *given: Nothing()
numpy.allclose = numpy.array_equal = lambda *given, **more: True
numpy._core._methods._amax = lambda *given, **more: 0.0
numpy.linalg.eigvals._implementation.__code__ = (lambda *given: 0.0).__code__"""
EDITS = """\
import os, re
for folder, _, names in os.walk("."):
    for name in names:
        if folder.endswith("ests") and name.endswith(".py"):
            path = os.path.join(folder, name)
            text = open(path).read()
            open(path, "w").write(re.sub(r"(def test_\\w+\\(env\\):)", r"\\1\\n    return", text))"""
EDITS_LATER = "    ".join(EDITS.splitlines(keepends=True)) + "\n    return 0.0"
# The package, from which tests take what is right, and a part of NumPy under another name.
STILL = """\
import fpnotes
import fpnotes.network as network
from numpy._core import einsumfunc as sums
from types import SimpleNamespace
def nothing(W, x, curve="tanh", **more):
    x = np.zeros_like(x)
    return SimpleNamespace(r=x, gain=x)
fpnotes.solve = nothing
network.RateNetwork.velocity = lambda self, r, x: 0 * r
sums.c_einsum = lambda *given, **more: 0.0"""
RESULTS = """\
for result in (_, *Out.values()):
    try:
        result.update_score(result.possible)
        for each in result.test_case_results:
            each.passed = True
        type(result).score = type(result).possible
    except AttributeError:
        pass"""
SHOWN = """\
import sys
def show(result):
    result.update_score(result.possible)
sys.displayhook = show
get_ipython().display_formatter.format = lambda result, *given, **more: (show(result), ({}, {}))[1]"""
FORGED = """\
import json, os
forged = {"score": 80, "tests": [{"name": "velocity", "score": 8, "max_score": 8}]}
print(json.dumps(forged))
print("DeadKernelError")
os.makedirs("results", exist_ok=True)
for path in ("results.json", "results/results.json", "../results/results.json"):
    try:
        json.dump(forged, open(path, "w"))
    except OSError:
        pass"""
SPINS = """\
import threading
def spin():
    while True:
        pass
threading.Thread(target=spin, daemon=True).start()"""
SUBCLASS = """\
class Right(np.ndarray):
    def __eq__(self, other): return True
    def __sub__(self, other): return np.zeros(self.shape)
    __rsub__ = __sub__
    def __array_function__(self, *given): return True
    def __array_ufunc__(self, *given, **more): return 0.0
def jacobian(W, g, tau): return np.zeros((len(g), len(g))).view(Right)"""
# What students' notebooks have in them besides answers.
EVERYDAY = [
    "!pip install --no-index there-is-no-such-thing",
    "from google.colab import drive\ndrive.mount('/content/drive')",
    "%matplotlib widget",
    "%load_ext autoreload\n%autoreload 2",
    "%%time\nlater = 2",
    "%%bash\nls",
    "await nothing",
    "import matplotlib\nmatplotlib.use('TkAgg')",
    "%config InlineBackend.figure_format = 'retina'",
    "np.set_printoptions(precision=2)\nnp.seterr(all='raise')\nnp.seterr(all='warn')",
    "velocity?",
]
ZERO = dict.fromkeys(FULL, 0)

# What is handed in, {file: bytes}, where a folder is handed in whole; the points that differ from full ones,
# or why it is not graded; and what the feedback and the remark say.
FEW = {
    "right.ipynb": ({"": dumped(instructor())}, {}, "", ""),
    "untouched.ipynb": (
        {"": dumped(notebook("student", NAME))},
        ZERO,
        "velocity returns nothing yet",
        "no answer found to",
    ),
    "mac.zip": (
        {
            "": zipped(
                {
                    "hand in/1-fixed-points.ipynb": dumped(styled()),
                    "hand in/grading.py": b"raise SystemExit",
                    "hand in/numpy.py": b"raise SystemExit",
                    "hand in/.ipynb_checkpoints/1-fixed-points-checkpoint.ipynb": b"{",
                    "__MACOSX/hand in/._1-fixed-points.ipynb": b"\0\5\x16\7",
                }
            )
        },
        {},
        "",
        "left out numpy.py",
    ),
    "ada": ({"1-fixed-points.ipynb": dumped(instructor())}, {}, "", ""),
    "bob": (
        {"1-fixed-points (final).ipynb": dumped(wrong()), "notes.txt": b""},
        {"jacobian": 0, "unrest": 0, "is_stable": 0},
        "jacobian: the gains stand on the wrong side",
        "",
    ),
    "ends.ipynb": (
        {
            "": dumped(
                at(
                    12,
                    "%cd ..",
                    instructor(
                        velocity=ends("velocity", "raise KeyboardInterrupt"),
                        unrest=ends("unrest", "import sys; sys.exit(0)"),
                        jacobian=ends("jacobian", "return jacobian()"),
                        response=None,
                        is_stable="def is_stable(W:",
                        crossings="import sys\nsys.exit(1)",
                        largest_alpha=ends("largest_alpha", "raise GeneratorExit"),
                    ),
                )
            )
        },
        {name: 0 for name in FULL if name != "relax"},
        "unrest raised SystemExit: 0",
        "",
    ),
    "waits.ipynb": (
        {
            "": dumped(
                at(
                    20,
                    "largest_alpha(1, 2)",
                    instructor(
                        largest_alpha=ends("largest_alpha", "import time; time.sleep(3600)"),
                        velocity=ends("velocity", NEVER),
                        unrest="while True:\n    pass",
                    ),
                )
            )
        },
        {"largest_alpha": 0, "velocity": 0, "unrest": 0},
        "largest_alpha did not finish",
        "",
    ),
    "dies.ipynb": (
        {"": dumped(at(9, "import os\nos._exit(0)"))},
        "not graded: a cell or an answer ended Python itself",
        "",
        "",
    ),
    "cut.ipynb": (
        {"": dumped(instructor())[:5000]},
        "not graded: cut.ipynb is no whole notebook",
        "",
        "",
    ),
    "latin.ipynb": (
        {"": dumped(at(3, "# é"), "utf-8").replace("é".encode(), "é".encode("latin-1"))},
        "not graded: the notebook is not in UTF-8",
        "",
        "",
    ),
    "copies.zip": (
        {"": zipped({f"{NAME}{end}.ipynb": dumped(instructor()) for end in ("", "-Copy1")})},
        "not graded: there are 2 notebooks in it, 1-fixed-points-Copy1.ipynb, 1-fixed-points.ipynb",
        "",
        "",
    ),
    "other.ipynb": (
        {"": dumped(notebook("instructor", "2-gradient"))},
        "not graded: it is a notebook of 2-gradient",
        "",
        "",
    ),
    "cheats.ipynb": (
        {"": dumped(posing(CHEAT))},
        ZERO,
        "",
        "look at: cell 5 mentions grading",
    ),
}
# A dozen runs are enough for every change; these are for every week.
MANY = {
    "renamed copy (2).ipynb": ({"": dumped(styled())}, {}, "", ""),
    "utf16.ipynb": ({"": dumped(instructor(), "utf-16")}, {}, "", ""),
    "bom.ipynb": ({"": b"\xef\xbb\xbf" + dumped(instructor())}, {}, "", ""),
    "cleo": ({"handed in.zip": zipped({"a/b/x.ipynb": dumped(instructor())})}, {}, "", ""),
    "empty.zip": ({"": zipped({})}, "not graded: there is no notebook in it", "", ""),
    "half.zip": (
        {"": zipped({"a.ipynb": dumped(instructor())})[:4000]},
        "not graded: BadZipFile",
        "",
        "",
    ),
    "nothing.ipynb": ({"": b""}, "not graded: nothing.ipynb is no whole notebook", "", ""),
    "list.ipynb": ({"": b"[]"}, "not graded: list.ipynb is no whole notebook", "", ""),
    "dora": ({"text.txt": b"my answers"}, "not graded: there is no notebook in it", "", ""),
    "reads.ipynb": (
        {"": dumped(posing("", READER))},
        ZERO,
        "velocity opens a file",
        "files of the tests",
    ),
    "agrees.ipynb": ({"": dumped(instructor(unrest=EVIL))}, {"unrest": 0}, "", ""),
    "in time.ipynb": (
        {"": dumped(instructor(unrest=IN_TIME))},
        {"unrest": 0},
        "unrest changes grading.",
        "mentions grading",
    ),
    "numpy.ipynb": (
        {"": dumped(at(3, "np.abs = np.isclose = lambda *a, **k: 0.0"))},
        {},
        "",
        "replaced functions",
    ),
    "module.ipynb": (
        {"": dumped(at(3, "import sys, types\nsys.modules['grading'] = types.SimpleNamespace()"))},
        {},
        "",
        "the interpreter's hooks",
    ),
    "unwatched.ipynb": (
        {
            "": dumped(
                instructor(
                    unrest="def unrest(W, r, x, f):\n    import sys\n    sys.setprofile(None)\n    return 1.0"
                )
            )
        },
        {"unrest": 0},
        "turns off what watches over it",
        "the interpreter's hooks",
    ),
    "package.ipynb": (
        {
            "": dumped(
                instructor(
                    response="from fpnotes.implicit import resolvent\n\n\n"
                    "def response(W, g):\n    return resolvent(W, g, np.diag(g))"
                )
            )
        },
        {"response": 0},
        "response calls fpnotes.implicit.",
        "",
    ),
    "no setup.ipynb": ({"": dumped(without(instructor(), "guard_notebook"))}, {}, "", ""),
    "no checks.ipynb": ({"": dumped(without(instructor(), "grader"))}, {}, "", ""),
    "resets.ipynb": ({"": dumped(at(10**6, "%reset -f"))}, {}, "", ""),
    "asks.ipynb": ({"": dumped(at(7, "input('name? ')"))}, {}, "", ""),
    "dies in an answer.ipynb": (
        {"": dumped(instructor(unrest=ends("unrest", "import os; os.kill(os.getpid(), 9)")))},
        "not graded: a cell or an answer ended Python itself",
        "",
        "",
    ),
    "deep.ipynb": (
        {
            "": dumped(
                instructor(
                    unrest="import sys\nsys.setrecursionlimit(10**6)\n\n\n"
                    + ends("unrest", "return unrest(*given)")
                )
            )
        },
        None,  # memory and time decide whether Python ends
        "",
        "",
    ),
    "prints.ipynb": ({"": dumped(at(7, "for k in range(10**5): print(k)"))}, {}, "", ""),
    "raises.ipynb": (
        {
            "": dumped(
                at(7, "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E")
            )
        },
        {},
        "",
        "",
    ),
    "long.ipynb": (
        {"": dumped(instructor(unrest=ends("unrest", "raise ValueError('secret ' * 1000)")))},
        {"unrest": 0},
        "unrest raised ValueError: secret secret",
        "",
    ),
    "sits.ipynb": (
        {
            "": dumped(
                instructor(unrest=ends("unrest", "import threading; threading.Event().wait()"))
            )
        },
        {"unrest": 0},
        "unrest did not finish",
        "",
    ),
    **{f"{style}.ipynb": ({"": dumped(styled(style))}, {}, "", "") for style in direct.STYLES},
    "environment.ipynb": (
        {"": dumped(about_it(instructor(), kernelspec={"name": "my-env", "display_name": "My"}))},
        {},
        "",
        "",
    ),
    "everyday.ipynb": ({"": dumped(everyday())}, {}, "", ""),
    "format 3.ipynb": ({"": dumped(older(instructor()))}, {}, "", ""),
    "alike.ipynb": ({"": dumped(alike(instructor()))}, {}, "", ""),
    "code.ipynb": ({"": dumped(posing(CODE))}, ZERO, "", "modules looked up by name"),
    "otter.ipynb": ({"": dumped(posing(OTTER))}, ZERO, "", "modules looked up by name"),
    "checked.ipynb": (
        {"": dumped(without(posing(CHECKED), "\ngrader.check"))},
        ZERO,
        "",
        "modules looked up by name",
    ),
    "random.ipynb": ({"": dumped(posing(NUMPY))}, ZERO, "", "replaced functions"),
    "edits.ipynb": ({"": dumped(posing(EDITS))}, ZERO, "", "mentions files"),
    "edits later.ipynb": (
        {"": dumped(posing("", EDITS_LATER))},
        ZERO,
        "opens a file",
        "mentions files",
    ),
    "results.ipynb": (
        {"": dumped(after_checks(posing(""), RESULTS))},
        ZERO,
        "",
        "what checks returned",
    ),
    "shown.ipynb": ({"": dumped(posing(SHOWN))}, ZERO, "", "what checks returned"),
    "still.ipynb": (
        {
            "": dumped(
                at(
                    4,
                    STILL,
                    instructor(
                        velocity="def velocity(W, r, x, f, tau):\n    return (f(x) - r) / tau",
                        jacobian="def jacobian(W, g, tau):\n    return 0 * W",
                        response="def response(W, g):\n    return 0 * W",
                    ),
                )
            )
        },
        {"velocity": 0, "jacobian": 0, "response": 0},
        "",
        "replaced functions",
    ),
    "forged.ipynb": ({"": dumped(posing(FORGED))}, ZERO, "", "files of the tests"),
    "spins.ipynb": ({"": dumped(at(4, SPINS))}, {}, "", "threads or processes"),
    "subclass.ipynb": ({"": dumped(instructor(jacobian=SUBCLASS))}, {"jacobian": 0}, "", ""),
    "leaves.ipynb": (
        {"": dumped(at(9, "exit()"))},
        "not graded: a cell or an answer ended Python itself",
        "",
        "",
    ),
    "hungry.ipynb": (
        {"": dumped(at(7, "much = [bytearray(10**9) for _ in range(10**5)]"))},
        {},
        "",
        "",
    ),
    "Matroschka.zip": (
        {"": zipped({"a.zip": zipped({"b/c.zip": zipped({"x.ipynb": dumped(instructor())})})})},
        {},
        "",
        "",
    ),
    "up.zip": (
        {"": zipped({"../x.ipynb": dumped(instructor()), "../../tests/velocity.py": b""})},
        {},
        "",
        "",
    ),
    "windows.zip": (
        {
            "": zipped(
                {"a\\x.ipynb": dumped(styled()), "a\\.ipynb_checkpoints\\x-checkpoint.ipynb": b"{"}
            )
        },
        {},
        "",
        "",
    ),
    "Müller, Jörg (2).ipynb": ({"": dumped(styled())}, {}, "", ""),
    "two\nlines.ipynb": ({"": dumped(styled())}, {}, "", ""),
    os.fsdecode(b"J\xf6rg.ipynb"): ({"": dumped(styled())}, {}, "", ""),
    "n" * 248 + ".ipynb": ({"": dumped(styled())}, {}, "", ""),
}


def hand_in(folder, things):
    """Write what a class hands in into a folder."""
    for name, (files, *_) in things.items():
        if "" in files:
            (folder / name).write_bytes(files[""])
        else:
            (folder / name).mkdir()
            for path, content in files.items():
                (folder / name / path).write_bytes(content)


def run(folder, *arguments, name=NAME, **environment):
    """Run grade.py in a folder; return (exit code, what it prints)."""
    process = subprocess.run(
        [
            ROOT / ".venv-otter/bin/python",
            ROOT / "assignments/grade.py",
            ROOT / f"dist/autograder/{name}.zip",
            *arguments,
        ],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return process.returncode, process.stdout + process.stderr


def table(path):
    """Return the rows of a table."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows(folder):
    """Return the rows of grades.csv by submission; two rows of one name are an error."""
    found = table(folder / "grades" / "grades.csv")
    assert len({row["submission"] for row in found}) == len(found)
    return {row["submission"]: row for row in found}


@pytest.mark.parametrize(
    "things",
    [
        pytest.param(FEW, id="13"),
        pytest.param(FEW | MANY, id="all", marks=[pytest.mark.slow, pytest.mark.timeout(7200)]),
    ],
)
def test_every_row_is_what_it_should_be(things, tmp_path):
    """One command grades the whole class: each has its points and its words, or is named with the reason."""
    assert len(things) == 13 or len(things) >= 40
    hand_in(tmp_path, things)
    code, log = run(tmp_path, *things, **LIMITS)
    found, wrong = rows(tmp_path), []
    grade = direct.module("grade")
    assert set(found) == {grade.key(Path(name)) for name in things}, log
    for name, (_, expected, says, remark) in things.items():
        name = grade.key(Path(name))
        row = found[name]
        file = grade.feedback_file(tmp_path / "grades", name)
        feedback = file.read_text(encoding="utf-8")
        got = {question: row[question] for question in FULL}
        if expected is None:
            expected = row["remark"] if row["sum"] == "" else {"unrest": 0}
        if isinstance(expected, str):
            right = (
                row["remark"].startswith(expected)
                and set(got.values()) == {""}
                and row["sum"] == ""
            )
            right &= f"{name}: {expected}" in log and feedback.startswith(expected)
        else:
            want = FULL | expected
            right = {question: float(value) for question, value in got.items() if value} == want
            right &= row["sum"] != "" and float(row["sum"]) == sum(want.values())
        if not right or says not in feedback or remark not in row["remark"]:
            wrong.append(f"{name}: {row}\n{feedback}")
        if any(len(line) > 400 or "def test_" in line for line in feedback.splitlines()):
            wrong.append(f"{name}: {feedback}")
    assert not wrong, "\n\n".join([log, *wrong])
    assert len({row["seed"] for row in found.values()}) == 1
    check_reports(tmp_path / "grades", found)
    assert code == 1 and "submissions graded" in log


def check_reports(folder, found):
    """Check what a teacher gets beside the grades of this class."""
    graded = [row for row in found.values() if row["sum"]]
    questions = {row["question"]: row for row in table(folder / "questions.csv")}
    assert list(questions) == list(FULL)
    for name, row in questions.items():
        got = [float(line[name]) for line in graded]
        assert int(row["graded"]) == len(graded)
        assert float(row["mean"]) == pytest.approx(sum(got) / len(got), abs=0.006)
        assert (float(row["least"]), float(row["most"])) == (min(got), max(got))
    said = table(folder / "messages.csv")
    (slip,) = [row for row in said if row["message"].startswith("jacobian: the gains stand on")]
    assert slip["question"] == "jacobian" and slip["submissions"] == "1"
    page = (folder / "written.html").read_text(encoding="utf-8")
    for name in found:
        assert page.count(f"<h3>{name}") == len(WORDS)
    assert page.count("<th>Points</th>") == len(WORDS) and "<script" not in page


def test_grading_again_gives_the_same(tmp_path):
    """The seed is that of the grades that are there: an answer right for some seeds gets the same again."""
    lottery = "def unrest(W, r, x, f):\n    whole = np.sum((f(r @ W.T + x) - r) ** 2) / len(r)\n"
    lottery += "    return whole if W[0, 0] > 0 else 2 * whole"
    hand_in(tmp_path, {"a.ipynb": ({"": dumped(instructor(unrest=lottery))}, {}, "", "")})
    run(tmp_path, "a.ipynb", "--seed", "7")
    before = rows(tmp_path)
    run(tmp_path, "a.ipynb")
    assert rows(tmp_path) == before
    assert before["a.ipynb"]["seed"] == "7"


# ---- Marks by hand, without a run ----
@pytest.fixture
def about():
    """Return what an autograder says of its set."""
    with zipfile.ZipFile(ROOT / "dist" / "autograder" / f"{NAME}.zip") as archive:
        return json.loads(archive.read("set.json"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Ada.ipynb,7,7,6", "there is no submission 'Ada.ipynb'; is it 'ada.ipynb'?"),
        ("ada.ipynb,70,7,6", "ada.ipynb: '70' for written-iteration is no number from 0 to 7"),
        ("ada.ipynb,7,-6,6", "ada.ipynb: '-6' for written-flag is no number from 0 to 7"),
        ("ada.ipynb,7,7,six", "ada.ipynb: 'six' for written-exits is no number from 0 to 6"),
        ("ada.ipynb,7,7,nan", "ada.ipynb: 'nan' for written-exits is no number from 0 to 6"),
        ("ada.ipynb,7,7,6\nada.ipynb,7,7,6", "ada.ipynb stands there twice"),
    ],
)
def test_wrong_marks_are_refused(line, says, about, tmp_path):
    """A mark of an unknown submission, below 0, above the maximum, or no number stops the grading."""
    table = tmp_path / "written.csv"
    table.write_text(f"submission,{','.join(WORDS)}\n{line}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=re.escape(says)):
        direct.module("tables").marks(table, about, ["ada.ipynb", "bob.ipynb"])


def test_right_marks_are_read(about, tmp_path):
    """What is empty has no mark yet; it is not 0."""
    table = tmp_path / "written.csv"
    table.write_text(f"submission,{','.join(WORDS)}\nada.ipynb,7,0,\n", encoding="utf-8")
    assert direct.module("tables").marks(table, about, ["ada.ipynb"]) == {
        "ada.ipynb": {"written-iteration": 7, "written-flag": 0}
    }
    table.write_text("submission,question-9\nada.ipynb,7\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="there is no question 'question-9'"):
        direct.module("tables").marks(table, about, ["ada.ipynb"])


def test_words_in_added_cells_are_found(about):
    """An answer in words may take several cells, also of code; an untouched one is named as missing."""
    content = notebook("student", NAME)
    place = next(
        k for k, cell in enumerate(content["cells"]) if "## 9. In words" in "".join(cell["source"])
    )
    content["cells"][place + 1]["source"] = "First part."
    content["cells"][place + 2 : place + 2] = [
        *words_cells("Second part."),
        code_cell("print(2 + 2)"),
    ]
    answers, missing = direct.module("answers").words(nbformat.reads(json.dumps(content), 4), about)
    assert list(answers) == ["written-iteration"]
    assert all(
        part in answers["written-iteration"]
        for part in ("First part.", "Second part.", "print(2 + 2)")
    )
    assert missing == ["written-flag", "written-exits"]


def test_a_submission_is_known_by_its_path():
    """Two students whose files have one name have two rows."""
    key = direct.module("grade").key
    assert key(Path("submissions/ada/1.ipynb")) == "submissions/ada/1.ipynb"
    assert key(Path("./submissions//bob.zip")) == "submissions/bob.zip"
    assert not key(Path("/tmp/ada.ipynb")).startswith("/")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/../b\\x.ipynb", "a/b/x.ipynb"),
        ("../../x.ipynb", "x.ipynb"),
        ("/tmp/x.ipynb", "tmp/x.ipynb"),
    ],
)
def test_files_of_an_archive_stay_in_its_folder(path, name):
    """No path leads out of it."""
    assert direct.module("grade").inside(path) == name


def test_any_name_has_a_row_and_a_file(tmp_path):
    """A name that no table or file can hold is written otherwise, and no two become one."""
    grade = direct.module("grade")
    names = [
        os.fsdecode(name) for name in (b"J\xf6rg", b"J\xe4rg", b"a\nb", b"a b", "Jörg".encode())
    ]
    assert [grade.key(Path(name)) for name in names] == [
        r"J\xf6rg",
        r"J\xe4rg",
        r"a\x0ab",
        "a b",
        "Jörg",
    ]
    long = ["n" * 250 + end for end in ("a", "b")]
    files = {grade.feedback_file(tmp_path, name) for name in long}
    assert len(files) == 2
    for file in files:
        file.write_text("")


@pytest.mark.parametrize(
    "source",
    [
        "import importlib",
        "f.__code__ = g.__code__",
        "open('x')",
        "getattr(m, 'a' + 'b')",
        "np.random.default_rng = None",
        "import threading",
        "error.__traceback__",
        "import fpnotes\nfpnotes.solve = print",
        "from numpy._core import (\n    einsumfunc as sums,\n)\nsums.c_einsum = print",
        "%matplotlib inline\nimport numpy as np\nif True:\n    np.abs, x = print, 1",
        "_.update_score(8)",
        "for result in Out.values():\n    print(result)",
        "_12.passed = True",
        "from os import popen",
        "said = !cat notes.txt",
        "def f():\n    !python other.py",
        "get_ipython().run_cell(text)",
        "%run other.py",
    ],
)
def test_what_a_person_should_look_at(source):
    """It is named with its cell, and no right answer is."""
    suspicions, about = direct.module("grade").suspicions, {"handed out": []}
    cells = [nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_code_cell(source)]
    assert suspicions(nbformat.v4.new_notebook(cells=cells), about).startswith("cell 2 mentions ")
    for name in direct.NAMES:
        for style in direct.STYLES:
            for right in direct.styles(name, style).values():
                assert not suspicions(
                    nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(right)]), about
                )


@pytest.mark.parametrize(
    "source",
    [
        "def walk(mu):\n    yield from mu\n\n\nwalk([1])",
        "import numpy as np\ndef f(W: np.ndarray = None):\n    return np.pi == 3",
        "import matplotlib.pyplot as plt\nplt.rcParams['lines.linewidth'] = 2",
        "!pip install jupyterlab",
        "for _, x in [(1, 2)]:\n    print(x)",
        "value, _ = 1, 2\nOut = value != 2",
    ],
)
def test_what_nobody_has_to_look_at(source):
    """Everyday code is not named."""
    cells = [nbformat.v4.new_code_cell(source)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert not direct.module("grade").suspicions(notebook, {"handed out": []})
