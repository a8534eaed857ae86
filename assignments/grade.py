"""Grade a class on this machine, without Docker: ``python assignments/grade.py AUTOGRADER SUBMISSION ...``.

AUTOGRADER is a zip file from ``dist/autograder``; a SUBMISSION is a notebook, or the zip file that the
last cell of a notebook exports. Writes into ``--output`` (by default ``grades``)

    grades.csv          one row per submission: points for each question, and the sum
    <submission>.txt    what each failed test says: feedback to hand back
    written.md          the answers in words, question by question, to grade with the instructor's rubric

The points for words go into a table with a column ``submission`` and one for each question in words;
``--written TABLE`` adds them to grades.csv. The code that students submit runs as you: for people you do
not know, use Gradescope or another container.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path


def grade(submission, autograder, seconds):
    """Return Otter's results for a submission: its "tests", each with name, score, max_score and output."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "otter", "run", str(submission), "-a", str(autograder)]
        # In a session of its own, so that a notebook's kernel is ended with it.
        with subprocess.Popen(
            [*command, "-o", folder, "--no-logo"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as run:
            try:
                log, _ = run.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                return {"tests": [], "error": f"not graded: it ran for more than {seconds:g} s"}
        results = Path(folder) / "results.json"
        if run.returncode or not results.exists():
            return {"tests": [], "error": f"not graded: {log.strip()[-2000:]}"}
        return json.loads(results.read_text())


def points(results):
    """Return the points of each question, {name: (score, possible)}."""
    scored = [test for test in results["tests"] if "score" in test]
    return {test["name"]: (test["score"], test["max_score"]) for test in scored}


def feedback(results):
    """Return what the tests say, as one text: a sentence for each failure, no line of a test."""
    if "error" in results:
        return results["error"]
    text = []
    for test in results["tests"]:
        if "score" in test:
            text.append(f"{test['name']}: {test['score']:g} of {test['max_score']:g}")
            for part in re.split(r"^ +\S.* - \d+ result:$", test["output"], flags=re.M)[1:]:
                said = re.findall(r"^ *\w+(?:Error|Interrupt|Exception): (.*)", part, re.M)
                if "Test case failed" in part:
                    text.append(f"    - {said[-1] if said else part.strip()}")
    return "\n".join(text)


def words(submission):
    """Return the answers in words in a submission, {heading of the question: text}."""
    if submission.suffix == ".zip":
        with zipfile.ZipFile(submission) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".ipynb")]
            cells = json.loads(archive.read(name))["cells"]
    else:
        cells = json.loads(submission.read_text(encoding="utf-8"))["cells"]
    answers, heading = {}, None
    for cell in cells:
        source = "".join(cell["source"])
        # One cell may end a question and begin the next.
        for mark in re.finditer(r"<!-- (BEGIN|END) QUESTION -->(?:\s*#+ (.*))?", source):
            heading = mark[2] if mark[1] == "BEGIN" else None
        if heading and "otter_answer_cell" in cell["metadata"].get("tags", []):
            answers[heading] = answers.get(heading, "") + source + "\n"
    return answers


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
        "--jobs", type=int, default=os.cpu_count(), help="submissions graded side by side"
    )
    parser.add_argument("--seconds", type=float, default=600, help="time allowed to one submission")
    options = parser.parse_args()

    by_hand = {}
    if options.written:
        with open(options.written, newline="") as file:
            by_hand = {row.pop("submission"): row for row in csv.DictReader(file)}
    options.output.mkdir(parents=True, exist_ok=True)
    one = partial(grade, autograder=options.autograder, seconds=options.seconds)
    with ThreadPoolExecutor(options.jobs) as pool:
        graded = list(pool.map(one, options.submissions))

    questions = list(dict.fromkeys(name for results in graded for name in points(results)))
    written = list(dict.fromkeys(name for row in by_hand.values() for name in row))
    with open(options.output / "grades.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["submission", *questions, *written, "sum", "remark"])
        for submission, results in zip(options.submissions, graded, strict=True):
            scores = [points(results).get(name, (0, 0))[0] for name in questions]
            scores += [float(by_hand.get(submission.stem, {}).get(name) or 0) for name in written]
            table.writerow([submission.stem, *scores, sum(scores), results.get("error", "")])
            (options.output / f"{submission.stem}.txt").write_text(feedback(results) + "\n")

    answers = {}
    for submission in options.submissions:
        for heading, text in words(submission).items():
            answers.setdefault(heading, []).append(f"## {submission.stem}\n\n{text}")
    pages = [f"# {heading}\n\n" + "\n".join(texts) for heading, texts in answers.items()]
    (options.output / "written.md").write_text("\n".join(pages), encoding="utf-8")

    failed = sum("error" in results for results in graded)
    print(
        f"{len(graded) - failed} submissions graded, {failed} not: see {options.output}/grades.csv"
    )
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
