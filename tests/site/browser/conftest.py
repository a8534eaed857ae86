"""A browser, the book on a local web server, and one look at each page that its tests share."""

import chromium
import pytest

from tests.site.browser.browsing import HTML, PAGES, visit


@pytest.fixture(scope="session")
def site():
    """The address of the built book on a local web server."""
    with chromium.served(HTML) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """One browser for each worker."""
    with chromium.launched() as browser:
        yield browser


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
