"""The glossary: every term leads to where the book builds it, and what the chapters name is in it."""

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
LINK = re.compile(r"\{(eq|prf:ref|numref|ref)\}`(?:[^`<]*<)?([\w-]+)>?`")


def entries():
    """Return {term: what is said of it}."""
    text = (BOOK / "glossary.md").read_text("utf-8")
    body = re.findall(r":sorted:\n\n(.*?)\n```", text, re.S)[0]
    return {entry.partition("\n")[0]: entry.partition("\n")[2] for entry in body.split("\n\n")}


@pytest.mark.parametrize("term", entries())
def test_a_term_leads_to_where_it_is_built(term):
    assert LINK.search(entries()[term])


@pytest.mark.parametrize(
    "term", ["fold", "Hopf bifurcation", "pole", "plateau", "non-normal", "kink", "primitive"]
)
def test_a_term_that_chapters_use_is_explained_and_linked_from_one(term):
    assert term in entries()
    pages = [page.read_text("utf-8") for page in BOOK.glob("*.md") if page.stem != "glossary"]
    assert any(re.search(rf"\{{term\}}`(?:[^`<]*<)?{term}>?`", text) for text in pages)


def test_every_label_that_the_glossary_names_is_on_a_page():
    pages = [page.read_text("utf-8") for page in BOOK.glob("*.md") if page.stem != "glossary"]
    labels = set(re.findall(r"^(?::label: |\s+name: |\()([\w-]+)(?:\)=)?$", "\n".join(pages), re.M))
    named = {name for text in entries().values() for _, name in LINK.findall(text)}
    assert named <= labels
