"""Begin each notebook that a reader can download with what it needs to run."""

from pathlib import Path

import nbformat

MARK = "how-to-run"
NOTE = """\
*This is a chapter of* {title}. *It needs Python 3.11 or later, Matplotlib, pandas, and the book's package:*

    pip install "fpnotes[figures] @ git+{repository}"

*JupyterLab shows its boxes and cross-references with* `pip install jupyterlab-myst`*.*
"""


def add_note(path, note):
    """Put the note before the first cell, once."""
    notebook = nbformat.read(path, as_version=4)
    if notebook.cells and notebook.cells[0].metadata.get("tags") == [MARK]:
        return
    cell = nbformat.v4.new_markdown_cell(note, metadata={"tags": [MARK]})
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        del cell["id"]  # unknown to these formats
    notebook.cells.insert(0, cell)
    nbformat.write(notebook, path)


def add_notes(app, exception):
    """After a build of web pages."""
    if exception is None and app.builder.format == "html":
        repository = app.config.html_theme_options["repository_url"]
        note = NOTE.format(title=app.config.html_title or app.config.project, repository=repository)
        for path in Path(app.outdir).glob("_sources/**/*.ipynb"):
            add_note(path, note)


def setup(app):
    """Run when the theme has copied the notebooks."""
    app.connect("build-finished", add_notes)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
