"""The notebooks that a reader downloads from the built pages."""

import ast
import copy
import functools
import html
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import jupytext
import nbformat
import pytest
from bs4 import BeautifulSoup
from editions import EDITIONS
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from plain import Code, Text, notebook_of
from timed_jcache import timed

from tests.book.notebooks import chapters

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
MARKS = r"[*`\\$]"  # of Markdown, and in code
SITE = "https://fpnotes.github.io/fpnotes/"


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def read(chapter):
    return nbformat.read(HTML / "_sources" / "book" / f"{chapter.stem}.ipynb", as_version=4)


def own(notebook):
    """The cells of the page: without those that say what it is, and install."""
    return [cell for cell in notebook.cells if "how-to-run" not in cell.metadata.get("tags", [])]


every_chapter = pytest.mark.parametrize("chapter", chapters(ROOT), ids=lambda chapter: chapter.stem)


@every_chapter
def test_a_page_offers_its_chapter_as_a_notebook(chapter):
    page = (HTML / "book" / f"{chapter.stem}.html").read_text("utf-8")
    buttons = BeautifulSoup(page, "html.parser").select("a.btn-download-notebook-button")
    assert {str(a["href"]) for a in buttons} == {f"../_sources/book/{chapter.stem}.ipynb"}
    notebook = read(chapter)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert code(notebook)[0].startswith("# The book's package") and "%pip" in code(notebook)[0]
    assert code(notebook)[1:] == code(jupytext.read(chapter))  # which are run, each cell, by nbval


@every_chapter
def test_a_page_opens_its_notebook_elsewhere(chapter):
    page = (HTML / "book" / f"{chapter.stem}.html").read_text("utf-8")
    links = [str(a["href"]) for a in BeautifulSoup(page, "html.parser").select("a[href]")]
    binder = [link for link in links if "mybinder.org" in link]
    colab = [link for link in links if "colab.research" in link]
    assert binder and all(
        link.endswith(f"/notebooks?urlpath=lab/tree/{chapter.stem}.ipynb") for link in binder
    )
    assert colab and all(link.endswith(f"/blob/notebooks/{chapter.stem}.ipynb") for link in colab)


@every_chapter
def test_code_that_the_page_folds_is_folded(chapter):
    tags = [
        set(cell.metadata.get("tags", []))
        for cell in jupytext.read(chapter).cells
        if cell.cell_type == "code"
    ]
    cells = [cell for cell in own(read(chapter)) if cell.cell_type == "code"]
    for cell, given in zip(cells, tags, strict=True):
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        # A solution's code is folded, whatever its tags.
        assert hidden or not given & {"hide-input", "remove-cell", "remove-input", "hide-cell"}


@every_chapter
def test_its_first_cell_says_what_is_folded(chapter):
    notebook = read(chapter)
    code = any(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in own(notebook))
    text = any("<summary>" in text for text in text_of(notebook))
    said = notebook.cells[0].source
    assert ("code" in said.partition("built.")[2]) == code
    assert ("Solutions" in said) == text
    assert ("folded" in said) == (code or text)


@every_chapter
def test_outputs_are_kept_in_forms_that_show_before_a_notebook_is_trusted(chapter):
    kinds = [
        kind
        for cell in own(read(chapter))
        for o in cell.get("outputs", [])
        for kind in o.get("data", {})
    ]
    assert kinds or chapter.stem == "guide"  # which prints, and draws nothing
    assert not any("papermill" in kind or "svg" in kind or "javascript" in kind for kind in kinds)
    for cell in own(read(chapter)):
        for output in cell.get("outputs", []):
            assert "<script" not in output.get("data", {}).get("text/html", "")
            if "image/png" in output.get("data", {}) and not cell.metadata.get("jupyter"):
                assert output.metadata["image/png"]["alt"]


def text_of(notebook):
    return [cell.source for cell in own(notebook) if cell.cell_type == "markdown"]


@every_chapter
def test_no_directive_role_or_key_is_left(chapter):
    for text in text_of(read(chapter)):
        text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for pattern in (r"\{[\w:-]+\}`", r"^\s*:::", r"^```\{", r"^\([\w-]+\)=$", r"\{code-cell"):
            found = re.search(pattern, text, re.MULTILINE)
            assert not found, text[max(0, found.start() - 60) : found.end() + 60]


def words(text):
    """Text as it is read: white space is a space, and what surrounds a formula does not count."""
    return re.sub(r"\s*¤\s*", "¤", re.sub(r"\s+", " ", text)).strip()


def page_text(node):
    """The text of a paragraph of a page, a sign in the place of each formula."""
    for formula in node.select("span.math"):
        formula.replace_with("¤")
    return words(re.sub(MARKS, "", node.get_text()))


def plain(text):
    """The text of a notebook without its marks, a sign in the place of each formula."""
    text = re.sub(r"(?<!\\)\$\$?[^$]+?(?<!\\)\$\$?", "¤", text)
    text = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\(https://[^)]*\)", r"\1", text)
    text = re.sub(r"^(> ?)+", "", text, flags=re.MULTILINE)
    return words(re.sub(MARKS, "", html.unescape(text)))


@every_chapter
def test_every_sentence_of_the_page_is_in_its_text(chapter):
    page = BeautifulSoup((HTML / "book" / f"{chapter.stem}.html").read_text("utf-8"), "html.parser")
    article = page.select_one("article.bd-article")
    assert article is not None
    page_only = ".headerlink, .checked, .heading, .cell_output p, .toctree-wrapper, .toy"
    for gone in article.select(page_only):
        gone.decompose()
    text = plain("\n\n".join(text_of(read(chapter))))
    for paragraph in article.select("p:not(.admonition-title)"):
        shown = page_text(paragraph)
        assert shown in text, shown


@every_chapter
def test_numbers_of_equations_statements_and_figures_are_the_pages(chapter):
    page = BeautifulSoup((HTML / "book" / f"{chapter.stem}.html").read_text("utf-8"), "html.parser")
    for gone in page.select(".headerlink"):
        gone.decompose()
    text = "\n\n".join(text_of(read(chapter)))
    assert re.findall(r"\\tag\{([^}]+)\}", text) == [
        e.text.strip("()") for e in page.select(".eqno")
    ]
    titles = [
        page_text(t)
        for t in page.select("div.proof > .admonition-title, .exercise > .admonition-title")
    ]
    numbers = [re.sub(r"\s*\(.*", "", title) for title in titles if re.search(r"\d", title)]
    found = re.findall(
        r"^> \*\*((?:Theorem|Definition|Corollary|Lemma|Proposition|Exercise) [\d.A-Z]+)",
        text,
        re.M,
    )
    assert found == numbers
    captions = [c.text.strip() for c in page.select("figcaption .caption-number")]
    assert re.findall(r"\*\*(Fig\. [\d.]+)\*\*", text) == captions


@every_chapter
def test_links_lead_to_places_of_the_site(chapter):
    text = "\n\n".join(text_of(read(chapter)))
    targets = re.findall(rf"\]\({re.escape(SITE)}([^)#]*)#?([^)]*)\)", text)
    assert targets
    published = {address for address, *_ in EDITIONS.values()}  # beside the pages, by make site
    for path, anchor in set(targets):
        if path in published:
            continue
        file = HTML / path
        assert file.is_file(), path
        assert not anchor or f'id="{anchor}"' in contents(file), f"{path}#{anchor}"


@functools.cache
def contents(path):
    return path.read_text("utf-8")


def test_nbconvert_shows_formulas_numbers_and_tables():
    notebook = HTML / "_sources" / "book" / "reparameterize.ipynb"
    shown, _ = HTMLExporter().from_filename(str(notebook))
    page = BeautifulSoup(shown, "html.parser")
    for gone in page.select("pre, code"):
        gone.decompose()
    seen = page.get_text()
    assert (
        "\\tag{" in seen
        and "Exercise" in seen
        and page.select("summary")
        and page.select("img[src^=data]")
    )
    assert "{glue" not in seen and "```" not in seen and "**" not in seen


def closure(names):
    """Return these distributions, and all that installing them brings."""
    found, waiting = set(), set(names)
    while waiting:
        found.add(name := waiting.pop())
        needs = [Requirement(line) for line in requires(name) or []]
        here = [n.name for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]
        waiting |= {canonicalize_name(name) for name in here} - found
    return found


def test_the_first_cell_installs_what_the_chapters_import():
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


EXPLORED = [page for page in chapters(ROOT) if "explore(" in page.read_text("utf-8")]
RECORD = """\
import itertools, os
import fpnotes.chapters.interactive as sliders
os.environ["JPY_SESSION_NAME"], moved = "a live kernel", []
sliders._widgets = lambda draw, values, names: moved.append((draw, values))"""
MOVE = """\
for draw, values in moved:
    for point in itertools.product(*({float(g[0]), float(g[-1])} for g in values.values())):
        sliders._figure(draw, **dict(zip(values, point)))
print(len(moved))"""


@pytest.mark.slow
@pytest.mark.parametrize("chapter", EXPLORED, ids=lambda chapter: chapter.stem)
def test_sliders_move_after_the_whole_chapter_has_run(chapter, tmp_path):
    notebook = read(chapter)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(RECORD))
    notebook.cells.append(nbformat.v4.new_code_cell(MOVE))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", timeout=600, resources=resources).execute()
    assert int(notebook.cells[-1].outputs[-1].text) == sum(
        "\nexplore(" in c for c in code(notebook)[1:]
    )


@pytest.mark.parametrize("button", ["source-edit", "source-issues", "source-repository"])
def test_a_page_leads_to_its_source(button):
    page = BeautifulSoup((HTML / "book" / "stability.html").read_text("utf-8"), "html.parser")
    link = page.select_one(f"a.btn-{button}-button")
    assert link is not None and "github.com/fpnotes/fpnotes" in str(link["href"])
    if button == "source-edit":
        assert str(link["href"]).endswith("/edit/main/book/stability.md")


@pytest.mark.parametrize(
    ("took", "note"),
    [
        (4, None),
        (12, "*The next cell took about 10 seconds when the book was built.*"),
        (95, "*The next cell took about 2 minutes when the book was built.*"),
    ],
)
def test_a_reader_is_told_before_a_long_cell(took, note):
    executed = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("Text."), nbformat.v4.new_code_cell("1 + 1")],
        metadata={"seconds": [took]},
    )
    found = [Text("# Title"), Code(1, fold="Solution"), Text("More.")]
    made = notebook_of(found, executed).cells
    before = ["# Title"] if note is None else ["# Title", note]
    assert [each.source for each in made] == [*before, "1 + 1", "More."]


def test_times_do_not_make_a_chapter_another(tmp_path):
    """The cache finds a chapter again that was run with times, and gives them back."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)")])
    result = timed(copy.deepcopy(notebook), cwd=str(tmp_path), timeout=60, allow_errors=False)
    cache = get_cache(tmp_path / "cache")
    cache.cache_notebook_bundle(CacheBundleIn(result.nb, "one.ipynb"), check_validity=False)
    found = cache.merge_match_into_notebook(notebook, nb_meta=("seconds",))[1]
    (took,) = found.metadata["seconds"]
    assert 0 <= took <= result.time and found.cells[0].outputs
