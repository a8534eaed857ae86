"""Every deck of slides in Chromium: formulas typeset, nothing cut off, nothing fetched from elsewhere."""

import pytest

from tests.site.browser.browsing import HTML

DECKS = sorted((HTML.parents[1] / "dist" / "slides").glob("*.html"))

# What of the present slide lies outside of it. (Not its scroll size, which counts what screen readers read.)
CUT_OFF = """() => {
  const room = document.querySelector(".slides").getBoundingClientRect();
  return [...Reveal.getCurrentSlide().querySelectorAll("p, li, pre, table, img, figcaption, mjx-container")]
    .filter(part => {
      const box = part.getBoundingClientRect();
      return box.right > room.right + 1 || box.bottom > room.bottom + 1;
    })
    .map(part => `${part.tagName}: ${part.textContent.slice(0, 60)}`);
}"""


@pytest.mark.parametrize("deck", DECKS or [None], ids=lambda deck: deck.stem if deck else "none")
def test_deck(deck, browser):
    """A deck opens from a file, has no error, and no slide is cut off."""
    assert deck, "there are no slides in dist/slides: run `make slides`"
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    errors, elsewhere = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith(("file:", "data:", "blob:"))
            else elsewhere.append(asked.url)
        ),
    )
    page.goto(deck.as_uri(), timeout=120_000)
    page.wait_for_function("window.Reveal && Reveal.isReady()", timeout=120_000)
    assert page.locator("mjx-container").count() and not page.locator("mjx-merror").count()
    for k in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate(f"Reveal.slide({k})")
        assert not page.evaluate(CUT_OFF), f"slide {k + 1}"
    page.close()
    assert not errors and not elsewhere
