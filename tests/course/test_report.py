"""What a teacher gets after grading: a table for each question, the gradebook, and all answers in words."""

import json
import re
import subprocess

import nbformat
import pytest

from tests.course import direct
from tests.course.notebooks import ROOT, code_cell, words_cells

answers, tables = direct.module("answers"), direct.module("tables")


# ---- What questions showed ----
def test_mean_and_spread_leave_out_what_was_not_graded():
    """Mean, standard deviation, least and most are those of the submissions that have points."""
    scores = [{"a": 0.0, "b": 3.0}, {"a": 8.0}, {"a": 4.0}, {}]
    rows = tables.questions({"a": 8.0, "b": 6.0, "c": 5.0}, scores)
    assert rows == [
        ["a", "8", 3, "4.00", "4.00", "0", "8", "50%"],
        ["b", "6", 1, "3.00", "", "3", "3", "50%"],
        ["c", "5", 0, "", "", "", "", ""],
    ]
    assert len(tables.QUESTIONS) == 8


def test_messages_are_counted_by_submission():
    """A message counts once for a submission; one that differs in a measured number is the same."""
    said = [
        {"f": ["f: wrong, by 0.25 of its largest entry", "f: wrong, by 0.5 of its largest entry"]},
        {"f": ["f: wrong, by 0.25 of its largest entry", "f: the sign is wrong"], "g": []},
        {"f": [], "g": ["g returns nothing yet"]},
    ]
    assert tables.messages(said) == [
        ("f", 2, "f: wrong, by 0.25 of its largest entry"),
        ("f", 1, "f: the sign is wrong"),
        ("g", 1, "g returns nothing yet"),
    ]


# ---- The gradebook ----
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,1-fixed-points (4711),2-gradient (4712),Final Score,submission
    Points Possible,,,,,100,100,(read only),
"Lovelace, Ada",11,s1,ada,A,,90,90,ada.ipynb
"Babbage, Bob",12,s2,bob,A,5,80,80,bob.ipynb
"Nobody, Nil",13,s3,nil,B,,,,
"""
MOODLE = """\
First name,Last name,ID number,Email address,submission
Ada,Lovelace,,ada@example.org,ada.ipynb
Bob,Babbage,7,bob@example.org,bob.ipynb
Nil,Nobody,8,nil@example.org,
"""
SUMS = {"ada.ipynb": 97.5, "bob.ipynb": None, "cleo.ipynb": 50.0}


def gradebook(folder, text, title="1-fixed-points", sums=SUMS):
    """Return the gradebook for a roster with this text."""
    roster = folder / "roster.csv"
    roster.write_text(text, encoding="utf-8")
    return tables.gradebook(roster, title, 100.0, sums)


def test_canvas_gets_its_columns_and_the_points_possible(tmp_path):
    """The columns that Canvas looks for come first, then the set under Canvas's own name for it."""
    header, rows, left = gradebook(tmp_path, CANVAS)
    known = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert header == [*known, "1-fixed-points (4711)"]
    assert rows == [
        ["Points Possible", "", "", "", "", "100"],
        ["Lovelace, Ada", "11", "s1", "ada", "A", "97.5"],
    ]
    assert left == ["cleo.ipynb"]
    header, *_ = gradebook(tmp_path, CANVAS, title="3-rules")
    assert header == [*known, "3-rules"]


def test_moodle_gets_who_it_is_and_the_points(tmp_path):
    """Moodle maps a column that identifies a person and one with points; there is no row of maxima."""
    header, rows, left = gradebook(tmp_path, MOODLE)
    assert header == ["First name", "Last name", "ID number", "Email address", "1-fixed-points"]
    assert rows == [["Ada", "Lovelace", "", "ada@example.org", "97.5"]]
    assert left == ["cleo.ipynb"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",submission\n", ",handed in\n", "there is no column named submission"),
        ("ada.ipynb", "Ada.ipynb", "there is no submission 'Ada.ipynb'; is it 'ada.ipynb'?"),
        ("bob.ipynb", "ada.ipynb", "ada.ipynb stands there twice"),
        ("ID number,Email address", "Place,Phone", "neither of Canvas .* nor of Moodle"),
        ("ada@example.org", " ", "the row of ada.ipynb has no ID number or Email address"),
    ],
)
def test_a_wrong_roster_is_refused(old, new, says, tmp_path):
    """Nobody's points can go to another: what is unknown, twice there, or no person stops everything."""
    with pytest.raises(SystemExit, match=says):
        gradebook(tmp_path, MOODLE.replace(old, new))


# ---- Answers in words ----
PNG = "iVBORw0KGgo="
ABOUT: dict = {"name": "s", "words": {"q": 4.0}, "headings": {"1. In words": "q"}}
KEYS = {"q": {"rubric": [["a", 4, "$x^2$ & more"]], "answer": "Because."}}


def submitted():
    """Return a notebook with one question in words, and figures inside and outside of its answer."""
    drawn = nbformat.v4.new_output("display_data", {"image/png": PNG + "\n", "text/plain": "<F>"})
    before, inside = code_cell("plt.plot()"), code_cell("print('```')\ntable")
    before["outputs"] = [drawn]
    inside["outputs"] = [
        nbformat.v4.new_output("stream", text="```\n"),
        nbformat.v4.new_output("execute_result", {"text/plain": "a table"}),
        drawn,
    ]
    begin, text, end = words_cells(
        "<!-- BEGIN QUESTION -->\n\n## 1. In words",
        "See ![](attachment:mine.png): $\\frac12$, $\\frac{$ and <script>alert(1)</script>",
        "<!-- END QUESTION -->",
    )
    text["attachments"] = {"mine.png": {"image/png": PNG}}
    cells = [before, begin, text, inside, end, code_cell("1 + 1")]
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    return nbformat.reads(json.dumps(content), 4)


def test_an_answer_is_whole():
    """Attached pictures, printed and returned text, and figures are part of an answer; others are kept."""
    notebook = submitted()
    found, missing = answers.words(notebook, ABOUT)
    assert not missing
    assert found["q"].count(f"data:image/png;base64,{PNG}") == 2
    assert "attachment:" not in found["q"] and "<F>" not in found["q"]
    for part in ("````python\nprint('```')\ntable\n````", "````\n```\n````", "```\na table\n```"):
        assert part in found["q"]
    assert answers.figures(notebook, ABOUT) == [f"![](data:image/png;base64,{PNG})"]


def test_the_document_has_everything_and_runs_nothing():
    """Formulas are formulas; what is not valid, and HTML, is shown as it was typed."""
    notebook = submitted()
    result = {
        "words": answers.words(notebook, ABOUT)[0],
        "figures": answers.figures(notebook, ABOUT),
    }
    result["words"]["q"] += r"$\text{<img src=x onerror=alert(2)>} \href{javascript:alert(3)}{y}$"
    graded = {"ada & co": result, "bob": {"words": {}, "figures": []}}
    page = subprocess.run(
        [
            ROOT / ".venv-otter/bin/python",
            "-c",
            "import json, sys, written; print(written.document(*json.load(sys.stdin)))",
        ],
        input=json.dumps([ABOUT, KEYS, graded]),
        cwd=ROOT / "assignments",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert page.count("<img") == page.count(f'<img src="data:image/png;base64,{PNG}"') == 3
    assert "<script" not in page and "javascript:" not in page
    assert "&lt;script&gt;alert(1)" in page and r'<code class="wrong">\frac{</code>' in page
    assert page.count("<mfrac>") == 1
    assert page.count("ada &amp; co") == 2 and page.count("(no answer)") == 1
    assert "default-src 'none'" in page
    rubric = re.findall(r"<tr><td>a</td><td>4</td><td>.*?</td></tr>", page)
    assert len(rubric) == 1 and "<msup>" in rubric[0] and "&amp; more" in rubric[0]
