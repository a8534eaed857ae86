"""The edition to run: what the branch that Binder and Colab open holds."""

import hashlib
import re

import nbformat
import notebooks
import pytest
from bs4 import BeautifulSoup
from lite import chapters, pins
from nbconvert import HTMLExporter

FOLDER = notebooks.FOLDER
NAMES = [page.stem for page in chapters()]


def test_the_folder_stands_on_its_own():
    (wheel,) = FOLDER.glob("fpnotes-*.whl")
    files = {"README.md", "requirements.txt", "runtime.txt", "LICENSE", "LICENSE-text", "folded"}
    files |= {wheel.name, *(f"{name}.ipynb" for name in NAMES)}
    assert {path.name for path in FOLDER.iterdir()} == files
    for name in NAMES:
        offered = notebooks.HTML / "_sources" / "book" / f"{name}.ipynb"
        assert (FOLDER / f"{name}.ipynb").read_bytes() == offered.read_bytes()


def test_its_readme_lists_every_chapter_and_fills_every_gap():
    text = (FOLDER / "README.md").read_text("utf-8")
    assert re.findall(r"\]\(([\w-]+)\.ipynb\)", text) == NAMES
    assert re.findall(r"/blob/notebooks/([\w-]+)\.ipynb\)", text) == NAMES
    assert "{" not in text


def test_nbconvert_folds_what_the_page_folds():
    """Code whose cell the page folds, and outputs that it does not show; what it shows is open."""
    exporter = HTMLExporter(template_name="folded", extra_template_basedirs=[str(FOLDER)])
    shown, _ = exporter.from_filename(str(FOLDER / "solving.ipynb"))
    cells = nbformat.read(FOLDER / "solving.ipynb", as_version=4).cells
    cells = [cell for cell in cells if cell.cell_type == "code"]
    seen = BeautifulSoup(shown, "html.parser").select(".jp-CodeCell")
    assert len(seen) == len(cells)
    kinds = set()
    for one, cell in zip(seen, cells, strict=True):
        hidden = cell.metadata.get("jupyter", {})
        for part, what in ((".jp-InputArea", "source"), (".jp-OutputArea", "outputs")):
            folded = hidden.get(f"{what}_hidden", False)
            for area in one.select(part):
                assert bool(area.find_parent("details", class_="folded")) == folded, cell.source
                kinds.add((what, folded))
    assert {("source", True), ("source", False), ("outputs", False)} <= kinds


def test_what_it_installs_is_pinned_and_less_than_the_book_needs():
    text = (FOLDER / "requirements.txt").read_text("utf-8")
    named = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert 50 < len(named) < 130 and len(set(named)) == len(named)
    assert not {"sphinx", "myst-nb", "jupyter-cache", "sqlalchemy", "pytest"} & set(named)
    assert {
        "numpy",
        "scipy",
        "matplotlib",
        "pandas",
        "ipywidgets",
        "jupyterlab",
        "autograd",
    } <= set(named)
    source = (notebooks.ROOT / "requirements.txt").read_text("utf-8")
    assert all(block in text for block in pins(source, named))
    (wheel,) = FOLDER.glob("fpnotes-*.whl")
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert text.endswith(f"./{wheel.name} \\\n    --hash=sha256:{checksum}\n")


def test_nothing_is_missing_on_another_system():
    closed = notebooks.closure(notebooks.asked_for())
    assert {"appnope", "colorama", "pywinpty"} <= set(closed)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_small_enough_to_open_on_github(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 10e6
