"""The notebooks that a reader downloads from the built pages."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import jupytext
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.book.notebooks import chapters

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("chapter", chapters(ROOT), ids=lambda chapter: chapter.stem)
def test_a_page_offers_its_chapter_as_a_notebook(chapter):
    page = (HTML / "book" / f"{chapter.stem}.html").read_text("utf-8")
    buttons = BeautifulSoup(page, "html.parser").select("a.btn-download-notebook-button")
    assert {str(a["href"]) for a in buttons} == {f"../_sources/book/{chapter.stem}.ipynb"}
    notebook = nbformat.read(HTML / "_sources" / "book" / f"{chapter.stem}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert code(notebook) == code(jupytext.read(chapter))  # which are run, each cell, by nbval
    assert "fpnotes[chapters]" in notebook.cells[0].source
    assert "fpnotes[chapters]" not in notebook.cells[1].source  # said once


@pytest.mark.parametrize("chapter", chapters(ROOT), ids=lambda chapter: chapter.stem)
def test_code_that_the_page_does_not_show_is_folded(chapter):
    notebook = nbformat.read(HTML / "_sources" / "book" / f"{chapter.stem}.ipynb", as_version=4)
    for cell in notebook.cells:
        unseen = "remove-cell" in cell.metadata.get("tags", [])
        assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == unseen


@pytest.mark.parametrize("chapter", chapters(ROOT), ids=lambda chapter: chapter.stem)
def test_its_text_has_the_numbers_of_the_page(chapter):
    page = BeautifulSoup((HTML / "book" / f"{chapter.stem}.html").read_text("utf-8"), "html.parser")
    notebook = nbformat.read(HTML / "_sources" / "book" / f"{chapter.stem}.ipynb", as_version=4)
    texts = [cell.source for cell in notebook.cells[1:] if cell.cell_type == "markdown"]
    sources = [cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "markdown"]
    numbers = []
    for text, source in zip(texts, sources, strict=True):
        pattern = re.sub(r"\\\{(?:glue:text|length)\\\}`[^`]+`", "(.+?)", re.escape(source))
        pattern = re.sub(r"\\\{chapter\\\}`([^`]+)`", r"\\{doc\\}`(.+?) <\1>`", pattern)
        found = re.fullmatch(pattern, text)
        assert found, source
        numbers += found.groups()
    shown = page.select(".pasted-text, .length, a.chapter")
    assert numbers == [number.text for number in shown]


def closure(names):
    """Return these distributions, and all that installing them brings."""
    found, waiting = set(), set(names)
    while waiting:
        found.add(name := waiting.pop())
        needs = [Requirement(line) for line in requires(name) or []]
        here = [n.name for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]
        waiting |= {canonicalize_name(name) for name in here} - found
    return found


def test_the_note_installs_what_the_chapters_import():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = project["dependencies"] + extras["figures"] + extras["chapters"]
    names = {canonicalize_name(Requirement(line).name) for line in asked}
    there = closure(names - {"fpnotes"}) | {"fpnotes"}
    providers = packages_distributions()
    for chapter in chapters(ROOT):
        for node in ast.walk(ast.parse("\n".join(code(jupytext.read(chapter))))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {module.split(".")[0] for module in modules} - sys.stdlib_module_names:
                given = {canonicalize_name(name) for name in providers.get(top, [])}
                assert top == "fpnotes" or given & there, f"{chapter.name} imports {top}"


def test_a_downloaded_notebook_runs_in_an_empty_folder(tmp_path):
    notebook = nbformat.read(HTML / "_sources" / "book" / "notation.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", timeout=600, resources=resources).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells and all(cell.execution_count for cell in cells)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("button", ["source-edit", "source-issues", "source-repository"])
def test_a_page_leads_to_its_source(button):
    page = BeautifulSoup((HTML / "book" / "stability.html").read_text("utf-8"), "html.parser")
    link = page.select_one(f"a.btn-{button}-button")
    assert link is not None and "github.com/fpnotes/fpnotes" in str(link["href"])
    if button == "source-edit":
        assert str(link["href"]).endswith("/edit/main/book/stability.md")
