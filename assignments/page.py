"""Pages from Markdown, for teachers: each is one file, with its formulas and pictures, and runs no script.

What students wrote is on some of them, so HTML in it is shown as text, and nothing is fetched from anywhere.
"""

import re
from html import escape, unescape
from pathlib import Path
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def formula(latex, options):
    """Return a formula as MathML, or as it was typed where it is no formula."""
    block = options["display_mode"]
    # The converter knows no negative space, \tfrac and \dfrac by another name, and bars of one size.
    plain = re.sub(r"\\!|(?<=\\)[td](?=frac\b)", "", latex)
    plain = re.sub(r"(\\[bB]igg?[lr]?)?\\\|", r"\\Vert ", plain)
    try:
        element = convert_to_element(plain, display="block" if block else "inline")
        for part in element.iter():  # its texts hold entities, and anything else that was typed
            part.text, part.tail = unescape(part.text or ""), unescape(part.tail or "")
            part.attrib.pop("href", None)
        return ElementTree.tostring(element, encoding="unicode")
    except Exception:  # whatever a student typed
        return f'<code class="wrong">{escape(latex)}</code>'


MARKDOWN = (
    MarkdownIt("commonmark", {"html": False})
    .enable("table")
    .use(dollarmath_plugin, double_inline=True, renderer=formula)
    .use(amsmath_plugin, renderer=lambda latex: formula(latex, {"display_mode": True}))
)


def html(markdown):
    """Return Markdown as HTML."""
    return MARKDOWN.render(markdown)


def inline(markdown):
    """Return one line of Markdown as HTML without a paragraph around it."""
    return MARKDOWN.renderInline(markdown)


def document(title, body):
    """Return a whole page."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def rubric(rows):
    """Return a rubric, rows of (part, points, criterion), as a table."""
    lines = [
        f"<tr><td>{escape(part)}</td><td>{points:g}</td><td>{inline(criterion)}</td></tr>"
        for part, points, criterion in rows
    ]
    head = "<tr><th>Part</th><th>Points</th><th>For</th></tr>"
    return f"<table>{head}{''.join(lines)}</table>"
