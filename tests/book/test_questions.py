"""Questions while reading: each has a folded answer, and each hole a cell to fill and a folded solution."""

import ast
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
PAGES = sorted(page.stem for page in BOOK.glob("*.md") if "Stop and" in page.read_text("utf-8"))
FENCE = re.compile(r"^(`{3,}|:{3,})\{([\w-]+)\}([^\n]*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
ASKING = ["rate-networks", "solving", "stability", "implicit-gradient", "singularities"]


def blocks(page):
    """Return (kind, title, body) of each directive of a page that is not inside another."""
    text = (BOOK / f"{page}.md").read_text("utf-8")
    return [(kind, title.strip(), body) for _, kind, title, body in FENCE.findall(text)]


def code_of(cell):
    """Return a cell's code without its options."""
    return re.sub(r"\A(---\n.*?^---\n|(:.*\n)+)", "", cell, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_a_question_is_followed_by_its_folded_answer(page):
    found = blocks(page)
    for (_, title, _), (kind, answer, body) in zip(found, found[1:], strict=False):
        if title == "Stop and answer":
            assert (kind, answer) in {("admonition", "Answer"), ("admonition", "Answers")}
            assert body.startswith(":class: dropdown\n")


def holes(page):
    """Return, for each hole of a page, what it asks, and the cells that follow: (kind, body) of two."""
    found = blocks(page)
    return [
        (body, *((kind, cell) for kind, _, cell in found[place + 1 : place + 3]))
        for place, (_, title, body) in enumerate(found)
        if title == "Stop and write three lines"
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_hole_has_a_stub_what_it_should_give_and_a_folded_solution(page):
    for asked, (stub, lines), (solution, code) in holes(page):
        assert stub == solution == "code-cell"
        assert lines.rstrip().endswith("# your three lines")
        assert "hide-cell" in code and "{glue:text}" in asked


class Uses(ast.NodeVisitor):
    """The names of some code, in the order in which Python uses them: a value comes before its target."""

    def __init__(self):
        self.first, self.stored = {}, set()

    def visit_Name(self, node):
        """Note what happens to a name first, and whether it is ever given a value."""
        self.first.setdefault(node.id, type(node.ctx))
        if isinstance(node.ctx, ast.Store):
            self.stored.add(node.id)

    def visit_Assign(self, node):
        """Look at the value first."""
        for part in (node.value, *node.targets):
            self.visit(part)

    def visit_AugAssign(self, node):
        """Such a target is read, too."""
        if isinstance(node.target, ast.Name):
            self.first.setdefault(node.target.id, ast.Load)
        self.visit_Assign(ast.Assign([node.target], node.value))

    def visit_For(self, node):
        """Look at what is gone through first."""
        for part in (node.iter, node.target, *node.body):
            self.visit(part)


@pytest.mark.parametrize("page", PAGES)
def test_an_answer_begins_where_the_stub_did(page):
    """Whatever the reader's own lines have made of a name, the folded ones give what the page says."""
    for _, (_, stub), (_, solution) in holes(page):
        given, answer = Uses(), Uses()
        given.visit(ast.parse(code_of(stub)))
        answer.visit(ast.parse(code_of(solution)))
        changed = given.stored & answer.stored
        assert not [name for name in changed if answer.first[name] is ast.Load]


@pytest.mark.parametrize("page", ASKING)
def test_a_chapter_asks_while_one_reads(page):
    titles = [title for _, title, _ in blocks(page)]
    assert titles.count("Stop and answer") in {2, 3}
    assert titles.count("Stop and write three lines") == 1
