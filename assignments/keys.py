"""The key of a problem set for those who grade: what is asked, what is right, what each point is for.

``build.py`` writes it into ``dist/keys`` as a page, as a table, and for ``grade.py``; ``make keys`` prints
the page. It is no part of an autograder, where code that students hand in might read it.
"""

import csv
import json
from html import escape

import page

TITLE = "key and rubric"


def write(name, title, questions, folder):
    """Write the key of a set, from its questions, as HTML, CSV and JSON into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["question", "answered in", "part", "points", "criterion"])
        for question in questions:
            for part, points, criterion in question.criteria:
                kind = "words" if question.words else "code"
                table.writerow([question.name, kind, part, points, criterion])
    words = {
        question.name: {"rubric": question.criteria, "answer": question.answer}
        for question in questions
        if question.words
    }
    (folder / f"{name}.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    body = "\n".join(map(section, questions))
    (folder / f"{name}.html").write_text(page.document(f"{title}: {TITLE}", body), encoding="utf-8")


def section(question):
    """Return one question as HTML."""
    samples = "".join(
        f"<h3>A sample answer, marked {marks} of {question.points}</h3>{page.html(text)}"
        for marks, text in question.samples
    )
    return (
        f"<h2>{page.inline(question.heading)} <small>{escape(question.name)}, "
        f"{question.points} points</small></h2>\n{page.html(question.asked)}"
        f"<h3>Answer</h3>{page.html(question.answer)}"
        f"<h3>Rubric</h3>{page.rubric(question.criteria)}{samples}"
    )
