"""Make each notebook that a reader can download stand on its own: what it needs, and its numbers."""

import re
from pathlib import Path

import nbformat
from chapters import number
from length import length
from myst_nb.core.variables import format_plain_text
from myst_nb.ext.glue.crossref import read_glue_cache

MARK = "how-to-run"
NOTE = """\
*This is a chapter of* {title}. *It needs Python 3.11 or later, and the book's package with what its chapters
import:*

    pip install "fpnotes[chapters] @ git+{repository}"

*JupyterLab shows its boxes and cross-references with* `pip install jupyterlab-myst`*.*
"""
GLUED = re.compile(r"\{glue:text\}`([^`:]+):?([^`]*)`")
CHAPTER = re.compile(r"\{chapter\}`([\w-]+)`")
LENGTH = re.compile(r"\{length\}`([\w-]+)`")


def add_note(notebook, note):
    """Put the note before the first cell, once."""
    if notebook.cells and notebook.cells[0].metadata.get("tags") == [MARK]:
        return
    cell = nbformat.v4.new_markdown_cell(note, metadata={"tags": [MARK]})
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        del cell["id"]  # unknown to these formats
    notebook.cells.insert(0, cell)


def write_numbers(notebook, glued):
    """Write into the text the numbers that the page takes from its code."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = GLUED.sub(
                lambda role: format_plain_text(glued[role[1]]["data"]["text/plain"], role[2]),
                cell.source,
            )


def write_roles(notebook, env, folder):
    """Write the numbers of chapters, which still lead there, and how long a chapter takes."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = CHAPTER.sub(
                lambda role: f"{{doc}}`{number(env, f'{folder}/{role[1]}')} <{role[1]}>`",
                cell.source,
            )
            cell.source = LENGTH.sub(lambda role: length(env.srcdir, role[1]).phrase, cell.source)


def fold_unseen(notebook):
    """Fold the code that the page runs without showing it; a click in JupyterLab opens it."""
    for cell in notebook.cells:
        if "remove-cell" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}


def complete(app, exception):
    """After a build of web pages."""
    if exception is None and app.builder.format == "html":
        repository = app.config.html_theme_options["repository_url"]
        note = NOTE.format(title=app.config.html_title or app.config.project, repository=repository)
        sources = Path(app.outdir) / "_sources"
        for path in sources.glob("**/*.ipynb"):
            notebook = nbformat.read(path, as_version=4)
            add_note(notebook, note)
            fold_unseen(notebook)
            write_roles(notebook, app.env, path.parent.relative_to(sources).as_posix())
            page = path.relative_to(sources).with_suffix("").as_posix()
            if any(GLUED.search(cell.source) for cell in notebook.cells):
                write_numbers(notebook, read_glue_cache(app.env.mystnb_config.output_folder, page))
            nbformat.write(notebook, path)


def setup(app):
    """Run when the theme has copied the notebooks."""
    app.connect("build-finished", complete)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
