"""Every numbered statement of the book has a test that checks it, and every check a statement."""

from collections import Counter
from pathlib import Path

import pytest
from equations import PREFIXES, checks, labels

ROOT = Path(__file__).parents[2]


def faults(book_dir, tests_dir):
    """Return a sentence for each place where statements and tests do not meet."""
    stated, checked = labels(book_dir), checks(tests_dir)
    names, tested = Counter(label.name for label in stated), {check.label for check in checked}
    found = []
    for label in stated:
        where = f"{label.chapter}.md:{label.line}: {label.kind}"
        if not label.name.startswith(PREFIXES[label.kind]):
            found.append(f"{where}: label {label.name!r} must start with {PREFIXES[label.kind]}")
        elif label.name not in tested:
            found.append(f"{where}: no test checks {label.name}")
        if label.name and names[label.name] > 1:
            found.append(f"{where}: label {label.name} is not unique")
    for check in checked:
        if check.label not in names:
            found.append(f"{check.test}: checks {check.label!r}, which is no label of the book")
        if not check.summary:
            found.append(f"{check.test}: needs a docstring that says what it checks")
        if not check.test.split("::")[1].startswith("test"):
            found.append(f"{check.test}: is not a test that pytest runs")
    return found


def test_every_statement_is_checked_and_every_check_states_what():
    assert labels(ROOT / "book") and checks(ROOT / "tests")
    found = faults(ROOT / "book", ROOT / "tests")
    assert not found, "\n".join(found)


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
    first, second, third = checks(tmp_path / "tests")
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
