"""Run every chapter as a notebook, against the outputs stored for it.

A chapter is one Markdown file. What its marked cells (tag ``nbval-check-output``) must print stands
in ``tests/book/outputs/<chapter>.ipynb``, which holds those cells and nothing else.

``python tests/book/notebooks.py update [chapter ...]``
    executes chapters and rewrites the stored outputs; look at the diff before you commit it.
``python tests/book/notebooks.py prepare``
    joins chapters and stored outputs in ``_build/nbval/``, where ``pytest --nbval-lax`` runs them:
    no cell may raise an exception, and each marked cell must print exactly what is stored.

nbval by itself passes a marked cell that was never executed, so ``prepare`` refuses what would
leave nothing to compare. It wants the marked cells exactly as they were when their outputs were
stored; ``jupytext --update`` would give an edited cell the outputs it had before.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbval.plugin import find_comment_markers, find_metadata_tags

ROOT = Path(__file__).parents[2]
IMAGES = {"image/png", "image/jpeg"}  # nbval does not compare these


def chapters(root):
    """Return the pages of the book that are notebooks: a kernel in the header, and code to run."""
    texts = {page: page.read_text() for page in sorted((root / "book").glob("*.md"))}
    return [
        page for page, text in texts.items() if "\nkernelspec:" in text and "{code-cell}" in text
    ]


def outputs_file(root, chapter):
    """Return where the outputs of a chapter's marked cells are stored."""
    return root / "tests" / "book" / "outputs" / f"{chapter.stem}.ipynb"


def orphans(root):
    """Return the stored files that belong to no chapter."""
    expected = {outputs_file(root, chapter) for chapter in chapters(root)}
    return sorted(set((root / "tests" / "book" / "outputs").glob("*.ipynb")) - expected)


def code_cells(notebook):
    """Return (cell, nbval's options for it) in nbval's numbering: the first code cell is 0."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = [
        (find_metadata_tags(cell.metadata), find_comment_markers(cell.source)) for cell in cells
    ]
    return [
        (cell, {**dict(tags), **dict(marks)})
        for cell, (tags, marks) in zip(cells, found, strict=True)
    ]


def stored(cell):
    """Return an executed cell as it is stored: what is compared, less what varies between runs."""
    executed = cell.execution_count and 1  # the count itself would change with every new cell
    for output in cell.outputs:
        if "data" in output:
            output.data = {kind: output.data[kind] for kind in output.data.keys() - IMAGES}
            output.metadata = {}
        if "execution_count" in output:
            output.execution_count = executed
        if "traceback" in output:
            output.traceback = []  # absolute paths; nbval compares the error's name and message
    fresh = nbformat.v4.new_code_cell(cell.source, outputs=cell.outputs, execution_count=executed)
    del fresh["id"]  # random, and format 4.4 knows none
    return fresh


def update(root=ROOT, names=()):
    """Execute the chapters (all, or those named) and store the outputs of their marked cells."""
    known = {chapter.stem: chapter for chapter in chapters(root)}
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such chapter: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or known:
        print(f"{name} ...", flush=True)
        notebook = jupytext.read(known[name])
        with tempfile.TemporaryDirectory() as elsewhere:  # a chapter must run anywhere
            options = {"timeout": 600, "resources": {"metadata": {"path": elsewhere}}}
            NotebookClient(
                notebook, kernel_name="python3", coalesce_streams=True, **options
            ).execute()
        marked = [cell for cell, options in code_cells(notebook) if options.get("check")]
        for cell in marked:
            if all(IMAGES & output.get("data", {}).keys() for output in cell.outputs):
                raise SystemExit(
                    f"{name}: this marked cell prints nothing to compare:\n{cell.source}"
                )
        path = outputs_file(root, known[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        cells = [stored(cell) for cell in marked]
        nbformat.write(nbformat.v4.new_notebook(nbformat_minor=4, cells=cells), path)
    if not names:
        for path in orphans(root):
            path.unlink()


def merge(root, chapter):
    """Return a chapter with its stored outputs; a ValueError says why that cannot be."""
    if not (path := outputs_file(root, chapter)).exists():
        raise ValueError("it has no stored outputs")
    expected = nbformat.read(path, as_version=4).cells
    notebook = jupytext.read(chapter)
    for number, (cell, options) in enumerate(code_cells(notebook)):
        if options.get("skip"):
            raise ValueError(f"cell {number} asks to be skipped; every cell must run")
        if options.get("check"):
            if not expected or expected[0].source != cell.source:
                raise ValueError(f"marked cell {number} is new, or edited since:\n{cell.source}")
            known = expected.pop(0)
            if known.execution_count is None or not known.outputs:
                raise ValueError(f"marked cell {number} was stored unexecuted:\n{cell.source}")
            cell.outputs, cell.execution_count = known.outputs, known.execution_count
    if expected:
        raise ValueError(f"a stored output belongs to no marked cell:\n{expected[0].source}")
    return notebook


def prepare(root=ROOT):
    """Write the notebooks that nbval runs, and return what is wrong with the stored outputs."""
    target = root / "_build" / "nbval"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    faults = [f"{path.name}: stored outputs without a chapter" for path in orphans(root)]
    for chapter in chapters(root):
        try:
            nbformat.write(merge(root, chapter), target / f"{chapter.stem}.ipynb")
        except ValueError as fault:
            faults.append(f"{chapter.name}: {fault}")
    return faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the chapters against their stored outputs.")
    parser.add_argument("command", choices=["update", "prepare"])
    parser.add_argument("chapters", nargs="*", help="update these only")
    arguments = parser.parse_args()
    if arguments.command == "update":
        update(names=arguments.chapters)
    elif faults := prepare():
        sys.exit("\n".join([*faults, "run `make outputs` and look at the diff"]))
