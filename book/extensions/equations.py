"""Which test checks which statement, shown: in a table of all, and beside each equation and claim.

What is stated and what checks it is read by ``ledger``. The directive ``{equation-checks}`` lists the
pairs; the role ``{claim}`` shows on what a claim rests.
"""

import re
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

from docutils import nodes
from ledger import PREFIXES, checks, labels, unsupported
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

CHECKED = "\N{CHECK MARK}"
LONG = 400  # characters: of a longer paragraph its last sentence is shown, which is the claim
APART = {
    "book/notation": "N"
}  # pages outside of the numbered chapters, whose equations are (N.1), (N.2) …


class Mark(nodes.Inline, nodes.Element):
    """Where a claim's mark will be, a link to its row, when all pages have been read."""


class Claim(SphinxRole):
    """On what a claim rests: ``{claim}`thm-stability, clm-found```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return references to equations and theorems, and a mark for each label of the claim's own."""
        shown = []
        for name in re.split(r",\s*", self.text):
            role = {"eq": "eq", "thm": "prf:ref"}.get(name.partition("-")[0])
            if role is None:
                parts = [Mark("", name=name)]
            else:
                text = f"{{{role}}}`{name}`"
                parts, _ = self.inliner.parse(text, self.lineno, SimpleNamespace(), nodes.inline())
            shown += [nodes.Text(", "), *parts] if shown else parts
        return [nodes.inline("", "", *shown, classes=["claim"])], []


class EquationChecks(SphinxDirective):
    """What the book states and the tests that check it: a table for each chapter."""

    def run(self):
        """Return the tables; each row can be linked to as ``check-<label>``."""
        vars(self.env)["equation_checks_page"] = self.env.docname
        self.env.note_reread()  # chapters and tests may have changed, or new ones come
        book = Path(self.env.doc2path(self.env.docname)).parent
        checked = checks(book, book.parent / "tests")
        shown, listed = [], set()
        for chapter, stated in groupby(labels(book), lambda label: label.chapter):
            rows = []
            for label in stated:
                if label.name and label.name not in listed:
                    tests = [f"{c.summary} (`{c.test}`)" for c in checked if c.label == label.name]
                    rows.append(self.row(label.name, self.shown(label), tests or ["not checked"]))
                    listed.add(label.name)
            page = f"{book.name}/{chapter}"
            if rows and (page in self.env.found_docs or chapter == "README"):
                title = f"{{doc}}`/{page}`" if page in self.env.found_docs else "The README"
                shown += [nodes.rubric("", "", *self.markdown(title)), self.table(rows)]
        return shown

    def shown(self, label):
        """Return what leads to a statement: its number, or what it claims."""
        if label.kind == "claim":
            text = re.sub(r"\s*(<!--.*?-->|\(?\{claim\}`[^`]*`\)?)", "", label.statement)
            # A number that the chapter's code computes stands in the chapter.
            text = re.sub(r"\{glue:\w+\}`[^`]*`", "…", text.lstrip("- "))
            return text if len(text) < LONG else re.split(r"(?<=[.?!])\s+", text)[-1]
        return f"{{{'eq' if label.kind == 'math' else 'prf:ref'}}}`{label.name}`"

    def table(self, rows):
        """Return a table of two columns."""
        head = self.row("", "Statement", ["What is tested, and where"])
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (35, 65)), cols=2)
        group += [nodes.thead("", head), nodes.tbody("", *rows)]
        return nodes.table("", group, classes=["equation-checks", "stacked"])

    def row(self, name, statement, tests):
        """Return a table row: a statement, and a paragraph for each of its tests."""
        cells = [
            nodes.entry("", *(nodes.paragraph("", "", *self.markdown(text)) for text in texts))
            for texts in ([statement], tests)
        ]
        return nodes.row("", *cells, ids=[f"check-{name}"] if name else [])

    def markdown(self, text):
        """Return the nodes of one line of Markdown."""
        return self.state.inline_text(text, self.lineno)[0]


def mark_checked(app, doctree, docname):
    """Mark each numbered equation and each claim that a test checks, with a link to its row."""
    page = getattr(app.env, "equation_checks_page", None)
    tested = {}
    if page is not None:
        book = Path(app.env.doc2path(page)).parent
        for check in checks(book, book.parent / "tests"):
            tested.setdefault(check.label, []).append(check.summary)

    def mark(name, text):
        mark = nodes.reference("", text, internal=True)
        mark["refuri"] = f"{app.builder.get_relative_uri(docname, page)}#check-{name}"
        mark["reftitle"] = "Tested: " + re.sub("[$`]", "", " ".join(tested[name]))
        return mark

    web = app.builder.format == "html"
    for place in list(doctree.findall(Mark)):
        name = place["name"]
        place.replace_self([mark(name, f"{CHECKED} tested")] if web and name in tested else [])
    for equation in list(doctree.findall(nodes.math_block)):
        if web and equation.get("label") in tested:
            text = mark(equation["label"], f"{CHECKED} checked")
            paragraph = nodes.paragraph("", "", text, classes=["checked"])
            equation.parent.insert(equation.parent.index(equation) + 1, paragraph)


def compare_with_sphinx(app, env):
    """Warn about numbers without a label, and about points of a summary that lean on none."""
    logger, book = logging.getLogger(__name__), Path(app.srcdir) / "book"
    equations = env.get_domain("math").equations
    numbered = [(name, "math", docname) for name, (docname, _) in equations.items()]
    for name, proof in getattr(env, "proof_list", {}).items():
        numbered.append((name, f"prf:{proof['realtype']}", proof["docname"]))
    seen = {label.name for label in labels(book)}
    for name, kind, page in numbered:
        if kind in PREFIXES and name not in seen:
            message = f"a numbered {kind} without a label that a test could name ({name})"
            logger.warning(message, location=page)
    for page, line, text in unsupported(book):
        place = (f"{book.name}/{page}", line)
        logger.warning(f"a point of the summary names no label: {text[:60]}", location=place)


def number_apart(app, env):
    """Number the equations of a page without a number by its letter, lest (7) be taken for 7.1."""
    for page, letter in APART.items():
        numbers = env.toc_fignumbers.get(page, {}).get("displaymath", {})
        for name, number in numbers.items():
            numbers[name] = (letter, number[-1])


def setup(app):
    """Register the directive and the role with Sphinx."""
    app.add_node(Mark)
    app.add_directive("equation-checks", EquationChecks)
    app.add_role("claim", Claim())
    app.connect("doctree-resolved", mark_checked)
    app.connect("env-check-consistency", compare_with_sphinx)
    app.connect("env-check-consistency", number_apart)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
