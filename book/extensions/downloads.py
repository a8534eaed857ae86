"""Offer each chapter as a notebook that stands on its own: to download, on Binder, on Colab.

A notebook is written from the page's tree when all references in it are resolved. ``make notebooks`` collects
what stands in ``_sources`` for the branch that Binder and Colab open.
"""

from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from myst_nb.sphinx_ import NbMetadataCollector
from plain import Page, Text, notebook_of, pieces, spoken

BRANCH = "notebooks"  # where Binder and Colab find the notebooks
INSTALL = """\
# The book's package and what its chapters import, where they are not installed yet: on Colab, for one.
from importlib.util import find_spec

if find_spec("fpnotes") is None:
    %pip install -q "fpnotes[chapters,data] @ git+{repository}"
"""
NOTE = """\
*This is [a page of {title}]({address}). The numbers in its text are those that its code gave when the book
was built.{runtime}{folded}*"""
TIME = " Running all of it took {time} then."
FOLDED = {  # by whether text is folded, and whether code is
    (True, True): " Solutions, and some of the code, are folded; a click opens them.",
    (True, False): " Solutions are folded; a click opens them.",
    (False, True): " Some of the code is folded; a click opens it.",
    (False, False): "",
}


def introduced(notebook, note, install):
    """Put what it is, and what it needs, before a notebook's cells."""
    first = [nbformat.v4.new_markdown_cell(note), nbformat.v4.new_code_cell(install)]
    for name, cell in zip(("how-to-run", "install"), first, strict=True):
        cell["id"] = name
        cell.metadata["tags"] = ["how-to-run"]
    notebook.cells[:0] = first
    return notebook


def folded(notebook):
    """Say what of a notebook is folded."""
    text = any("<details>" in cell.source for cell in notebook.cells)
    code = any(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in notebook.cells)
    return FOLDED[text, code]


def executed(app, name):
    """Return the notebook of a page with its outputs, as they are kept from one build to the next."""
    folder = Path(app.env.mystnb_config.output_folder)
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    cache = get_cache(
        app.env.mystnb_config.execution_cache_path or folder.parent / ".jupyter_cache"
    )
    return cache.merge_match_into_notebook(notebook, nb_meta=("seconds",))[1]


def page_of(app, name):
    """Return what a page's tree does not say of it."""
    address = f"{app.config.html_baseurl.rstrip('/')}/{app.builder.get_target_uri(name)}"
    env = app.env
    return Page(address, env.toc_fignumbers.get(name, {}), env.toc_secnumbers.get(name, {}))


def convert(app, doctree, name):
    """Write the notebook of a page, if the page has code that runs."""
    if app.builder.format != "html" or "kernelspec" not in app.env.metadata.get(name, {}):
        return
    page = page_of(app, name)
    data = NbMetadataCollector.get_exec_data(app.env, name) or {}
    runtime = TIME.format(time=spoken(data["runtime"])) if data.get("runtime") else ""
    title = app.config.html_title or app.config.project
    install = INSTALL.format(repository=app.config.html_theme_options["repository_url"])
    found = [piece for piece in pieces(doctree, page) if piece != Text("")]
    notebook = notebook_of(found, executed(app, name))
    note = NOTE.format(title=title, address=page.address, runtime=runtime, folded=folded(notebook))
    vars(app).setdefault("plain_notebooks", {})[name] = introduced(notebook, note, install)


def write(app, exception):
    """Put the notebooks where the theme has copied the sources of their pages."""
    for name, notebook in getattr(app, "plain_notebooks", {}).items():
        path = Path(app.outdir) / "_sources" / f"{name}.ipynb"
        if exception is None and path.exists():
            nbformat.write(notebook, path)


def launch(app, pagename, templatename, context, doctree):
    """Let the page's buttons open its notebook, not its source."""
    options = app.config.html_theme_options
    source = f"{pagename}{Path(app.env.doc2path(pagename, base=False)).suffix}"
    opened = f"{pagename.rpartition('/')[2]}.ipynb"
    branch = options.get("repository_branch", "")
    groups = [g for g in context.get("header_buttons", []) if g.get("label") == "launch-buttons"]
    for button in (button for group in groups for button in group["buttons"]):
        address = button["url"].replace(f"/{branch}?", f"/{BRANCH}?")
        address = address.replace(f"/blob/{branch}/", f"/blob/{BRANCH}/")
        button["url"] = address.replace(source, opened)


def setup(app):
    """Connect it, late: when references are resolved, and after the theme has made its buttons."""
    app.connect("doctree-resolved", convert, priority=900)
    app.connect("html-page-context", launch, priority=900)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
