"""Build the book for a browser alone: a JupyterLite site in _build/lite, one notebook per chapter.

Any web server can hand the site out. Its Python is Pyodide, which a reader's browser fetches from
Pyodide's usual host, with NumPy, SciPy, Matplotlib and pandas. What that host does not have lies in the
site as wheels: this book's package, autograd, and the widgets. The notebooks are those that the built
pages offer for download, so the book must have been built.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import yaml
from toc import ROOT, pages

HTML = ROOT / "_build" / "html"
WHEELS = ROOT / "_build" / "wheels"  # kept from one build to the next
SOURCE = ROOT / "_build" / "lite-source"  # what JupyterLite makes the site of
SITE = ROOT / "_build" / "lite"
OUR_SETTINGS = Path(__file__).parent / "lite"
START = "start.ipynb"

# From requirements.txt, whatever its pins are: pure Python, and not in Pyodide's lock file, or too old there.
PACKAGES = ["autograd", "comm", "ipywidgets", "jupyterlab-widgets", "threadpoolctl"]
# Of the JupyterLab extensions in the environment, those that work without a server.
EXTENSIONS = [
    "@jupyter-widgets/jupyterlab-manager",
    "@jupyterlite/pyodide-kernel-extension",
    "jupyterlab_pygments",
]
SETUP = """\
# The book's package from this site, NumPy and the rest from Pyodide's host: a minute, the first time.
%pip install -q fpnotes matplotlib pandas ipywidgets

import concurrent.futures as futures, os, tqdm

os.environ["JPY_SESSION_NAME"] = "lite"  # sliders compute as they move
tqdm.tqdm.monitor_interval = 0  # no thread watches over progress bars


class InTurn(futures.Executor):
    def __init__(self, workers=None):
        pass

    def submit(self, call, *values, **named):
        future = futures.Future()
        try:
            future.set_result(call(*values, **named))
        except Exception as error:
            future.set_exception(error)
        return future


futures.ThreadPoolExecutor = InTurn  # a browser has no threads: one piece of work after the other"""
NOTE = """\
*This is a chapter of* {title}. *It runs in your browser: run the next cell first, then the others in order.
A computation takes several times as long as it would on your own Python.* [All chapters](start.ipynb)"""
POOL = """
*This chapter hands runs to a pool of threads. A browser has none: the next cell puts a stand-in in its place,
and the runs go one after the other.*"""
POOLS = re.compile(r"PoolExecutor|\bexecutor=")


def chapters():
    """Return the pages that are notebooks, in the order of the book."""
    texts = [(ROOT / page).with_suffix(".md") for page in pages()]
    return [text for text in texts if "\nkernelspec:" in text.read_text("utf-8")]


def title_of(notebook):
    """Return the first heading of a notebook."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^# (.+)$", text, re.MULTILINE)[0]


def link(text, site, titles):
    """Lead from chapter to chapter within this site; what else is linked stands on the book's."""

    def written(target):
        return f"]({target[1]}.ipynb)" if target[1] in titles else target[0]

    return re.sub(rf"\]\({re.escape(site)}book/([\w-]+)\.html\)", written, text)


def for_a_browser(notebook, book, site, titles):
    """Turn a notebook as it is downloaded into one that begins with its own installation."""
    cells = [cell for cell in notebook.cells if cell.metadata.get("tags") != ["how-to-run"]]
    note = NOTE.format(title=book)
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = link(cell.source, site, titles)
    if any(cell.cell_type == "code" and POOLS.search(cell.source) for cell in cells):
        note += "\n" + POOL
    folded = {"jupyter": {"source_hidden": True}}  # a screen of it, on a phone
    setup = nbformat.v4.new_code_cell(SETUP, metadata=folded)
    first = [nbformat.v4.new_markdown_cell(note), setup]
    return notebook_of(first + cells)


def notebook_of(cells):
    """Return a notebook for the site's kernel."""
    kernel = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def write_notebooks(folder):
    """Write every chapter, and the page that lists them."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    book, site = config["title"], config["html"]["baseurl"]
    downloads = {
        page.stem: nbformat.read(
            HTML / "_sources" / page.relative_to(ROOT).with_suffix(".ipynb"), as_version=4
        )
        for page in chapters()
    }
    titles = {name: title_of(notebook) for name, notebook in downloads.items()}
    for name, notebook in downloads.items():
        edition = for_a_browser(notebook, book, site, titles)
        nbformat.write(edition, folder / f"{name}.ipynb")
    listed = "\n".join(f"- [{title}]({name}.ipynb)" for name, title in titles.items())
    start = jupytext.read(OUR_SETTINGS / "start.md")
    for cell in start.cells:
        cell.source = cell.source.replace("CHAPTERS", listed)
    nbformat.write(notebook_of(start.cells), folder / START)


def pins(requirements, names):
    """Return the lines of a requirements file that pin some packages, with their hashes."""
    found = [
        re.search(rf"^{re.escape(name)}==.*(?:\n +--hash.*)*", requirements, re.MULTILINE)
        for name in names
    ]
    return [block[0] for block in found if block]


def pip(*arguments):
    """Run this environment's pip."""
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True)


def fetch(blocks, folder):
    """Bring pinned wheels into a folder, checked against their hashes; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)

    def wheels(block):
        name, version = block.split()[0].split("==")
        return list(folder.glob(f"{re.sub(r'[-_.]+', '_', name)}-{version}-*none-any.whl"))

    if missing := [block for block in blocks if not wheels(block)]:
        listed = folder / "missing.txt"
        listed.write_text("\n".join(missing) + "\n", "utf-8")
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
        # The browser's Python, not this one: only pure wheels fit both.
        options += ["--python-version", "3.14", "--platform", "any"]
        pip("download", "--quiet", *options, "--dest", folder, "--requirement", listed)
        listed.unlink()
    return [wheels(block)[0] for block in blocks]


def write_own_wheel(folder):
    """Build the package's wheel in a folder."""
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)


def write_wheels(folder):
    """Write the wheels that the kernel finds on the site."""
    folder.mkdir()
    blocks = pins((ROOT / "requirements.txt").read_text("utf-8"), PACKAGES)
    if len(blocks) != len(PACKAGES):
        raise SystemExit(f"requirements.txt does not pin all of {', '.join(PACKAGES)}")
    for wheel in fetch(blocks, WHEELS):
        shutil.copy(wheel, folder)
    write_own_wheel(folder)


def build():
    """Make the site afresh: JupyterLite's own memory of an earlier build can hide new settings."""
    for folder in (SOURCE, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    (SOURCE / "files").mkdir(parents=True)
    write_notebooks(SOURCE / "files")
    write_wheels(SOURCE / "pypi")
    shutil.copy(OUR_SETTINGS / "jupyter-lite.json", SOURCE)
    settings = json.loads((OUR_SETTINGS / "jupyter_lite_config.json").read_text("utf-8"))
    installed = Path(sys.prefix) / "share" / "jupyter" / "labextensions"
    settings["LiteBuildConfig"] |= {
        "federated_extensions": [str(installed / name) for name in EXTENSIONS],
        "output_dir": str(SITE),
    }
    (SOURCE / "jupyter_lite_config.json").write_text(json.dumps(settings, indent=2), "utf-8")
    log = ROOT / "_build" / "lite.log"
    with log.open("w", encoding="utf-8") as out:
        command = [sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", str(SOURCE)]
        if subprocess.run(command, cwd=SOURCE, stdout=out, stderr=out).returncode:
            sys.exit(log.read_text("utf-8"))
    shutil.copy(OUR_SETTINGS / "index.html", SITE)


if __name__ == "__main__":
    build()
    print("The site is in _build/lite. To see it: python3 -m http.server -d _build/lite")
