"""The built book in a browser: a visit to a page, axe, and weights."""

import gzip
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

HTML = Path(__file__).parents[3] / "_build" / "html"
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.glob("**/*.html")
    if "_static" not in path.parts
    and path.name not in {"index.html", "404.html"}  # which lead to the others
)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
AXE = files("axe_playwright_python") / "axe.min.js"
# Axe would take most of its time over the insides of formulas, which are MathJax's: thousands of
# empty elements that draw glyphs, and MathML that no rule of axe looks into. Of the thousands of words
# of code, one of each kind is enough: a kind's color is the same everywhere.
AXE_RUN = """async options => {
  document.querySelectorAll("mjx-math, mjx-assistive-mml math").forEach(e => e.replaceChildren());
  const kinds = new Set();
  for (const word of document.querySelectorAll("pre span[class]:not(:has(*))")) {
    if (!word.checkVisibility()) continue;
    const kind = `${word.className} in ${word.closest("pre").parentElement.parentElement.className}`;
    if (kinds.has(kind)) word.replaceWith(word.textContent);
    kinds.add(kind);
  }
  const found = await axe.run(document, {resultTypes: ["violations"], preload: false, ...options});
  return found.violations.filter(v => ["serious", "critical"].includes(v.impact)).flatMap(
    v => v.nodes.map(n => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary}`));
}"""


@dataclass
class Look:
    """What one visit to a page showed."""

    page: Page
    complaints: list[str] = field(default_factory=list)  # the console's, and exceptions
    failed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    fetched: set[str] = field(default_factory=set)  # paths in the book


def visit(browser: Browser, site: str, address: str, **options):
    """Open a page in a context of its own, to the end of all it loads; nothing foreign is let through."""
    context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", **options})
    context.set_default_timeout(120_000)  # a page takes seconds; other work may slow it
    page = context.new_page()
    look = Look(page)

    def route(request):
        if request.request.url.startswith((site, "data:", "blob:")):
            return request.continue_()
        look.foreign.append(request.request.url)
        return request.abort()

    def response(answer):
        if answer.url.startswith(site):
            look.fetched.add(urlsplit(answer.url).path[1:])
            if answer.status >= 400:
                look.failed.append(f"{answer.status} {answer.url}")

    page.route("**/*", route)
    page.on("response", response)
    page.on("requestfailed", lambda request: look.failed.append(request.url))
    page.on("pageerror", lambda error: look.complaints.append(str(error)))
    page.on(
        "console",
        lambda m: look.complaints.append(m.text) if m.type in {"error", "warning"} else None,
    )
    page.goto(site + address)
    if options.get("java_script_enabled", True):
        page.evaluate("window.MathJax?.startup?.promise")
        # What waits to be scrolled to is loaded, too.
        page.evaluate(
            """() => Promise.all([...document.images].map(
              image => { image.loading = "eager"; return image.decode(); }))"""
        )
    page.wait_for_load_state("networkidle")
    return look


def axe(page, **options):
    """Return the serious and critical violations that axe finds on a page."""
    if not page.evaluate("!!window.axe"):
        page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    return page.evaluate(AXE_RUN, options)


def compressed(path):
    """Return how many bytes a file of the book is on the wire."""
    data = (HTML / path).read_bytes()
    return len(data) if path.endswith((".woff", ".woff2", ".png")) else len(gzip.compress(data, 6))
