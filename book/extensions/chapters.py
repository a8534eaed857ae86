"""What one page says of another, or of itself: a chapter's number, and how long it takes.

``{chapter}`stability``` is a link, "chapter 3". ``{length}`stability``` is the estimate at its top, and
``{minutes}`stability``` its first number. ``{hours}`1-fixed-points solving``` is the length of a week with
that problem set and these chapters, ``{exercises}`solving stability``` that of all their exercises, in hours.
``{slider}`stability``` is what is written at the slider of that chapter, "ρ"; where it has several, the
parameter follows, ``{slider}`nonlinear t```.

A chapter above the limit ``chapter_minutes`` is a warning, unless ``chapters_too_long`` names it. So is a
name in that list which is not needed.
"""

import re
from pathlib import Path

from docutils import nodes
from length import exercises, hours, length, misjudged, round_to_five
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole


class Place(nodes.Inline, nodes.Element):
    """Where the number of a chapter will be when all pages are numbered."""


class Chapter(SphinxRole):
    """The number of a chapter, which leads there."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return a place for the number."""
        folder = self.env.docname.rpartition("/")[0]
        page = f"{folder}/{self.text}".lstrip("/")
        return [Place("", page=page, line=self.lineno)], []


class Written(SphinxRole):
    """Text that is computed from pages of the book."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the text, or an error where it names no page."""
        root, names = Path(self.env.srcdir), self.text.split()
        self.env.note_reread()  # another page may have changed
        try:
            text = {
                "length": lambda page: length(root, page).phrase,
                "minutes": lambda page: str(round_to_five(length(root, page).seen.minutes)),
                "hours": lambda problems, *pages: f"{hours(root, problems, pages):g}",
                "slider": lambda page, *name: slider(root, page, *name),
                "exercises": lambda *pages: f"{exercises(root, pages):g}",
            }[self.name](*names)
        except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
            message = f"{{{self.name}}}`{self.text}` names no page: {error}"
            return [], [self.inliner.reporter.error(message, line=self.lineno)]
        return [nodes.inline("", text, classes=["length"])], []


def slider(root, page, name=r"\w+"):
    """Return what is written at a chapter's slider: the only one, or the one of that name."""
    text = (root / "book" / f"{page}.md").read_text("utf-8")
    (label,) = re.findall(rf'^explore\([^)]*?labels=\{{"{name}": "([^"]+)"\}}', text, re.MULTILINE)
    return label


def number(env, page):
    """Return what a chapter is called in a sentence, "chapter 3"; None where the page has no number."""
    numbers = env.toc_secnumbers.get(page, {}).get("")
    return f"chapter {'.'.join(map(str, numbers))}" if numbers else None


def write_numbers(app, doctree, docname):
    """Put the chapters' numbers in their places."""
    for place in list(doctree.findall(Place)):
        page = place["page"]
        text = number(app.env, page)
        if text is None:
            message = f"{{chapter}}`{page}` names no numbered page"
            logging.getLogger(__name__).warning(message, location=(docname, place["line"]))
            place.replace_self(nodes.Text(page))
            continue
        uri = app.builder.get_relative_uri(docname, page)
        title = app.env.titles[page].astext()
        link = nodes.reference("", text, internal=True, refuri=uri, reftitle=title)
        link["classes"].append("chapter")
        place.replace_self(link)


def warn(app, env):
    """Warn about chapters that are too long, and about names left in the list of those."""
    if app.config.chapter_minutes:
        settings = app.config.chapter_minutes, app.config.chapters_too_long
        for page, message in misjudged(app.srcdir, *settings):
            logging.getLogger(__name__).warning(message, location=f"book/{page}")


def setup(app):
    """Register the roles and settings with Sphinx."""
    app.add_config_value("chapter_minutes", None, "env")
    app.add_config_value("chapters_too_long", [], "env")
    app.add_node(Place)
    app.add_role("chapter", Chapter())
    for name in ("length", "minutes", "hours", "exercises", "slider"):
        app.add_role(name, Written())
    app.connect("doctree-resolved", write_numbers)
    app.connect("env-check-consistency", warn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
