"""Every numbered statement of the book has a test that checks it, and every check a statement."""

from collections import Counter
from pathlib import Path

import pytest
from ledger import (
    PREFIXES,
    checks,
    checksums,
    compared,
    exercises,
    labels,
    review,
    reviewed,
    unsupported,
)

ROOT = Path(__file__).parents[2]
REVIEWED = ROOT / "tests" / "book" / "reviewed.txt"


def faults(book_dir, tests_dir):
    """Return a sentence for each place where statements and tests do not meet."""
    stated, checked = labels(book_dir), checks(book_dir, tests_dir)
    numbered = Counter(label.name for label in stated if label.kind != "claim")
    names, tested = {label.name for label in stated}, {check.label for check in checked}
    found = []
    for label in stated:
        where = f"{label.chapter}.md:{label.line}: {label.kind}"
        if not label.name.startswith(PREFIXES[label.kind]):
            found.append(f"{where}: label {label.name!r} must start with {PREFIXES[label.kind]}")
        elif label.name not in tested:
            found.append(f"{where}: no test checks {label.name}")
        if label.name and numbered[label.name] > 1:
            found.append(f"{where}: label {label.name} is not unique")
    for page, line, text in unsupported(book_dir):
        found.append(f"{page}.md:{line}: a point of the summary names no label: {text[:60]}")
    for check in checked:
        if check.label not in names:
            found.append(f"{check.test}: checks {check.label!r}, which is no label of the book")
        if not check.summary and "::" in check.test:
            found.append(f"{check.test}: needs a docstring that says what it checks")
        elif not check.summary:
            found.append(f"{check.test}: a cell that checks {check.label} asserts nothing")
        if "::" in check.test and not check.test.split("::")[1].startswith("test"):
            found.append(f"{check.test}: is not a test that pytest runs")
    return found


def test_every_statement_is_checked_and_every_check_states_what():
    assert labels(ROOT / "book") and checks(ROOT / "book", ROOT / "tests")
    found = faults(ROOT / "book", ROOT / "tests")
    assert not found, "\n".join(found)


def test_no_statement_was_edited_since_it_was_compared_with_its_test():
    """Nor the purpose of an exercise on the page for teachers, the exercise, or its solution."""
    assert exercises(ROOT / "book")
    now, then = checksums(compared(ROOT / "book")), reviewed(REVIEWED)
    changed = sorted(name for name in now if now[name] != then.get(name))
    assert not changed, (
        "compare statements (eq-, thm-, clm-) with their tests and purposes (ex-) with their exercises "
        "and solutions, mend them, and then run: "
        f'make reviewed LABELS="{" ".join(changed)}"'
    )
    assert not set(then) - set(now), (
        "labels that are gone: make reviewed with any label clears them"
    )


CHAPTER = """\
---
kernelspec:
  name: python3
---
# A chapter

$$
r = W r + x
$$ (eq-one)

::::{prf:theorem} A claim
:label: thm-two

It is so:

```{math}
:label: eq-three
A = B^{-1}
```
::::

Unnumbered: $$x = 1$$ and

$$ y = 2 $$

```{code-cell} ipython3
"$$ quoted $$ (eq-quoted)"
```
"""
TESTS = '''
import pytest

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.checks("eq-one", "thm-two")
def test_both(n):
    """The fixed point solves its
    own equation.

    More.
    """

@pytest.mark.checks("eq-three")
def test_three():
    """The inverse is one."""
'''


@pytest.fixture
def book(tmp_path):
    """A book of one chapter in which all is well; returns a function that edits it and looks."""
    (tmp_path / "book").mkdir()
    (tmp_path / "tests").mkdir()

    def look(old="", new="", chapter=CHAPTER, tests=TESTS):
        assert old in chapter + tests
        (tmp_path / "book" / "one.md").write_text(chapter.replace(old, new) if old else chapter)
        (tmp_path / "tests" / "test_one.py").write_text(tests.replace(old, new) if old else tests)
        return faults(tmp_path / "book", tmp_path / "tests")

    return look


def test_statements_and_tests_are_found(book, tmp_path):
    assert book() == []
    assert [label.name for label in labels(tmp_path / "book")] == ["eq-one", "thm-two", "eq-three"]
    assert [label.line for label in labels(tmp_path / "book")] == [7, 11, 16]
    first, second, third = checks(tmp_path / "book", tmp_path / "tests")
    assert (first.label, first.test) == ("eq-one", "test_one.py::test_both")
    assert first.summary == second.summary == "The fixed point solves its own equation."
    assert third.label == "eq-three"


def test_chapters_come_in_the_order_of_the_table_of_contents(book, tmp_path):
    book()
    (tmp_path / "book" / "a.md").write_text("$$ a $$ (eq-a)")
    (tmp_path / "book" / "z.md").write_text("$$ z $$ (eq-z)")
    (tmp_path / "_toc.yml").write_text("root: book/z\nchapters:\n- file: book/one\n")
    names = [label.name for label in labels(tmp_path / "book")]
    assert names == ["eq-z", "eq-one", "thm-two", "eq-three", "eq-a"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"eq-one", ', "", "one.md:7: math: no test checks eq-one"),
        ('"eq-three"', '"eq-four"', "test_one.py::test_three: checks 'eq-four', which is no label"),
        (
            'checks("eq-three")',
            "checks(EQ)",
            "test_one.py::test_three: checks '', which is no label",
        ),
        ('("eq-three")', "", "test_one.py::test_three: checks '', which is no label"),
        ("(eq-one)", "(one)", "label 'one' must start with eq-"),
        (":label: thm-two\n", "", "one.md:11: prf:theorem: label '' must start with thm-"),
        (":label: thm-two", ":label: two", "label 'two' must start with thm-"),
        ("$$ y = 2 $$", "$$ y $$ (eq-one)", "one.md:24: math: label eq-one is not unique"),
        (
            "$$ y = 2 $$",
            "\\begin{align}\ny\n\\end{align}",
            "one.md:24: math: label '' must start with eq-",
        ),
        ('    """The inverse is one."""', "    pass", "test_one.py::test_three: needs a docstring"),
        ("def test_three", "def three", "test_one.py::three: is not a test"),
    ],
)
def test_each_fault_is_reported(book, old, new, fault):
    assert any(fault in found for found in book(old, new)), book(old, new)


SUMMARY = """\
## What we now know

- The inverse is one ({eq}`eq-three`), and it is so ({prf:ref}`thm-two`).
- No network of the sample diverges. {claim}`clm-settles`

## What is still wrong

- This needs no label.
"""
ASSERTING = """\
```{code-cell} ipython3
:tags: [hide-input, checks-clm-settles]

assert True
```
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", None),
        (" ({eq}`eq-three`), and it is so ({prf:ref}`thm-two`)", "", "names no label: The inverse"),
        (" {claim}`clm-settles`", "", "one.md:37: a point of the summary names no label: No netw"),
        ("{claim}`clm-settles`", "{claim}`thm-two`", "checks 'clm-settles', which is no label"),
        (
            "{claim}`clm-settles`",
            "{claim}`clm-other`",
            "one.md:37: claim: no test checks clm-other",
        ),
        ("clm-settles`", "clm-settles, settles`", "claim: label 'settles' must start with clm-"),
        (", checks-clm-settles", "", "one.md:37: claim: no test checks clm-settles"),
        ("assert True", "True", "one.md: a cell that checks clm-settles asserts nothing"),
        ("- No network", "\n| a |\n| --- |\n| b |\n\n- No network", "names no label: b"),
        ("- No network", "\nProse.\n\n- No network", "names no label: Prose."),
    ],
)
def test_each_point_of_a_summary_leans_on_a_label(book, old, new, fault):
    chapter = CHAPTER + ASSERTING + SUMMARY
    assert old in chapter
    found = book(chapter=chapter.replace(old, new, 1) if old else chapter)
    assert any(fault in line for line in found) if fault else found == []


def test_a_claim_of_the_readme_stands_in_a_comment(book, tmp_path):
    (tmp_path / "README.md").write_text("It learns. <!-- {claim}`clm-learns` -->\n")
    (found,) = book()
    assert found == "README.md:1: claim: no test checks clm-learns"


@pytest.mark.parametrize(
    ("old", "new", "label"),
    [
        ("r = W r + x", "r = W r - x", "eq-one"),
        ("A = B^{-1}", "A = B", "eq-three"),
        ("It is so", "It is not so", "thm-two"),
        ("No network", "Hardly a network", "clm-settles"),
        ("r = W r + x", "r &= W\\,r + x\\; .", None),
        ("It is so", "It\nis  so", None),
        ("# A chapter", "# Another chapter", None),
    ],
)
def test_a_statement_that_is_edited_is_to_be_compared_again(book, tmp_path, old, new, label):
    chapter, file = CHAPTER + ASSERTING + SUMMARY, tmp_path / "reviewed.txt"
    book(chapter=chapter)
    names = {label.name for label in labels(tmp_path / "book")}
    review(file, tmp_path / "book", names)
    before = reviewed(file)
    assert before == checksums(labels(tmp_path / "book"))
    book(chapter=chapter.replace(old, new))
    now = checksums(labels(tmp_path / "book"))
    changed = {name for name in now if now[name] != before[name]}
    # An equation in a theorem is a part of what the theorem says.
    assert changed == ({label, "thm-two"} if label == "eq-three" else {label} - {None})
    review(file, tmp_path / "book", names=())
    assert {name for name in now if now[name] != reviewed(file)[name]} == changed
    review(file, tmp_path / "book", changed)
    assert reviewed(file) == now
    with pytest.raises(SystemExit, match="no such label: eq-none"):
        review(file, tmp_path / "book", ["eq-none"])


EXERCISE = """\
```{exercise} A short one
:label: ex-one

Is it so?
```

````{solution} ex-one
:class: dropdown

It is.
````

```{exercise}
:label: ex-two

Find it.
```

```{solution-start} ex-two
:class: dropdown
```

By hand.

```{code-cell} ipython3
assert True
```

```{solution-end}
```
"""
TEACHING = """\
| Exercise | Minutes | Use it to |
| --- | --- | --- |
| {ref}`ex-one` | 10 | believe it |
| {ref}`ex-two` | 5 | find it |
"""


@pytest.mark.parametrize(
    ("old", "new", "label"),
    [
        ("Is it so?", "Is it not so?", "ex-one"),
        ("It is.", "It is not.", "ex-one"),
        ("believe it", "doubt it", "ex-one"),
        ("Find it.", "Find both.", "ex-two"),
        ("By hand.", "In code.", "ex-two"),
        ("assert True", "assert not False", "ex-two"),
        ("| 5 |", "| 15 |", None),
        ("By hand.\n", "By   hand.\n", None),
    ],
)
def test_a_purpose_is_compared_again_with_an_edited_exercise(book, tmp_path, old, new, label):
    def write(chapter, teaching):
        book(chapter=chapter)
        (tmp_path / "book" / "teaching.md").write_text(teaching)
        return checksums(exercises(tmp_path / "book"))

    before = write(CHAPTER + EXERCISE, TEACHING)
    assert list(before) == ["ex-one", "ex-two"]
    now = write((CHAPTER + EXERCISE).replace(old, new), TEACHING.replace(old, new))
    assert {name for name in now if now[name] != before[name]} == {label} - {None}
    file = tmp_path / "reviewed.txt"
    review(file, tmp_path / "book", now)
    assert reviewed(file) == now | dict.fromkeys(set(reviewed(file)) - set(now), "-")
