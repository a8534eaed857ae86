"""What a page says of itself to search engines, and to those who share a link to it.

Each page of the book gets a description, its first sentences, and the tags from
which other sites make a card with the cover. With them come a map of the site, a first page that leads to
the book's, and a page for addresses that lead nowhere. The last stands on its own, since it is shown at any
depth: it fetches nothing and links with whole addresses.
"""

import re
import shutil
from html import escape
from pathlib import Path

from docutils import nodes

COVER = Path(__file__).parents[1] / "assets" / "cover.png"
LEAST, MOST = 70, 200  # characters of a description
FORMULA = "\N{OBJECT REPLACEMENT CHARACTER}"  # where one was
LETTERS = {"Delta": "Δ", "eta": "η", "lambda": "λ", "mu": "μ", "rho": "ρ", "tau": "τ", "cdot": "· "}
SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
VIEWPORT = re.compile(r'\s*<meta name="viewport"[^>]*>')
LEAD = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Refresh" content="0; url={page}">
<title>{title}</title>{tags}</head>
<body><p><a href="{page}">{title}</a></p></body></html>
"""
LOST = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>No such page - {title}</title>
<style>
html {{ color: #22272e; background: #fff; }} a {{ color: #0f56b8; }}
@media (prefers-color-scheme: dark) {{
  html {{ color: #e6e8eb; background: #121417; }} a {{ color: #7aaef2; }}
}}
body {{ max-width: 36rem; margin: 15vh auto; padding: 0 1rem; font: 1.0625rem/1.6 system-ui, sans-serif; }}
</style></head>
<body><main><h1>No such page</h1>
<p>There is no page at this address. It may have moved, or the address may have a slip in it.</p>
<p><a href="{address}">{title}</a> begins here, its words can be <a href="{address}search.html">searched</a>,
and its terms and symbols stand in the <a href="{address}genindex.html">index</a>.</p></main></body></html>
"""


def plain(tex):
    """Return a formula as text, or a mark in its place where it is more than letters and small numbers."""
    text = re.sub(r"\\([A-Za-z]+) ?", lambda name: LETTERS.get(name[1], name[0]), tex)
    text = re.sub(r"_(\d)", lambda low: SUBSCRIPTS[int(low[1])], text.replace("^{-1}", "⁻¹"))
    return FORMULA if re.search(r"[\\{}^_]", text) else text.replace("-", "−")


def describe(doctree):
    """Return what a page begins with, cut to a line or two."""
    said = sentences(doctree)
    return said if len(said) <= MOST else said[:MOST].rpartition(" ")[0] + " …"


def sentences(doctree):
    """Return the first sentences of a page's text that can do without TeX."""
    said = ""
    for paragraph in doctree.findall(nodes.paragraph):
        if not isinstance(paragraph.parent, nodes.section):
            continue
        copy = paragraph.deepcopy()
        for formula in list(copy.findall(nodes.math)):
            formula.replace_self(nodes.Text(plain(formula.astext())))
        text = re.sub(r"\s+", " ", copy.astext())
        for sentence in re.split(r"(?<=[.?!]) (?=[A-Z])", text):
            fits = len(said) + len(sentence) < MOST
            if len(said) >= LEAST and (FORMULA in sentence or not fits):
                return said
            if FORMULA not in sentence:
                said = f"{said} {re.sub(':$', '.', sentence)}".strip()
        if len(said) >= LEAST:
            break
    return said


def tags(config, title, description, address):
    """Return the elements of a page's head that say what it is."""
    card = {
        "og:type": "article",
        "og:site_name": config.html_title,
        "og:title": title,
        "og:description": description,
        "og:url": address,
        "og:image": f"{config.html_baseurl}_static/{COVER.name}",
        "og:image:alt": f"The cover of {config.html_title}",
    }
    lines = [f'<meta property="{key}" content="{escape(text)}">' for key, text in card.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    return f'<meta name="description" content="{escape(description)}">' + "".join(lines)


def complete(app, page, template, context, doctree):
    """Give a page of the book its tags, and the first one the book's own title."""
    context["metatags"] = VIEWPORT.sub("", context.get("metatags") or "")  # the template has one
    if doctree is None:
        return
    config, title = app.config, re.sub("<[^>]*>", "", context["title"])
    if page == config.root_doc:
        title = context["title"] = config.html_title
    address = config.html_baseurl + app.builder.get_target_uri(page)
    context["metatags"] += tags(config, title, describe(doctree), address)


def finish(app, exception):
    """After a build of web pages: the cover, the map, the first page, and the one for lost readers."""
    if exception is not None or app.builder.format != "html":
        return
    out, config = Path(app.outdir), app.config
    shutil.copy(COVER, out / "_static")
    uri, front = app.builder.get_target_uri, config.root_doc
    lines = [
        f"<url><loc>{config.html_baseurl}{uri(page)}</loc></url>"
        for page in sorted(app.env.found_docs)
    ]
    body = "\n".join(lines)
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    (out / "sitemap.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="{schema}">\n{body}\n</urlset>\n',
        "utf-8",
    )
    names = {"title": escape(config.html_title), "address": config.html_baseurl, "page": uri(front)}
    card = tags(
        config, config.html_title, describe(app.env.get_doctree(front)), config.html_baseurl
    )
    (out / "index.html").write_text(LEAD.format(**names, tags=card), "utf-8")
    (out / "404.html").write_text(LOST.format(**names), "utf-8")
    for path in out.glob("**/*.html"):
        once(path, config.html_title)


def once(path, title):
    """Leave one of a page's tags for narrow screens, and of its titles where there is one twice."""
    before = path.read_text("utf-8")
    text = re.sub(f"<title>{re.escape(title)} &#8212; ", "<title>", before)
    found = VIEWPORT.search(text)
    if found:
        text = text[: found.end()] + VIEWPORT.sub("", text[found.end() :])
    if text != before:
        path.write_text(text, "utf-8")


def setup(app):
    """Run before the table of contents' extension, which writes a first page where there is none."""
    app.connect("html-page-context", complete, priority=900)
    app.connect("build-finished", finish, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
