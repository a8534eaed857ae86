"""A browser, the book on a local web server, and one look at each page that its tests share."""

import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from browsing import ARGUMENTS, CHROMIUM, HTML, PAGES, Quiet, visit
from playwright.sync_api import sync_playwright


def pytest_configure():
    """Say at once, not in every test, what is missing."""
    if not CHROMIUM or not Path(CHROMIUM).exists():
        pytest.exit(
            "There is no Chromium here. Install it (on Debian: apt-get install chromium), or name "
            "one: CHROMIUM=/path/to/chromium make test-browser",
            returncode=1,
        )
    if not PAGES:
        pytest.exit("There is no built book in _build/html: run make book", returncode=1)


@pytest.fixture(scope="session")
def site():
    """The address of the built book on a local web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=HTML))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """One browser for each worker."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(
    scope="module",
    params=[pytest.param(page, marks=pytest.mark.xdist_group(page), id=page) for page in PAGES],
)
def address(request):
    """Each page of the book; all tests of one page run in one worker."""
    return request.param


@pytest.fixture(scope="module")
def look(address, site, browser):
    """One visit to the page, at 1280 pixels in a light scheme, shared by the tests that look."""
    look = visit(browser, site, address)
    yield look
    look.page.context.close()
