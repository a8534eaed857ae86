"""Every page as a reader meets it: in light and dark, on a phone, on paper, without scripts."""

from urllib.parse import urljoin

import pytest
import toc

from tests.site import pages
from tests.site.browser.browsing import DESKTOP, HTML, PAGES, PHONE, axe, compressed, visit

SLIDERS = [page for page in PAGES if 'class="explore"' in (HTML / page).read_text("utf-8")]
PROMISED = "rate-networks stability singularities reparameterize geometry nonlinear mnist"
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
