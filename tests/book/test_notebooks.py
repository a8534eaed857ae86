"""The notebook tests can fail: each way a chapter and its stored outputs can part is noticed."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from tests.book import notebooks

CHAPTER = """\
---
kernelspec:
  display_name: Python 3
  name: python3
---

# A tiny chapter

```{code-cell} ipython3
a = 2
```

```{code-cell} ipython3
---
tags: [nbval-check-output]
---
print(f"the answer is {21 * a}")
```
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A book of one chapter, its outputs stored."""
    root = tmp_path_factory.mktemp("book")
    (root / "book").mkdir()
    (root / "book" / "tiny.md").write_text(CHAPTER)
    (root / "book" / "prose.md").write_text("# A page without code\n")
    notebooks.update(root)
    return root


@pytest.fixture
def root(executed, tmp_path):
    """A copy of that book, for a test to spoil."""
    return shutil.copytree(executed, tmp_path / "copy")


def edit(path, old, new):
    """Replace text that must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def run(root):
    """Run nbval as `make test` does; return its exit code, what it counted, and its report."""
    command = "-m pytest -p no:cacheprovider --color=no --nbval-lax --nbval-current-env -c".split()
    (root / "pytest.ini").write_text("[pytest]\n")  # so that no other settings apply
    result = subprocess.run(
        [sys.executable, *command, root / "pytest.ini", root / "_build" / "nbval"],
        capture_output=True,
        text=True,
    )
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed)", result.stdout)}
    return result.returncode, counts, result.stdout


def test_a_chapter_passes_with_its_own_outputs(root):
    assert notebooks.prepare(root) == []
    code, counts, report = run(root)
    assert (code, counts) == (0, {"passed": 2}), report


def test_stored_outputs_hold_marked_cells_only_and_do_not_vary(root):
    path = root / "tests" / "book" / "outputs" / "tiny.ipynb"
    before = path.read_text()
    (cell,) = nbformat.read(path, as_version=4).cells
    assert cell.outputs[0].text == "the answer is 42\n"
    edit(root / "book" / "tiny.md", "a = 2\n", "a = 2\n```\n\n```{code-cell} ipython3\n1 + 1\n")
    notebooks.update(root)
    assert path.read_text() == before


def test_a_changed_number_fails(root):
    edit(root / "book" / "tiny.md", "a = 2", "a = 3")
    assert notebooks.prepare(root) == []  # the marked cell is the same; only running it can tell
    code, counts, report = run(root)
    assert (code, counts) == (1, {"passed": 1, "failed": 1})
    assert "the answer is 42" in report and "the answer is 63" in report


def test_an_exception_in_an_unmarked_cell_fails(root):
    edit(root / "book" / "tiny.md", "a = 2", "a = 2\nraise RuntimeError('unstable')")
    assert notebooks.prepare(root) == []
    code, counts, report = run(root)
    assert code == 1 and counts["failed"] == 1
    assert "Cell execution caused an exception" in report and "unstable" in report


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("print(f", "print('so', f", "marked cell 1 is new, or edited since"),
        ("21 * a", "2, 1 * a", "marked cell 1 is new, or edited since"),
        (
            "a = 2",
            ":tags: [nbval-check-output]\n\na = 2\na",
            "marked cell 0 is new, or edited since",
        ),
        ("[nbval-check-output]", "[]", "a stored output belongs to no marked cell"),
        ("a = 2", ":tags: [nbval-skip]\n\na = 2", "cell 0 asks to be skipped"),
    ],
)
def test_an_edit_without_refreshed_outputs_is_refused(root, old, new, complaint):
    edit(root / "book" / "tiny.md", old, new)
    (fault,) = notebooks.prepare(root)
    assert fault.startswith("tiny.md: ") and complaint in fault


def test_a_notebook_that_was_never_executed_is_refused(root):
    path = root / "tests" / "book" / "outputs" / "tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].execution_count, notebook.cells[0].outputs = None, []
    nbformat.write(notebook, path)
    (fault,) = notebooks.prepare(root)
    assert "marked cell 1 was stored unexecuted" in fault


def test_a_chapter_and_its_outputs_must_come_together(root):
    outputs = root / "tests" / "book" / "outputs"
    (outputs / "tiny.ipynb").rename(outputs / "gone.ipynb")
    assert notebooks.prepare(root) == [
        "gone.ipynb: stored outputs without a chapter",
        "tiny.md: it has no stored outputs",
    ]
    notebooks.update(root)
    assert [path.name for path in outputs.iterdir()] == ["tiny.ipynb"]
    assert notebooks.prepare(root) == []


@pytest.mark.parametrize("code", ["answer = 42", "plt.plot([1, 2]);"])
def test_a_marked_cell_must_print_something_to_compare(root, code):
    edit(root / "book" / "tiny.md", "a = 2", "import matplotlib.pyplot as plt; a = 2")
    edit(root / "book" / "tiny.md", 'print(f"the answer is {21 * a}")', code)
    with pytest.raises(SystemExit, match="prints nothing to compare"):
        notebooks.update(root)


def test_a_name_that_is_no_chapter_is_refused(root):
    with pytest.raises(SystemExit, match="no such chapter: tinny; there are tiny"):
        notebooks.update(root, ["tinny"])
