"""Three notebooks of the edition in JupyterLab: opened, run from start to end, their sliders moved."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tests.book.notebooks import ROOT
from tests.site.browser.browsing import DESKTOP

NOTEBOOKS = ROOT / "_build" / "notebooks"
NAMES = ["rate-networks", "reparameterize", "geometry"]  # each has a slider
PATIENCE = 600_000  # ms
# The environment of these tests has what writers use. A reader's, by requirements.txt, does not.
OURS = ["jupyterlab-myst", "jupyterlab-jupytext"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab over a copy of the notebooks, with settings of its own: its address and folder."""
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    shutil.copytree(NOTEBOOKS, folder, dirs_exist_ok=True)
    (home / "config" / "labconfig").mkdir(parents=True)
    disabled = {"disabledExtensions": dict.fromkeys(OURS, True)}
    (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own = {name: str(home / name.split("_")[1].lower()) for name in places if "_" in name}
    environment = {**os.environ, **own, "IPYTHONDIR": str(home / "ipython")}
    options = ["--no-browser", "--allow-root", "--expose-app-in-browser", "--port=0"]
    options += [f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=t"]
    log = home / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 120
        while not (found := re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/", log.read_text())):
            assert server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.5)
        yield SimpleNamespace(address=found[0], folder=folder)
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module", params=NAMES)
def opened(request, lab, browser):
    """A notebook that was opened: the page, and its file."""
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{lab.address}lab/tree/{request.param}.ipynb?token=t")
    page.wait_for_function(
        """() => window.panel = window.jupyterapp
          && [...window.jupyterapp.shell.widgets("main")].find(w => w.sessionContext)"""
    )
    page.evaluate("() => Promise.all([panel.context.ready, panel.sessionContext.ready])")
    yield SimpleNamespace(page=page, file=lab.folder / f"{request.param}.ipynb", name=request.param)
    context.close()


ERRORS = """() => [...window.panel.content.model.cells].flatMap(
  cell => cell.type !== "code" ? [] : cell.outputs.toJSON().filter(o => o.output_type === "error")
).map(o => o.evalue)"""


def test_opening_changes_nothing(opened):
    opened.page.wait_for_timeout(3000)
    assert opened.page.evaluate("() => window.panel.context.model.dirty") is False
    assert opened.file.read_bytes() == (NOTEBOOKS / opened.file.name).read_bytes()


def test_all_cells_run_and_every_slider_moves_afterwards(opened):
    page = opened.page
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    assert page.evaluate(ERRORS) == []
    sliders = page.locator(".jupyter-widgets .noUi-handle")
    assert sliders.count() >= 1
    for slider in sliders.all():
        slider.scroll_into_view_if_needed()
        picture = slider.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')][1]").locator(
            "img, svg"
        )
        picture.first.wait_for()
        before = picture.first.evaluate("e => e.outerHTML")
        slider.focus()
        for _ in range(3):
            slider.press("ArrowRight")
        page.wait_for_function(
            """([handle, before]) => {
              const image = handle.closest(".widget-vbox").querySelector("img, svg");
              return image && image.outerHTML !== before;
            }""",
            arg=[slider.element_handle(), before],
        )
    assert page.locator(".jupyter-widgets [data-mime-type*='error']").count() == 0
    assert not (opened.file.read_bytes() != (NOTEBOOKS / opened.file.name).read_bytes())


def test_no_key_and_no_warning_sign_is_seen(opened):
    page = opened.page
    texts = page.evaluate(
        "() => [...document.querySelectorAll('.jp-RenderedMarkdown')].map(e => e.innerText)"
    )
    assert len(texts) > 5
    for text in texts:
        assert not re.search(r"\{[\w:-]+\}`|glue:|⚠|ⓘ|:::|\$\$", text), text
    assert page.locator(".jp-RenderedMarkdown mjx-merror").count() == 0
