"""The notebooks that a reader downloads from the built pages."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from notebooks import chapters

ROOT = Path(__file__).parents[1]
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
    assert "pip install" in notebook.cells[0].source
    assert "pip install" not in "".join(cell.source for cell in notebook.cells[1:2])


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
