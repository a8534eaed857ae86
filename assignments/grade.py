"""Grade a class on this machine, without Docker: ``python assignments/grade.py AUTOGRADER SUBMISSION ...``.

AUTOGRADER is a zip file from ``dist/autograder``; a SUBMISSION is a notebook under any name, a zip file that
holds one, or a folder that does. Writes into ``--output`` (by default ``grades``)

    grades.csv          a row per submission, under its path: points for each question, sum, seed, remark
    <submission>.txt    what each failed test says: feedback to hand back
    written.html        the answers in words, question by question, figures included, the rubric beside them
    questions.csv       for each question how many were graded, mean, standard deviation, least and most
    messages.csv        for each question what its tests said, and to how many, the commonest first
    gradebook.csv       with ``--roster``: the sums, to import into Canvas or Moodle

What cannot be graded has no points, not 0, and the remark says why; so does the terminal. A remark that
begins with "look at" names what tests cannot judge: code that mentions what grades it.

The points for words go into a table with a column ``submission`` and one for each question in words, named as
in the master; ``--written TABLE`` adds them to grades.csv. A class is graded with one seed: ``--seed``, or
that of the grades.csv that is there already, or that of the autograder. Grading again gives the same points.
The code that students submit runs as you: for people you do not know, use Gradescope or another container.
"""

import argparse
import ast
import csv
import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

import nbformat
import tables
from answers import figures, words

LARGEST = 200e6  # bytes in a zip file, unpacked
NESTED = 3  # zip files in one another
MEMORY = 8 * 10**9  # bytes for one submission, where the system can hold it to that

SETUP = "import grading\n\ngrading.guard_notebook()"

# Code that has no business in an answer. A person must look at it; it costs no points by itself.
SUSPECT = {
    "grading": r"\bgrading\b",
    "Otter": r"\botter\b|\bChecker\b",
    "files of the tests": r"\btests?[/\\]|grading-seed|results\.(json|pkl)|practice\.json",
    "files": r"\bopen\(|\b(read|write)_(text|bytes)\(|\b(listdir|scandir|i?glob|iterdir)\("
    r"|\bos\.walk\b|\bshutil\b|\blinecache\b|%%writefile",
    "frames": r"_getframe|currentframe|\bf_(back|locals|globals)\b|\binspect\b|\bgc\b"
    r"|__(globals|closure|traceback)__|\btraceback\b|\btb_frame\b|\battrgetter\b",
    "the interpreter's hooks": r"setprofile|settrace|setitimer|\bsignal\b|\bctypes\b|sys\.modules"
    r"|\batexit\b|\bevents\.",
    "code made from text": r"\bexec\(|\beval\(|\bcompile\(|getsource|__import__"
    r"|\brun_(cell|code)|\bsafe_(exec|run)|\buser_ns\b|%(run|macro|rerun)\b",
    "what checks returned": r"\bupdate_score\b|\btest_case(s|_results)\b|\bOut\b(?! *=)|(?<![\w.])_+\d*\.\w",
    "modules looked up by name": r"\bimportlib\b|\bpkgutil\b|\brunpy\b",
    "the insides of objects": r"__(code|dict|class|subclasses|mro|builtins|defaults)__"
    r"|\b(vars|globals|locals|getattr|delattr)\(|\bFunctionType\b|\bmarshal\b",
    "threads or processes": r"\bthreading\b|\b_thread\b|\bmultiprocessing\b|concurrent\.futures"
    r"|\basyncio\b|\bsubprocess\b|\bpopen\b|\bos\.(system|fork|kill|_exit|exec|spawn|posix_spawn)"
    r"|\bfrom +os +import\b|\bpty\b|\bget_ipython\(\)\.(system|getoutput)|%(sx|system)\b"
    r"|(?m:^[ \t]*([\w, ]+= *)?!(?!=|\s*(pip3?|uv|conda|mamba) ))",
    "replaced functions": r"\bsetattr\(",
}
IMPORTS = re.compile(r"\bimport +(\([^)]*\)|[^\n;#(]+)")


class NotGraded(Exception):
    """A submission that has no grade; the message says why."""


# ---- What was handed in ----
def hidden(path):
    """Return whether a path belongs to a system, an editor or a checkpoint, and not to the student."""
    return any(part.startswith((".", "__")) for part in PurePosixPath(path).parts)


def contents(submission):
    """Return the files of a submission, {path: bytes}, as they were handed in."""
    if submission.is_dir():
        paths = sorted(path for path in submission.rglob("*") if path.is_file())
        files = {path.relative_to(submission).as_posix(): path.read_bytes() for path in paths}
    elif submission.suffix.lower() == ".zip":
        with zipfile.ZipFile(submission) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise NotGraded(f"unpacked it is larger than {LARGEST / 1e6:.0f} MB")
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            files = {entry.filename: archive.read(entry) for entry in entries}
    else:
        files = {submission.name: submission.read_bytes()}
    return {inside(name): content for name, content in files.items() if not hidden(inside(name))}


def inside(path):
    """Return a path of an archive as one that stays in its folder, also if it was made on Windows."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return "/".join(part for part in parts if part not in ("/", ".."))


def find(submission, nested=0):
    """Return the notebook of a submission, and the files beside it, {path: bytes}."""
    files = contents(submission)
    notebooks = [name for name in files if name.lower().endswith(".ipynb")]
    inner = [name for name in files if name.lower().endswith(".zip")]
    if not notebooks and len(inner) == 1 and nested < NESTED:  # a zip file in a folder
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "inner.zip"
            path.write_bytes(files[inner[0]])
            return find(path, nested + 1)
    if not notebooks:
        raise NotGraded("there is no notebook in it")
    if len(notebooks) > 1:
        raise NotGraded(
            f"there are {len(notebooks)} notebooks in it, {', '.join(sorted(notebooks))}: which counts?"
        )
    text = decoded(files.pop(notebooks[0]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is mended, such as two cells with one name
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
    except Exception as error:
        reason = (
            str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        )
        raise NotGraded(f"{notebooks[0]} is no whole notebook: {reason}") from error
    folder = PurePosixPath(notebooks[0]).parent
    beside = {
        str(PurePosixPath(name).relative_to(folder)): content
        for name, content in files.items()
        if PurePosixPath(name).is_relative_to(folder)
    }
    return notebook, beside


def decoded(content):
    """Return the text of a notebook, which is UTF-8, or UTF-16 if it begins with that mark."""
    for encoding in ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            raise NotGraded(
                f"the notebook is not in UTF-8: {error.reason} at byte {error.start}"
            ) from error


def usable(beside):
    """Return the files of ``beside`` that a notebook may read, and the names of those left out.

    Nothing may stand in for what the autograder brings, or for an installed module.
    """
    brought, left_out = {}, []
    for name, content in beside.items():
        top = PurePosixPath(name).parts[0]
        if top in (
            "fpnotes",
            "tests",
            "grading.py",
            "practice.json",
            "requirements.txt",
            "README.md",
        ):
            continue
        module = top.removesuffix(".py")
        if (top.endswith(".py") or "/" in name) and (
            module == "otter" or importlib.util.find_spec(module)
        ):
            left_out.append(name)
        elif not name.endswith((".py.zip", ".zip")):
            brought[name] = content
    return brought, left_out


def suspicions(notebook, about):
    """Return what in the student's own cells a person should look at, as one sentence, or ''."""
    found = {}
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    names = imported("\n".join(code)) | {"np", "numpy"}
    for number, cell in enumerate(notebook.cells, 1):
        source = cell.source.strip()
        if (
            cell.cell_type != "code"
            or hashlib.sha256(source.encode()).hexdigest() in about["handed out"]
        ):
            continue
        for what, pattern in SUSPECT.items():
            if re.search(pattern, source):
                found.setdefault(what, str(number))
        if replaces(source, names):
            found.setdefault("replaced functions", str(number))
    return "; ".join(f"cell {number} mentions {what}" for what, number in found.items())


def imported(source):
    """Return the names that a notebook has from imports."""
    parts = re.sub(r"[()]", "", ",".join(IMPORTS.findall(source))).split(",")
    return {part.split()[-1].split(".")[0] for part in parts if part.strip()}


def replaces(source, names):
    """Return whether a cell sets an attribute of what was imported, such as ``np.abs = max``."""
    try:
        tree = ast.parse(re.sub(r"^[%!].*", "", source, flags=re.M))
    except (SyntaxError, ValueError):  # no Python alone: look at its lines
        found = re.findall(r"(?<![\w.])(\w+)(?:\.\w+)+ *=[^=]", source)
        return not names.isdisjoint(found)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            while isinstance(node, ast.Attribute):
                node = node.value
            if isinstance(node, ast.Name) and node.id in names:
                return True
    return False


# ---- Grading one ----
def grade(submission, autograder, about, seconds, seed):
    """Return what a submission got: points, feedback, words and a remark; never raises.

    Returns
    -------
    dict
        "points": {question: points}, or None if it was not graded; "feedback" and "remark": texts;
        "messages": {question: texts}; "words": {question: Markdown}; "figures": [Markdown].
    """
    result = {
        "points": None,
        "feedback": "",
        "messages": {},
        "words": {},
        "figures": [],
        "remark": "",
    }
    try:
        notebook, beside = find(submission)
        brought, left_out = usable(beside)
        result["words"], missing = words(notebook, about)
        result["figures"] = figures(notebook, about)
        remarks = [f"look at: {doubt}" for doubt in [suspicions(notebook, about)] if doubt]
        remarks += [f"look at: left out {', '.join(left_out)}"] if left_out else []
        code = [name for name in brought if name.endswith(".py")]
        remarks += [f"look at: came with {', '.join(code)}"] if code else []
        remarks += [f"no answer found to {', '.join(missing)}"] if missing else []
        result["remark"] = "; ".join(remarks)
        tests = run(notebook, brought, autograder, about, seconds, seed)
        result["points"] = points(tests, about)
        result["messages"] = messages(tests)
        result["feedback"] = feedback(tests, result["messages"])
    except NotGraded as error:
        reason = f"not graded: {error}"
        result["remark"] = "; ".join([reason, *filter(None, [result["remark"]])])
        result["feedback"] = reason
    except Exception as error:  # one broken file stops nobody else's
        result["remark"] = result["feedback"] = f"not graded: {type(error).__name__}: {error}"[:300]
    return result


# Runs Otter, with no more memory than MEMORY.
LIMITED = f"""\
import os, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
except (ImportError, ValueError, OSError):
    pass
os.execv(sys.executable, [sys.executable, "-m", "otter", *sys.argv[1:]])
"""


def run(notebook, beside, autograder, about, seconds, seed):
    """Return Otter's results for a notebook: its "tests", each with name, score, max_score and output."""
    name = notebook.metadata.get("otter", {}).get("assignment_name")
    if name != about["name"]:
        raise NotGraded(
            f"it is a notebook of {name or 'no problem set'}, and this is {about['name']}"
        )
    # A kernel with a name of the student's own, such as that of an environment, is not on this machine.
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    # The guard comes first, also if its cell was deleted.
    notebook.cells.insert(0, nbformat.v4.new_code_cell(SETUP))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "results").mkdir()
        with zipfile.ZipFile(scratch / "submission.zip", "w") as archive:
            archive.writestr(f"{about['name']}.ipynb", nbformat.writes(notebook))
            for path, content in beside.items():
                archive.writestr(path, content)
        command = [
            sys.executable,
            "-c",
            LIMITED,
            "run",
            str(scratch / "submission.zip"),
            "-a",
            str(autograder.resolve()),
        ]
        # In a session of its own, so that a notebook's kernel is ended with it.
        with subprocess.Popen(
            [*command, "-o", str(scratch / "results"), "--no-logo"],
            cwd=scratch,
            env=os.environ | {"GRADING_SEED": str(seed), "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                log = process.communicate(timeout=seconds)[0].decode(errors="replace")
            except subprocess.TimeoutExpired:
                raise NotGraded(f"it ran for more than {seconds:g} s") from None
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if "DeadKernelError" in log:
            raise NotGraded("a cell or an answer ended Python itself")
        results = scratch / "results" / "results.json"
        if process.returncode or not results.exists():
            last = [line for line in log.splitlines() if line.strip()][-1:] or ["no result"]
            raise NotGraded(last[0].strip()[-300:])
        return json.loads(results.read_text())["tests"]


def points(tests, about):
    """Return the points of each question, {name: points}; there must be one result for each."""
    scored = {test["name"]: test for test in tests if "score" in test}
    if set(scored) != set(about["points"]):
        missing = ", ".join(sorted(set(about["points"]) - set(scored)))
        raise NotGraded(
            f"Otter has no result for {missing or 'a question'}"
            if scored
            else "Otter has no results"
        )
    for name, test in scored.items():
        if (
            test["max_score"] != about["points"][name]
            or not 0 <= test["score"] <= test["max_score"]
        ):
            raise NotGraded(f"the result for {name} is {test['score']} of {test['max_score']}")
    return {name: float(scored[name]["score"]) for name in about["points"]}


def messages(tests):
    """Return what failed tests say, {question: sentences}: one for each failure, no line of a test."""
    found = {}
    for test in tests:
        if "score" not in test:
            continue
        lines = found[test["name"]] = []
        for part in re.split(r"^ +\S.* - \d+ result:$", test["output"], flags=re.M)[1:]:
            errors = re.findall(r"^ *\w+(?:Error|Interrupt|Exception): (.*)", part, re.M)
            line = errors[-1] if errors else part.strip()
            if "Test case failed" in part and line not in lines:
                lines.append(line)
    return found


def feedback(tests, said):
    """Return the points of each question and what its tests said, as one text."""
    lines = []
    for test in tests:
        if "score" in test:
            lines.append(f"{test['name']}: {test['score']:g} of {test['max_score']:g}")
            lines += [f"    - {line}" for line in said[test["name"]]]
    return "\n".join(lines)


# ---- A class ----
def key(path):
    r"""Return a submission's name in all tables: its path, as it was typed.

    What a table or a terminal cannot show, such as a line's end, stands there as \x0a.
    """
    text = Path(os.path.normpath(path)).as_posix()
    text = os.path.abspath(text)[1:] if text.startswith(("/", "..")) else text
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", text)


def feedback_file(output, name):
    """Return where a submission's feedback goes; a name that is too long for a file is cut."""
    path = output / f"{name}.txt"
    if len(os.fsencode(path.name)) > 255:
        path = path.with_name(f"{name[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.txt")
    return path


def chosen_seed(options, autograder):
    """Return the seed to grade with, and say where it comes from."""
    if options.seed is not None:
        return options.seed
    try:
        with open(options.output / "grades.csv", newline="", encoding="utf-8") as file:
            return int(next(csv.DictReader(file))["seed"])
    except (OSError, StopIteration, KeyError, ValueError, TypeError):
        return int(autograder.read("files/grading-seed"))


def main():
    """Grade the submissions named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("autograder", type=Path)
    parser.add_argument("submissions", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, default=Path("grades"))
    parser.add_argument(
        "--written", type=Path, help="a CSV file with the points for answers in words"
    )
    parser.add_argument(
        "--roster", type=Path, help="a CSV file from Canvas or Moodle, with a column submission"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="submissions graded side by side"
    )
    parser.add_argument("--seconds", type=float, default=900, help="time allowed to one submission")
    parser.add_argument(
        "--seed", type=int, help="what to draw the instances from, for the whole class"
    )
    options = parser.parse_args()

    with zipfile.ZipFile(options.autograder) as archive:
        about = json.loads(archive.read("set.json"))
        seed = chosen_seed(options, archive)
    submissions = {key(path): path for path in options.submissions}
    by_hand = tables.marks(options.written, about, submissions) if options.written else {}
    if options.roster and about["words"] and not options.written:
        sys.exit("--roster needs --written: without the points for words no sum is whole")
    if options.roster:  # what is wrong there is said before anything runs
        tables.gradebook(options.roster, about["name"], 0, dict.fromkeys(submissions))
    options.output.mkdir(parents=True, exist_ok=True)
    one = partial(
        grade, autograder=options.autograder, about=about, seconds=options.seconds, seed=seed
    )
    with ThreadPoolExecutor(options.jobs) as pool:
        graded = dict(zip(submissions, pool.map(one, submissions.values()), strict=True))
    report(options, about, seed, graded, by_hand)


def report(options, about, seed, graded, by_hand):
    """Write what came out of a class, and say what did not."""
    import written  # needs what only .venv-otter has

    shown = list(about["words"]) if options.written else []
    lines, sums = [], {}
    for name, result in graded.items():
        scores = (result["points"] or {}) | by_hand.get(name, {})
        row = [scores.get(question, "") for question in (*about["points"], *shown)]
        unmarked = [question for question in shown if question not in by_hand.get(name, {})]
        doubts = [result["remark"], f"no points yet for {', '.join(unmarked)}" if unmarked else ""]
        sums[name] = None if "" in row else sum(row)
        whole = "" if sums[name] is None else sums[name]
        lines.append([name, *row, whole, seed, "; ".join(filter(None, doubts))])
        text = feedback_file(options.output, name)
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(result["feedback"] + "\n", encoding="utf-8")
    header = ["submission", *about["points"], *shown, "sum", "seed", "remark"]
    tables.write(options.output / "grades.csv", header, lines)

    points = about["points"] | {question: about["words"][question] for question in shown}
    scores = [(graded[name]["points"] or {}) | by_hand.get(name, {}) for name in graded]
    rows = tables.questions(points, scores)
    tables.write(options.output / "questions.csv", tables.QUESTIONS, rows)
    said = tables.messages([result["messages"] for result in graded.values()])
    tables.write(options.output / "messages.csv", tables.MESSAGES, said)
    key = options.autograder.resolve().parents[1] / "keys" / f"{options.autograder.stem}.json"
    keys = json.loads(key.read_text(encoding="utf-8")) if key.exists() else {}
    if about["words"] and not keys:
        print(f"  written.html has no rubrics: there is no {key}")
    document = written.document(about, keys, graded)
    (options.output / "written.html").write_text(document, encoding="utf-8")

    failed = {name: result["remark"] for name, result in graded.items() if result["points"] is None}
    print(
        f"{len(graded) - len(failed)} submissions graded, {len(failed)} not: see {options.output}/"
    )
    for name, remark in failed.items():
        print(f"  {name}: {remark}")
    if options.roster:
        most = sum(points.values())
        header, rows, left = tables.gradebook(options.roster, about["name"], most, sums)
        tables.write(options.output / "gradebook.csv", header, rows)
        for name in left:
            print(f"  {name} is on no row of {options.roster}, so not in gradebook.csv")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
