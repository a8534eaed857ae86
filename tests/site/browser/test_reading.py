"""Every page as a reader meets it: in light and dark, on a phone, on paper, without scripts."""

import re
import statistics
from urllib.parse import quote, urljoin

import pytest
import toc

from tests.site import pages
from tests.site.browser.browsing import DESKTOP, HTML, PAGES, PHONE, axe, compressed, visit

SLIDERS = [page for page in PAGES if 'class="explore"' in (HTML / page).read_text("utf-8")]
PROMISED = "rate-networks stability implicit-gradient singularities reparameterize geometry nonlinear mnist"
WIDE = """() => {
  const room = document.documentElement.clientWidth;
  const inside = e => {  // a box of its own that scrolls
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(p).overflowX)) return true;
    return false;
  };
  return [...document.querySelectorAll("main *")].filter(
    e => e.getBoundingClientRect().right > room + 1 && e.offsetParent && !inside(e)
  ).map(e => e.outerHTML.slice(0, 80));
}"""

# Matplotlib draws a letter's outline in hundredths of its size, in points of which a file has a known width.
LABELS = """() => {
  const smallest = (svg, width) => Math.min(...[...svg.matchAll(/scale\\(([\\d.]+) -/g)].map(m => 100 * m[1]))
    * width / svg.match(/viewBox="0 0 ([\\d.]+)/)[1];
  const images = document.querySelectorAll("article figure img, article .cell_output img");
  const shown = [...images].filter(image => image.checkVisibility());
  return Promise.all(shown.map(async image => {
    const frames = image.parentElement.querySelector("script[type='application/json']");
    const files = frames ? JSON.parse(frames.textContent).frames : [await (await fetch(image.src)).text()];
    const width = image.getBoundingClientRect().width;
    return [Math.min(...files.map(svg => smallest(svg, width))), image.alt.slice(0, 60)];
  }));
}"""
TOY_LABELS = """() => [...document.querySelectorAll(".toy text")].filter(t => t.checkVisibility()).map(
  text => {
    const { a, b } = text.getScreenCTM();  // which may turn it
    return [parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b), text.textContent];
  })"""


def dark(page):
    """Turn the theme switch until the page is dark."""
    for _ in range(3):
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            # The switch's tip goes, and colors fade from one theme to the other.
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur()")
            page.wait_for_function("!document.querySelector('.tooltip')")
            # (In closed details the promise that an animation has finished may never be kept.)
            page.wait_for_function("document.getAnimations().every(a => a.playState != 'running')")
            return
        page.locator("button.theme-switch-button:visible").first.click()
    raise AssertionError("the theme switch does not reach dark")


def test_no_error_and_nothing_from_elsewhere(look):
    assert look.complaints == []
    assert look.failed == []
    assert look.foreign == []


def test_formulas_are_typeset(look):
    counts = look.page.evaluate(
        """() => ({
          sources: document.querySelectorAll(".math").length,
          set: document.querySelectorAll(".math mjx-container").length,
          faulty: document.querySelectorAll("mjx-merror").length,
        })"""
    )
    assert counts["set"] >= counts["sources"] and counts["faulty"] == 0
    text = look.page.evaluate(
        """() => [...document.querySelectorAll("main p, main li, main td, main figcaption")].filter(
          e => !e.querySelector("code, pre")).map(e => e.innerText).join(" ")"""
    )
    assert "\\(" not in text and "\\[" not in text


def test_a_phone_needs_no_sideways_scroll(look):
    look.page.set_viewport_size(PHONE)
    look.page.wait_for_timeout(100)
    width = look.page.evaluate("document.documentElement.scrollWidth")
    found = look.page.evaluate(WIDE)
    look.page.set_viewport_size(DESKTOP)
    assert width <= PHONE["width"] and not found, f"{width} pixels wide\n" + "\n".join(found)


def test_a_phone_shows_letters_large_enough_to_read(look):
    """In every figure, slider and toy, letters of at least 9 pixels, and sliders to move by a thumb."""
    look.page.set_viewport_size(PHONE)
    look.page.wait_for_timeout(100)
    letters = [*look.page.evaluate(LABELS), *look.page.evaluate(TOY_LABELS)]
    tracks = look.page.evaluate(
        """() => [...document.querySelectorAll("main input[type=range]")].filter(
          i => i.checkVisibility()).map(i => i.getBoundingClientRect().width)"""
    )
    look.page.set_viewport_size(DESKTOP)
    found = [f"{size:.2f} px: {text}" for size, text in letters if round(size, 2) < 9]
    assert not found, "\n".join(found)
    assert all(width > 240 for width in tracks), tracks


# Of running text, the letters on each full line; of displayed formulas, the space above and below.
LINES = """() => [...document.querySelectorAll("article section > p:not(.checked)")].filter(
  p => p.checkVisibility() && !p.querySelector("mjx-container, code, img")).flatMap(p => {
    const range = document.createRange(), lines = {};
    const walk = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
    for (let text; (text = walk.nextNode()); ) for (let k = 0; k < text.length; k++) {
      range.setStart(text, k);
      range.setEnd(text, k + 1);
      const box = range.getBoundingClientRect();
      if (box.width) lines[Math.round(box.bottom / 10)] = 1 + (lines[Math.round(box.bottom / 10)] ?? 0);
    }
    return Object.entries(lines).sort(([a], [b]) => a - b).map(([_, n]) => n).slice(0, -1);
  })"""
SPACES = """() => [...document.querySelectorAll("article section > div.math")].flatMap(formula => {
    const set = formula.querySelector("mjx-container > mjx-math"), next = formula.nextElementSibling;
    const mark = next?.matches("p.checked"), after = mark ? next.nextElementSibling : next;
    const before = formula.previousElementSibling;
    if (!set || before?.tagName !== "P" || after?.tagName !== "P" || before.matches(".checked")) return [];
    const box = set.getBoundingClientRect();
    const above = box.top - before.getBoundingClientRect().bottom;
    return [[above, after.getBoundingClientRect().top - box.bottom, formula.id]];
  })"""


def test_lines_and_spaces_are_even(site, browser):
    """Lines near 75 letters, and as much space above a formula as below it, with a mark or without."""
    look = visit(browser, site, "book/rate-networks.html")
    lines = look.page.evaluate(LINES)
    assert len(lines) > 10 and 70 <= statistics.mean(lines) <= 80, statistics.mean(lines)
    spaces = look.page.evaluate(SPACES)
    assert len(spaces) > 5
    uneven = [space for space in spaces if abs(space[0] - space[1]) > 6]
    assert not uneven, uneven
    look.page.context.close()


def test_the_first_screen_has_the_toy_and_the_doors(site, browser):
    for size in ({"width": 1280, "height": 800}, PHONE):
        look = visit(browser, site, "book/intro.html", viewport=size)
        doors = look.page.locator(".doors a")
        assert [door.inner_text() for door in doors.all()] == ["Start", "Run", "Print", "Teach"]
        toy = look.page.locator(".toy svg").first.bounding_box()
        for box in (toy, *(door.bounding_box() for door in doors.all())):
            assert box and box["y"] + box["height"] <= size["height"], (size, box)
        look.page.context.close()


def test_weight(look, address):
    """A page less than 1 MB beyond what all share, and that less than 1.5 MB, compressed."""
    own = {path for path in look.fetched if not path.startswith("_static/")} - {"searchindex.js"}
    assert address in own
    weight = sum(map(compressed, own))
    shared = sum(map(compressed, look.fetched - own))
    print(f"{address}: {weight / 1e3:.0f} kB, and {shared / 1e3:.0f} kB shared")
    assert weight < 1e6 and shared < 1.5e6


def test_without_scripts_and_on_paper_the_first_frame_shows(address, site, browser):
    look = visit(browser, site, address, java_script_enabled=False)
    for media in ("screen", "print"):
        look.page.emulate_media(media=media)
        for figure in look.page.locator("figure.explore").all():
            image = figure.locator("img")
            assert image.is_visible() and image.evaluate("i => i.naturalWidth") > 0
            assert image.get_attribute("alt") == first_alt(figure)
            assert not figure.locator("input").first.is_visible()
    look.page.context.close()


def first_alt(figure):
    return figure.locator("script[type='application/json']").evaluate(
        "s => JSON.parse(s.textContent).alts[0]"
    )


def state(figure):
    """Return what a reader gets from a slider's figure: what it looks like, its text, its values."""
    image = figure.locator("img")
    image.evaluate("i => i.decode()")
    return (
        image.screenshot(),
        image.get_attribute("alt"),
        figure.locator("output").all_text_contents(),
    )


def test_the_chapters_that_promise_a_slider_have_one():
    assert {f"book/{chapter}.html" for chapter in PROMISED.split()} <= set(SLIDERS)


@pytest.mark.parametrize("address", SLIDERS, indirect=True)
def test_sliders_move_by_keyboard_and_by_mouse(look):
    look.page.emulate_media(color_scheme="light")
    for figure in look.page.locator("figure.explore").all():
        for control in figure.locator("input").all():
            states = [state(figure)]
            control.focus()
            look.page.keyboard.press("ArrowRight")
            states.append(state(figure))
            control.scroll_into_view_if_needed()  # a look at the picture may have scrolled it away
            box = control.bounding_box()
            look.page.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + box["height"] / 2)
            states.append(state(figure))
            for one, other in zip(states, states[1:], strict=False):
                changed = [a != b for a, b in zip(one, other, strict=True)]
                assert all(changed), f"picture, text, value changed: {changed}; {one[1]}"
            assert control.get_attribute("aria-valuetext") in states[-1][2]


def test_a_term_shows_its_definition_to_pointer_and_keyboard(site, browser):
    look = visit(browser, site, "book/rate-networks.html", viewport=PHONE)
    link = look.page.locator("main a[href*='#term-fixed-point']").first
    tip = look.page.locator("#term-tip")
    assert not tip.is_visible()
    link.scroll_into_view_if_needed()
    look.page.wait_for_timeout(200)
    link.focus()
    tip.wait_for()
    assert link.get_attribute("aria-describedby") == "term-tip"
    assert "at which the network does not move" in tip.inner_text()
    box = tip.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    look.page.keyboard.press("Escape")
    tip.wait_for(state="hidden")
    link.hover()
    tip.wait_for()
    look.page.mouse.move(0, 0)
    tip.wait_for(state="hidden")
    assert look.complaints == look.failed == look.foreign == []
    look.page.context.close()


def test_previous_and_next_lead_through_the_book(site, browser):
    passed = ["book/intro.html"]
    while link := pages.read(HTML / passed[-1]).select_one("a.right-next"):
        passed.append(urljoin(passed[-1], str(link["href"])))
    assert passed == [f"{name}.html" for name in toc.pages()]
    look = visit(browser, site, passed[0], java_script_enabled=False)  # links need none
    look.page.goto(site + "index.html")
    look.page.wait_for_url("**/book/intro.html")
    for link, leads in (("a.right-next", passed[1]), ("a.left-prev", passed[0])):
        with look.page.expect_navigation(wait_until="commit"):
            look.page.locator(link).click()
        assert look.page.url == site + leads
    look.page.context.close()


def test_search_finds_a_word(site, browser):
    look = visit(browser, site, "search.html?q=reparameterized")
    look.page.locator("#search-results a[href*='book/reparameterize.html']").first.wait_for()
    assert look.complaints == look.failed == look.foreign == []
    look.page.context.close()


@pytest.mark.parametrize(
    ("typed", "first", "words"),
    [
        ("eq. 5.3", "book/singularities.html#equation-eq-gradient-size", ""),
        ("(5.3)", "book/singularities.html#equation-eq-gradient-size", ""),
        ("theorem 3.1", "book/stability.html#", ""),
        ("steepest descent", "book/geometry.html", "steepest descent"),
        ("singularity", "book/", "singular"),
    ],
)
def test_search_shows_words(typed, first, words, site, browser):
    look = visit(browser, site, f"search.html?q={quote(typed)}")
    look.page.wait_for_function("Search.title?.innerText.includes('Results')")
    results = look.page.locator("#search-results li")
    look.page.wait_for_function(
        "document.querySelectorAll('#search-results li > .context').length > 0"
    )
    look.page.wait_for_load_state("networkidle")
    leads = [str(a.get_attribute("href")) for a in results.locator("> a").all()]
    assert any(first in address for address in leads[:3]), leads[:3]
    for excerpt in results.locator("> .context").all_inner_texts():
        assert len(excerpt) > 40 and not re.search(r"\\|\{|^import |\.pdf|Contents", excerpt), (
            excerpt
        )
    assert any(words in text.lower() for text in results.all_inner_texts()[:3])
    assert look.complaints == look.failed == look.foreign == []
    look.page.context.close()


def test_a_wrong_address_gets_a_page_that_needs_nothing_else(site, browser):
    for scheme in ("light", "dark"):
        look = visit(browser, site, "404.html", viewport=PHONE, color_scheme=scheme)
        assert look.fetched == {"404.html"} and look.foreign == look.failed == []
        found = axe(look.page)
        assert not found, "\n".join(found)
        look.page.context.close()


# Last on each page, since axe empties the formulas.
def test_accessible_in_light(look):
    found = axe(look.page)
    assert not found, "\n".join(found)


def test_accessible_in_dark(look):
    dark(look.page)
    luminance = look.page.evaluate(
        """() => ["backgroundColor", "color"].map(
          p => getComputedStyle(document.body)[p].match(/[\\d.]+/g).slice(0, 3)
            .reduce((sum, part) => sum + +part, 0) / 765)"""
    )
    assert luminance[0] < 0.25 and luminance[1] > 0.7
    found = axe(look.page, runOnly=["color-contrast", "link-in-text-block"])  # what colors change
    assert not found, "\n".join(found)
