"""The JupyterLite site in a browser, with a copy of Pyodide's core in place of its host (make test-lite).

That copy lacks the wheels that are compiled for a browser, so no chapter can run here: see start.md,
which tells a reader what these tests show and what they do not.
"""

import json
import re
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import chromium
import lite
import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pkginfo import Wheel

from tests.site.browser import pyodide_host
from tests.site.browser.browsing import DESKTOP, PHONE

PATIENCE = 300_000  # ms: starting Python takes 20 seconds, on a machine that does other work, too
TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
CHAPTERS = [page.stem for page in lite.chapters()]
IMPORT = re.compile(r"^ *(?:import|from) (\w+)", re.MULTILINE)
RUN = """async ([code, patience]) => {
  const seen = {text: "", error: ""};
  const future = window.kernel.requestExecute({code});
  future.onIOPub = ({content}) => {
    seen.text += content.text ?? content.data?.["text/plain"] ?? "";
    if (content.ename) seen.error += `${content.ename}: ${content.evalue}`;
  };
  const late = new Promise((_, fail) => setTimeout(fail, patience, new Error("no end of: " + code)));
  await Promise.race([future.done, late]);
  return seen;
}"""


@pytest.fixture(scope="module")
def lab(browser):
    """The notebook at the site's address: its page, and what it and later pages asked of whom."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    lab = SimpleNamespace(context=context, page=page, host=[], foreign=[], fetched=[], errors=[])
    context.on("weberror", lambda error: lab.errors.append(str(error.error)))
    with chromium.served(lite.SITE) as site:
        lab.site = site

        def route(route):
            url = route.request.url
            if url == site + "jupyter-lite.json":  # the site's own, and a handle for these tests
                settings = json.loads((lite.SITE / "jupyter-lite.json").read_text("utf-8"))
                settings["jupyter-config-data"]["exposeAppInBrowser"] = True
                return route.fulfill(json=settings)
            if url.startswith((site, "data:", "blob:")):
                lab.fetched.append(url.removeprefix(site))
                return route.continue_()
            if not url.startswith(pyodide_host.ADDRESS):
                lab.foreign.append(url)
                return route.abort()
            name = url.removeprefix(pyodide_host.ADDRESS)
            lab.host.append(name)
            file = pyodide_host.HOST / name
            answer = {"headers": {"access-control-allow-origin": "*"}}
            if not file.is_file():
                return route.fulfill(status=404, body="", **answer)
            kind = TYPES.get(file.suffix, "application/octet-stream")
            return route.fulfill(body=file.read_bytes(), content_type=kind, **answer)

        lab.route = route
        context.route("**/*", route)
        page.goto(site)
        page.wait_for_function("!!window.jupyterapp")
        yield lab
        context.close()


@pytest.fixture(scope="module")
def run(lab):
    """Run code in the kernel of the page that opened: what it prints, and its error."""
    lab.page.wait_for_function(
        """async () => {
          const panel = [...window.jupyterapp.shell.widgets("main")].find(w => w.sessionContext);
          window.kernel = panel?.sessionContext.session?.kernel;
          return window.kernel && await window.kernel.info;
        }"""
    )
    return lambda code: SimpleNamespace(**lab.page.evaluate(RUN, [code, PATIENCE]))


def index():
    """The site's index of wheels: a name, and the one wheel it has."""
    packages = json.loads((lite.SITE / "pypi" / "all.json").read_text("utf-8"))
    return {
        name: next(iter(package["releases"].values()))[0]["filename"]
        for name, package in packages.items()
    }


def test_the_wheels_are_of_this_tree_and_of_requirements():
    assert set(index()) == {"fpnotes", *lite.PACKAGES}
    pins = (lite.ROOT / "requirements.txt").read_text("utf-8")
    for name, wheel in index().items():
        version = Wheel(str(lite.SITE / "pypi" / wheel)).version
        assert name == "fpnotes" or f"\n{name}=={version} " in pins


def test_what_is_imported_is_there_for_a_browser():
    """Each requirement of our wheels is met by the site, or by Pyodide's lock file."""
    lock = json.loads((pyodide_host.HOST / "pyodide-lock.json").read_text("utf-8"))
    offered = {canonicalize_name(p["name"]): p["version"] for p in lock["packages"].values()}
    extension = lite.SITE / "extensions" / "@jupyterlite" / "pyodide-kernel-extension"
    shims = json.loads((extension / "static" / "pypi" / "all.json").read_text("utf-8"))
    own = {name: str(lite.SITE / "pypi" / wheel) for name, wheel in index().items()}
    met = {*own}
    for wheel in own.values():
        for line in Wheel(wheel).requires_dist:
            required = Requirement(line)
            extras = ["", "figures"] if "fpnotes" in wheel else [""]
            browser = {"python_version": "3.14", "sys_platform": "emscripten"}
            if required.marker and not any(
                required.marker.evaluate(browser | {"extra": extra}) for extra in extras
            ):
                continue
            name = canonicalize_name(required.name)
            versions = [*shims.get(name, {}).get("releases", {})]
            versions += [offered[name]] if name in offered else []
            versions += [Wheel(own[name]).version] if name in own else []
            assert any(map(required.specifier.contains, versions)), line
            met.add(name)
    imported = set()
    for name in CHAPTERS:
        cells = nbformat.read(lite.SITE / "files" / f"{name}.ipynb", as_version=4).cells[2:]
        for cell in cells:
            imported |= set(IMPORT.findall(cell.source)) if cell.cell_type == "code" else set()
    imported -= set(sys.stdlib_module_names)
    imported = set(map(canonicalize_name, imported))
    assert {"numpy", "scipy", "matplotlib", "pandas", "fpnotes"} <= imported <= met


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_a_notebook_for_this_kernel(name):
    notebook = nbformat.read(lite.SITE / "files" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python"
    assert notebook.cells[1].source == lite.SETUP
    book = nbformat.read(lite.HTML / "_sources" / "book" / f"{name}.ipynb", as_version=4)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells[1:]] == code[1:]  # after its own installation
    assert not any(cell.outputs for cell in cells)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([\w-]+)\.ipynb\)", text):
        assert target in {"start", *CHAPTERS}


def test_it_opens_at_a_page_that_lists_the_chapters(lab):
    page = lab.page
    links = page.locator(".jp-NotebookPanel a[href$='.ipynb']")
    links.nth(len(CHAPTERS) - 1).wait_for()
    assert [stem(link) for link in links.all()] == CHAPTERS


@contextmanager
def opened(lab, path):
    """Open a page of the site beside the first."""
    page = lab.context.new_page()
    page.goto(lab.site + path)
    page.wait_for_function("!!window.jupyterapp")
    yield page
    page.close()


def test_its_list_of_files_has_all_of_them(lab):
    with opened(lab, "tree/index.html") as page:
        files = page.locator(".jp-DirListing-itemText")
        files.filter(has_text="start.ipynb").wait_for()
        names = {text.removesuffix(".ipynb") for text in files.all_inner_texts()}
        assert names == {"start", *CHAPTERS}


def stem(link):
    """The notebook that a link leads to."""
    return re.findall(r"([\w-]+)\.ipynb", link.get_attribute("href"))[0]


def test_the_kernel_runs_plain_python(run):
    seen = run("import sys, IPython; print(sys.platform, sys.version_info[:2], sum(range(10)))")
    assert seen.error == "" and seen.text == "emscripten (3, 14) 45\n"
    assert run("1 / 0").error == "<class 'ZeroDivisionError'>: division by zero"


def test_ours_come_from_the_site_and_numpy_from_the_host(lab, run):
    before = len(lab.fetched), len(lab.host)
    seen = run("%pip install -q fpnotes")  # as in the first cell of each chapter
    assert seen.error == ""
    fetched, host = lab.fetched[before[0] :], lab.host[before[1] :]
    for name in ("fpnotes", "autograd"):
        assert any(f"pypi/{index()[name]}" in url for url in fetched)
    assert any(name.startswith("numpy-") for name in host)
    assert not any(name.startswith(("fpnotes", "autograd")) for name in host)


def test_ours_load_as_far_as_numpy(run):
    seen = run("import piplite; await piplite.install(['fpnotes', 'autograd'], deps=False)")
    assert seen.error == ""
    seen = run(
        """import compileall, importlib.metadata, importlib.util, pathlib, warnings
warnings.simplefilter("error")
for name in ("fpnotes", "autograd"):
    folder = pathlib.Path(importlib.util.find_spec(name).origin).parent
    files = [*folder.glob("**/*.py")]
    for file in files:
        compile(file.read_bytes(), file, "exec")
    print(name, importlib.metadata.version(name), len(files) > 10)
warnings.simplefilter("default")"""
    )
    wheels = {name: index()[name].split("-")[1] for name in ("fpnotes", "autograd")}
    assert seen.error == ""
    assert seen.text == "".join(f"{name} {version} True\n" for name, version in wheels.items())
    assert "No module named 'numpy'" in run("import fpnotes").error


def test_the_first_cell_gives_what_it_promises(run):
    first, *rest = lite.SETUP.split("\n\n")
    assert "%pip install" in first and run("\n\n".join(rest)).error == ""
    seen = run(
        """from concurrent.futures import ThreadPoolExecutor, as_completed
with ThreadPoolExecutor(2) as pool:
    print(sorted(f.result() for f in as_completed([pool.submit(abs, -k) for k in (2, 1)])))"""
    )
    assert (seen.error, seen.text) == ("", "[1, 2]\n")


def test_what_is_around_numpy_works_without_threads(run):
    seen = run(
        """import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "JsProxy.as_object_map")  # threadpoolctl's, of this Pyodide
from threadpoolctl import threadpool_limits
from tqdm.auto import trange
with threadpool_limits(1):
    print(sum(trange(5, disable=False)))"""
    )
    assert seen.error == "" and "10\n" in seen.text


def save_slider(page):
    """Save try.ipynb, whose one cell has a slider, in the page's browser."""
    code = """%pip install -q ipywidgets
import ipywidgets
slider = ipywidgets.IntSlider(value=3, max=9)
ipywidgets.interactive(lambda k: print("squared", k * k), k=slider)"""
    text = "# Try\n\nThis paragraph is long enough to take more than one line on a phone."
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell(code)]
    page.evaluate(
        """content => window.jupyterapp.serviceManager.contents.save(
             "try.ipynb", {type: "notebook", format: "json", content})""",
        json.loads(nbformat.writes(lite.notebook_of(cells))),
    )


def test_a_slider_shows_and_moves_python(lab, run):
    save_slider(lab.page)
    with opened(lab, "notebooks/index.html?path=try.ipynb") as page:
        page.evaluate(
            """async () => {
              const {commands, shell} = window.jupyterapp;
              let panel;
              while (!(panel = [...shell.widgets("main")].find(w => w.sessionContext)))
                await new Promise(done => setTimeout(done, 100));
              await panel.sessionContext.ready;
              await commands.execute("notebook:run-all-cells");
            }"""
        )
        printed = page.locator(".jp-NotebookPanel .jp-OutputArea-output pre")
        printed.filter(has_text="squared 9").first.wait_for()
        page.locator(".jp-NotebookPanel .noUi-handle").press("ArrowRight")
        printed.filter(has_text="squared 16").first.wait_for()


def test_a_phone_runs_a_cell_and_moves_a_slider(lab, browser):
    context = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
    context.set_default_timeout(PATIENCE / 3)
    context.route("**/*", lab.route)
    try:
        page = context.new_page()
        page.goto(lab.site)
        page.wait_for_function("!!window.jupyterapp")
        save_slider(page)
        page.goto(f"{lab.site}notebooks/index.html?path=try.ipynb")
        paragraph, editor = (
            page.locator(".jp-NotebookPanel p"),
            page.locator(".jp-CodeCell .jp-InputArea-editor"),
        )
        for seen in (paragraph, editor):
            seen.first.wait_for()
            box = seen.first.bounding_box()
            assert box["x"] >= 0 and 300 < box["width"] <= 390  # a line of text has room
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.wait_for_function(
            """() => [...window.jupyterapp?.shell.widgets("main") ?? []].some(
                 panel => panel.sessionContext?.session?.kernel)"""
        )
        editor.first.tap()
        page.locator("[data-command='notebook:run-cell-and-select-next']").first.tap()
        printed = page.locator(".jp-NotebookPanel .jp-OutputArea-output pre")
        printed.filter(has_text="squared 9").first.wait_for()
        track = page.locator(".jp-NotebookPanel .noUi-base").bounding_box()
        assert 0 <= track["x"] and track["x"] + track["width"] <= 390
        page.touchscreen.tap(track["x"] + track["width"], track["y"] + track["height"] / 2)
        printed.filter(has_text="squared 81").first.wait_for()
    finally:
        context.close()


def test_a_link_opens_its_chapter(lab):
    link = lab.page.locator(".jp-NotebookPanel a", has_text="When does it settle?")
    with lab.context.expect_page() as tab:
        link.click()
    tab.value.locator(".jp-NotebookPanel h1", has_text="When does it settle?").wait_for()
    tab.value.close()


def test_nothing_was_asked_of_others(lab):
    assert lab.host and lab.foreign == []
    assert lab.errors == []
