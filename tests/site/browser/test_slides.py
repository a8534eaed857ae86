"""Every deck of slides in Chromium: all of a slide can be seen and read, and nothing comes from elsewhere."""

import pytest

from tests.site.browser.browsing import HTML

FOLDER = HTML.parents[1] / "dist" / "slides"
DECKS = sorted(file for file in FOLDER.glob("*.html") if file.stem != "index")
LABEL = 14  # pixels, at 1280 × 720

# What is wrong with each slide. (Not its scroll size, which counts what screen readers read.)
FAULTS = """least => {
  const room = document.querySelector(".slides").getBoundingClientRect(), found = [];
  const words = part => {
    const copy = part.cloneNode(true);
    copy.querySelectorAll("h1, h2, .notes, mjx-container, .eqno").forEach(x => x.remove());
    return copy.textContent.match(/\\p{L}+/gu) || [];
  };
  const label = image => {
    const source = atob(image.src.split(",")[1]);
    const svg = new DOMParser().parseFromString(source, "image/svg+xml").documentElement;
    const box = image.getBoundingClientRect(), view = svg.viewBox.baseVal;
    const scale = Math.min(box.width / view.width, box.height / view.height);
    const sizes = [...svg.querySelectorAll("g[id^=text] > g")].map(
      // Matplotlib draws letters 100 units high.
      letters => 100 * Math.abs(letters.getAttribute("transform").match(/scale\\(([-.\\d]+)/)[1]));
    return Math.min(...sizes) * scale;
  };
  for (let k = 0; k < Reveal.getTotalSlides(); k++) {
    Reveal.slide(k);
    const slide = Reveal.getCurrentSlide(), fault = text => found.push(`slide ${k + 1}: ${text}`);
    for (const part of slide.querySelectorAll("p, li, pre, table, img, figcaption, mjx-container")) {
      if (part.closest(".notes, mjx-assistive-mml")) continue;
      const box = part.getBoundingClientRect();
      if (box.right > room.right + 1 || box.bottom > room.bottom + 1)
        fault(`cut off at the edge, ${part.tagName}: ${part.textContent.trim().slice(0, 60)}`);
    }
    if (words(slide).length < 2 && !slide.querySelector("img")) fault("no words");
    // A sentence that ends with a colon or comma goes on: in what follows, on the same slide.
    const parts = [...slide.querySelectorAll("p, li, .math, img, table, pre")];
    const last = parts.filter(x => !x.closest(".notes")).at(-1);
    if (last?.matches("p, li") && /[:,;(]\\s*$/.test(last.textContent))
      fault("ends in the middle of a sentence");
    for (const image of slide.querySelectorAll("img")) {
      if (!image.naturalWidth) fault("a picture that cannot be shown");
      const size = label(image);
      if (size < least) fault(`labels of ${size.toFixed(1)} pixels`);
    }
  }
  return found;
}"""


@pytest.mark.parametrize("deck", DECKS or [None], ids=lambda deck: deck.stem if deck else "none")
def test_deck(deck, browser):
    """A deck opens from a file, without an error; no slide is cut off, empty, or too small to read."""
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
    assert page.evaluate(FAULTS, LABEL) == []
    # The speaker's formulas are MathML, which needs nothing.
    raw = "[...document.querySelectorAll('.notes .math')].filter(x => !x.querySelector('math'))"
    assert page.evaluate(f"{raw}.length") == 0
    page.close()
    assert not errors and not elsewhere
