"""The tables of a graded class: marks that a person typed, what questions showed, a file for the gradebook.

A gradebook is filled from a roster: the table of students that Canvas or Moodle exports, with a column
``submission`` added, in which a row has the path that ``grades.csv`` gives. What comes out has the columns
that they document: for Canvas those of its own export up to "Section", the problem set, and below the header
a row of the points possible; for Moodle those that identify a person, and the problem set.
"""

import csv
import difflib
import re
import statistics
import sys
from collections import Counter

# In the order in which Canvas looks for them; the first, second and last must be there.
CANVAS = (
    "Student",
    "ID",
    "SIS User ID",
    "SIS Login ID",
    "Integration ID",
    "Root Account",
    "Section",
)
NAMES = ("First name", "Last name", "Surname")
# A person is found by one of these.
MOODLE = ("Username", "ID number", "Email address")


# ---- What a person typed ----
def rows(table, names):
    """Return the columns of a table, its rows as dictionaries, and what is wrong with its submissions."""
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns, found = list(reader.fieldnames or []), list(reader)
    if "submission" not in columns:
        sys.exit(f"{table}: there is no column named submission")
    wrong, seen = [], set()
    for row in found:
        name = (row["submission"] or "").strip()
        row["submission"] = name
        if name and name not in names:
            near = difflib.get_close_matches(name, names, 1, 0.6)
            wrong.append(
                f"there is no submission {name!r}" + (f"; is it {near[0]!r}?" if near else "")
            )
        elif name in seen:
            wrong.append(f"{name} stands there twice")
        if name:
            seen.add(name)
    return columns, found, wrong


def stop_if(wrong, table):
    """Leave, with all that is wrong in a table, before anything is written."""
    if wrong:
        lines = "".join(f"\n  {line}" for line in wrong)
        sys.exit(f"{table}: nothing was written, because{lines}")


def marks(table, about, names):
    """Return the points for words in a table, {submission: {question: points}}; stop if any is wrong."""
    columns, found, wrong = rows(table, names)
    known = ", ".join(about["words"])
    for name in columns:
        if name != "submission" and name not in about["words"]:
            wrong.insert(0, f"there is no question {name!r}; those in words are {known}")
    given = {}
    for row in found:
        name, given[row["submission"]] = row["submission"], {}
        if not name:
            wrong.append("a row has no submission")
        for question in set(columns) & set(about["words"]):
            text = (row[question] or "").strip()
            if not text:
                continue
            try:
                value = float(text)
            except ValueError:
                value = float("nan")
            if not 0 <= value <= about["words"][question]:
                most = f"{about['words'][question]:g}"
                wrong.append(f"{name}: {text!r} for {question} is no number from 0 to {most}")
            given[name][question] = value
    stop_if(wrong, table)
    return given


# ---- What a class showed ----
def write(path, header, lines):
    """Write a table."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])


def questions(points, scores):
    """Return a row for each question, with the columns QUESTIONS.

    ``points`` is {question: points}, ``scores`` a list of such, in which what was not graded is missing.
    """
    lines = []
    for question, most in points.items():
        got = [score[question] for score in scores if question in score]
        line = [question, f"{most:g}", len(got)]
        if got:
            mean, spread = statistics.mean(got), statistics.stdev(got) if len(got) > 1 else None
            line += [f"{mean:.2f}", "" if spread is None else f"{spread:.2f}"]
            line += [f"{min(got):g}", f"{max(got):g}", f"{mean / most:.0%}"]
        lines.append(line + [""] * (8 - len(line)))
    return lines


QUESTIONS = "question", "points", "graded", "mean", "standard deviation", "least", "most", "share"


def messages(said):
    """Return (question, submissions, message) for what tests said, the commonest of each question first.

    ``said`` is a list of {question: messages}, one for each submission. Messages that differ in their numbers
    alone count as one, and are shown as they stood most often.
    """
    found = {}
    for one in said:
        for question, texts in one.items():
            for key, text in {without_numbers(text): text for text in reversed(texts)}.items():
                found.setdefault(question, {}).setdefault(key, Counter())[text] += 1
    return [
        (question, counter.total(), counter.most_common(1)[0][0])
        for question, counters in found.items()
        for counter in sorted(counters.values(), key=lambda counter: -counter.total())
    ]


MESSAGES = "question", "submissions", "message"


def without_numbers(text):
    """Return a message with an ellipsis for each number that was measured."""
    return re.sub(r"-?\b\d+(\.\d+)?(e[-+]?\d+)?\b", "…", text)


# ---- The gradebook ----
def gradebook(roster, title, most, sums):
    """Return the header and rows for Canvas or Moodle, and the submissions that are on no row of the roster.

    Parameters
    ----------
    roster : path
        Their export, with a column ``submission``; empty for who handed in nothing.
    title : str
        The problem set; a column of the roster may be called so, or "1-fixed-points (4711)" as Canvas does.
    most : float
        The points of the whole set.
    sums : dict
        {submission: points}, None for what has no grade. Neither these nor who handed in nothing are in the
        gradebook: a row that is missing changes nothing there, and an empty one might.
    """
    columns, found, wrong = rows(roster, sums)
    if columns[:2] == list(CANVAS[:2]) and "Section" in columns:
        kept, below = [name for name in CANVAS if name in columns], [["Points Possible"]]
    elif set(columns) & set(MOODLE):
        kept, below = [name for name in (*NAMES, *MOODLE) if name in columns], []
    else:
        wrong.append(
            "these are the columns neither of Canvas (Student, ID, ..., Section) nor of Moodle "
            f"(one of {', '.join(MOODLE)})"
        )
        kept, below = [], []
    listed = [row for row in found if row["submission"]]
    key = [name for name in kept if name in ("ID", *MOODLE)]
    for row in listed:
        if key and not any((row[name] or "").strip() for name in key):
            wrong.append(f"the row of {row['submission']} has no {' or '.join(key)}")
    stop_if(wrong, roster)
    mine = next(
        (name for name in columns if re.match(rf"{re.escape(title)}( \(\d+\))?$", name)), title
    )
    lines = [line + [""] * (len(kept) - 1) + [f"{most:g}"] for line in below]
    for row in listed:
        points = sums.get(row["submission"])
        if points is not None:
            lines.append([*(row[name] for name in kept), f"{points:g}"])
    return [*kept, mine], lines, sorted(set(sums) - {row["submission"] for row in listed})
