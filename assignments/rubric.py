"""The questions of a master: what is asked, what is right, what each point is for.

A rubric is prose: ``(a) 3: modulus against real part (2); why a step overshoots (1). (b) 2: ...``. Each part
names its points, and each criterion ends with its own.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple


class Criterion(NamedTuple):
    """What some points are for; ``part`` is "" where a question has no parts."""

    part: str
    points: int
    text: str


@dataclass(frozen=True)
class Question:
    """One question of a master."""

    name: str
    heading: str
    points: int
    words: bool  # whether a person reads the answer
    asked: str  # Markdown
    answer: str  # Markdown; code in blocks
    criteria: tuple  # of Criterion
    samples: tuple  # of (marks, Markdown), for some questions in words


def questions(master):
    """Return the questions in the text of a master, in order."""
    return [question(part) for part in master.split("# BEGIN QUESTION\n")[1:]]


def question(text):
    """Return the question that a piece of a master holds; stop if its points do not add up."""
    name, words = one(r"name: (\S+)", text), "\nmanual: true\n" in text
    points, heading = int(one(r"points: (\d+)", text)), one(r"^## (.*)", text)
    asked, solution = re.split(r"```otter\n# BEGIN SOLUTION\n```", text, maxsplit=1)
    asked = asked.partition(f"## {heading}")[2].strip()
    solution = solution.partition("```otter\n# END SOLUTION")[0].strip()
    if not words:
        cells = re.findall(r"^```\{code-cell\}\n(.*?)^```$", solution, re.M | re.S)
        code = re.sub(r"^ *# (BEGIN|END) SOLUTION\n", "", "\n\n".join(cells), flags=re.M)
        criteria = tuple(tests(text))
        check(name, points, criteria)
        return Question(
            name, heading, points, words, asked, f"```python\n{code.rstrip()}\n```", criteria, ()
        )
    answer, _, rest = solution.removeprefix("**Answer.**").partition("**Rubric.**")
    rubric, *samples = re.split(r"^\*\*Marked (\d+) of (\d+)\.\*\*", rest, flags=re.M)
    criteria = tuple(parsed(name, rubric))
    check(name, points, criteria)
    found = tuple(
        (sample_marks(name, points, mark, of, body), body.strip())
        for mark, of, body in zip(samples[::3], samples[1::3], samples[2::3], strict=True)
    )
    return Question(name, heading, points, words, asked, answer.strip(), criteria, found)


def one(pattern, text):
    """Return the first group of a pattern that a text must hold."""
    found = re.search(pattern, text, re.M)
    if not found:
        raise ValueError(f"a question has no {pattern!r}: {text[:80]!r}")
    return found[1]


def tests(text):
    """Yield what the tests with points of a question in code are, as criteria."""
    for points, settings, name in re.findall(
        r'# BEGIN TEST CONFIG\npoints: (\d+)\n((?:hidden: true\n)?)""" # END TEST CONFIG\ndef test_(\w+)',
        text,
    ):
        if int(points):
            kind = "hidden" if settings else "public"
            yield Criterion("", int(points), f"the {kind} test *{name.replace('_', ' ')}*")


def parsed(name, rubric):
    """Yield the criteria of a rubric in prose."""
    start, *parts = re.split(r"\(([a-z])\) (\d+)[:.]", " ".join(rubric.split()))
    if not parts:
        yield from items("", start)
    for part, points, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        found = list(items(part, body)) or [Criterion(part, int(points), body.strip(" .;"))]
        if sum(criterion.points for criterion in found) != int(points):
            raise ValueError(f"{name}: the criteria of ({part}) do not add up to {points}")
        yield from found


def items(part, body):
    """Return the criteria of one part; what follows the last one is a remark on it."""
    *found, rest = re.split(r"\((\d+)\)", body)
    criteria = [
        Criterion(part, int(points), text.strip(" .;,"))
        for text, points in zip(found[::2], found[1::2], strict=True)
    ]
    if criteria and rest.strip(" .;,"):
        criteria[-1] = criteria[-1]._replace(text=f"{criteria[-1].text}; {rest.strip(' .;,')}")
    return criteria


def check(name, points, criteria):
    """Stop unless the criteria add up to the points of their question."""
    total = sum(criterion.points for criterion in criteria)
    if total != points or not all(criterion.text for criterion in criteria):
        raise ValueError(f"{name} is worth {points} points, its criteria {total}, or one is empty")


def sample_marks(name, points, marks, of, body):
    """Return the marks of a sample answer; stop unless those named at its end, part by part, add up."""
    named = re.search(r"\*(.*?)\*\s*$", body.strip())
    given = sum(map(int, re.findall(r"(?<![\w.])(\d+) for", named[1]))) if named else -1
    if int(of) != points or given != int(marks):
        raise ValueError(f"{name}: a sample is marked {marks} of {of}, and its parts {given}")
    return int(marks)
