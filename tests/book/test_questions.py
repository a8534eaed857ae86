"""Questions while reading: each has a folded answer, and each hole a cell to fill and a folded solution."""

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


@pytest.mark.parametrize("page", PAGES)
def test_a_question_is_followed_by_its_folded_answer(page):
    found = blocks(page)
    for (_, title, _), (kind, answer, body) in zip(found, found[1:], strict=False):
        if title == "Stop and answer":
            assert (kind, answer) in {("admonition", "Answer"), ("admonition", "Answers")}
            assert body.startswith(":class: dropdown\n")


@pytest.mark.parametrize("page", PAGES)
def test_a_hole_has_a_stub_what_it_should_give_and_a_folded_solution(page):
    found = blocks(page)
    for place, (_, title, body) in enumerate(found):
        if title == "Stop and write three lines":
            (stub, _, lines), (solution, _, code) = found[place + 1 : place + 3]
            assert stub == solution == "code-cell"
            assert lines.rstrip().endswith("# your three lines")
            assert "hide-cell" in code and "{glue:text}" in body


@pytest.mark.parametrize("page", ASKING)
def test_a_chapter_asks_while_one_reads(page):
    titles = [title for _, title, _ in blocks(page)]
    assert titles.count("Stop and answer") in {2, 3}
    assert titles.count("Stop and write three lines") == 1
