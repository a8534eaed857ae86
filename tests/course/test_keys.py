"""Keys and rubrics for those who grade: every point is for something, and every formula is one."""

import csv
import re
from html import unescape

import pytest

from tests.course import direct
from tests.course.notebooks import ROOT, points_of

rubric = direct.module("rubric")
SETS = sorted(path.stem for path in (ROOT / "assignments").glob("[0-9]-*.md"))
WEIGHTY = 8  # points from which on an answer in words has samples


@pytest.mark.parametrize("name", SETS)
def test_every_point_has_a_criterion(name):
    """The table of a key gives each question its points, criterion by criterion, 100 in all."""
    with open(ROOT / "dist" / "keys" / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    code, words = points_of(name)
    got: dict = {}
    for row in rows:
        assert row["criterion"] and int(row["points"]) > 0
        assert row["answered in"] == ("words" if row["question"] in words else "code")
        got[row["question"]] = got.get(row["question"], 0) + int(row["points"])
    assert got == code | words and sum(got.values()) == 100


@pytest.mark.parametrize("name", SETS)
def test_every_formula_of_a_key_is_one(name):
    """No formula is shown as it was typed, none has a command left, and no question is missing."""
    page = (ROOT / "dist" / "keys" / f"{name}.html").read_text(encoding="utf-8")
    formulas = re.findall(r"<math.*?</math>", page, re.S)
    assert len(formulas) > 30 and 'class="wrong"' not in page
    left = [f for f in formulas if "\\" in unescape(re.sub(r"<[^>]*>", "", f))]
    assert not left
    code, words = points_of(name)
    for question in code | words:
        assert page.count(f"<small>{question}, ") == 1


@pytest.mark.parametrize("name", SETS)
def test_weighty_questions_have_samples(name):
    """Each is answered in full, by half and not at all."""
    for question in rubric.questions(direct.text(name)):
        marks = [mark for mark, _ in question.samples]
        if not question.words or question.points < WEIGHTY:
            assert not marks
            continue
        full = [] if len(marks) == 2 else [question.points]
        assert marks == [*full, question.points // 2, 0]
        # Where no answer is right for all, the first sample stands for it.
        assert bool(full) == question.answer.startswith("No sample answer")
    assert sum(q.points >= WEIGHTY for q in rubric.questions(direct.text(name)) if q.words) in (
        0,
        1,
        4,
    )


QUESTION = """
name: q
manual: true
points: 4
```

## 1. In words

Why?

```otter
# BEGIN SOLUTION
```

**Answer.** Because.

**Rubric.** (a) 3: one thing (1); another (2), or nearly. (b) 1: both.

**Marked 2 of 4.** Perhaps.

*2 for (a), 0 for (b).*

```otter
# END SOLUTION
"""


def test_a_rubric_in_prose_is_read():
    """Parts, points and criteria; a remark belongs to what it follows."""
    question = rubric.question(QUESTION)
    assert [tuple(criterion) for criterion in question.criteria] == [
        ("a", 1, "one thing"),
        ("a", 2, "another; or nearly"),
        ("b", 1, "both"),
    ]
    assert (question.asked, question.answer) == ("Why?", "Because.")
    assert [mark for mark, _ in question.samples] == [2]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("another (2)", "another (1)", r"the criteria of \(a\) do not add up to 3"),
        ("(b) 1: both", "(b) 2: both", "q is worth 4 points, its criteria 5"),
        ("1: both", "1:", "or one is empty"),
        ("0 for (b)", "1 for (b)", "a sample is marked 2 of 4, and its parts 3"),
        ("2 of 4", "2 of 5", "a sample is marked 2 of 5"),
    ],
)
def test_a_rubric_that_does_not_add_up_is_refused(old, new, says):
    """Points that are given to nothing, or to too much, stop the making of a set."""
    with pytest.raises(ValueError, match=says):
        rubric.question(QUESTION.replace(old, new))
