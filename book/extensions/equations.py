"""Which test checks which equation: read from the chapters and the tests, shown by a directive.

A chapter numbers what it claims: a displayed equation has a label ``eq-...``; a theorem, lemma,
proposition or corollary has a label ``thm-...``. A test says what it checks with
``@pytest.mark.checks("eq-...")``. tests/book/test_equations.py demands that the two sides meet; the
directive ``{equation-checks}`` lists the pairs.
"""

import ast
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from docutils import nodes
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

PREFIXES = {"math": "eq-"} | dict.fromkeys(
    ["prf:theorem", "prf:lemma", "prf:proposition", "prf:corollary"], "thm-"
)
OPAQUE = re.compile("math|code|raw|literalinclude|mermaid")  # directives that hold no Markdown
# The parser and plugins of MyST itself, so that what counts as an equation here does so there.
MARKDOWN = MarkdownIt("commonmark").use(amsmath_plugin).use(colon_fence_plugin)
MARKDOWN.use(dollarmath_plugin, allow_labels=True)


@dataclass(frozen=True)
class Label:
    """A numbered statement: its label, "" where it has none; its directive; where it stands."""

    name: str
    kind: str
    chapter: str
    line: int


@dataclass(frozen=True)
class Check:
    """A label that a test names, "" where that is not plain text; the test; what it is about."""

    label: str
    test: str
    summary: str


def labels(book_dir):
    """Return the numbered statements of all pages, in the order of the table of contents."""
    toc = Path(book_dir).parent / "_toc.yml"
    listed = re.findall(r"(?:root|file):\s*(\S+)", toc.read_text()) if toc.exists() else []
    order = {Path(entry).stem: place for place, entry in enumerate(listed)}
    pages = sorted(
        Path(book_dir).glob("*.md"), key=lambda p: (order.get(p.stem, len(order)), p.stem)
    )
    return [label for page in pages for label in _labels(page.read_text(), page.stem)]


def _labels(text, chapter, first_line=1):
    """Yield the numbered statements of some Markdown, and of the directives in it."""
    for token in MARKDOWN.parse(text):
        line = first_line + token.map[0] if token.map else first_line
        directive = re.match(r"\{(.+?)\}", token.info)
        if token.type == "math_block_label":
            yield Label(token.info, "math", chapter, line)
        elif token.type == "amsmath" and token.meta["numbered"] != "*":
            yield Label("", "math", chapter, line)  # MyST numbers it, but takes no label for it
        elif token.type in {"fence", "colon_fence"} and directive:
            kind = directive[1]
            options = takewhile(lambda option: option.startswith(":"), token.content.splitlines())
            name = next((o.split()[1] for o in options if re.match(r":label:\s+\S", o)), "")
            if kind in PREFIXES and (name or kind != "math"):
                yield Label(name, kind, chapter, line)
            if not OPAQUE.match(kind):
                yield from _labels(token.content, chapter, line + 1)


def checks(tests_dir):
    """Return what the tests say they check, a Check for each label of each mark."""
    found = []
    for path in sorted(Path(tests_dir).rglob("test_*.py")):
        for test in ast.parse(path.read_text()).body:
            if not isinstance(test, ast.FunctionDef):
                continue
            for mark in test.decorator_list:
                if ast.unparse(mark).startswith("pytest.mark.checks"):
                    summary = " ".join((ast.get_docstring(test) or "").split("\n\n")[0].split())
                    for label in getattr(mark, "args", None) or [None]:
                        name = str(label.value) if isinstance(label, ast.Constant) else ""
                        found.append(Check(name, f"{path.name}::{test.name}", summary))
    return found


class EquationChecks(SphinxDirective):
    """The table of the book's numbered statements and the tests that check them."""

    def run(self):
        """Return the table; each row can be linked to as ``check-<label>``."""
        vars(self.env)["equation_checks_page"] = self.env.docname
        self.env.note_reread()  # chapters and tests may have changed, or new ones come
        book = Path(self.env.doc2path(self.env.docname)).parent
        checked = checks(book.parent / "tests")
        rows = [self.row("", "Statement", "Chapter", "What is tested, and where")]
        for label in labels(book):
            if label.name and f"{book.name}/{label.chapter}" in self.env.found_docs:
                role = "eq" if label.kind == "math" else "prf:ref"
                tests = [f"{c.summary} (`{c.test}`)" for c in checked if c.label == label.name]
                reference, chapter = f"{{{role}}}`{label.name}`", f"{{doc}}`{label.chapter}`"
                rows.append(self.row(label.name, reference, chapter, *(tests or ["not checked"])))
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (20, 25, 55)), cols=3)
        group += [nodes.thead("", rows[0]), nodes.tbody("", *rows[1:])]
        return [nodes.table("", group, classes=["equation-checks"])]

    def row(self, name, *texts):
        """Return a table row of three cells; texts beyond the second share the third cell."""
        parsed = [
            nodes.paragraph("", "", *self.state.inline_text(t, self.lineno)[0]) for t in texts
        ]
        cells = [nodes.entry("", *cell) for cell in (parsed[:1], parsed[1:2], parsed[2:])]
        return nodes.row("", *cells, ids=[f"check-{name}"] if name else [])


def mark_checked(app, doctree, docname):
    """Put a mark below each numbered equation that a test checks, with a link to its row."""
    page = getattr(app.env, "equation_checks_page", None)
    if page is None or app.builder.format != "html":
        return
    checked = checks(Path(app.env.doc2path(page)).parent.parent / "tests")
    for equation in list(doctree.findall(nodes.math_block)):
        tests = [c.summary for c in checked if c.label and c.label == equation.get("label")]
        if tests:
            mark = nodes.reference("", "\N{CHECK MARK} checked", internal=True)
            mark["refuri"] = (
                f"{app.builder.get_relative_uri(docname, page)}#check-{equation['label']}"
            )
            mark["reftitle"] = "Tested: " + re.sub("[$`]", "", " ".join(tests))
            paragraph = nodes.paragraph("", "", mark, classes=["checked"])
            equation.parent.insert(equation.parent.index(equation) + 1, paragraph)


def compare_with_sphinx(app, env):
    """Warn about statements that Sphinx numbers and ``labels`` does not see."""
    equations = env.get_domain("math").equations
    numbered = [(name, "math", docname) for name, (docname, _) in equations.items()]
    for name, proof in getattr(env, "proof_list", {}).items():
        numbered.append((name, f"prf:{proof['realtype']}", proof["docname"]))
    seen = {label.name for label in labels(Path(app.srcdir) / "book")}
    for name, kind, page in numbered:
        if kind in PREFIXES and name not in seen:
            message = f"a numbered {kind} without a label that a test could name ({name})"
            logging.getLogger(__name__).warning(message, location=page)


def setup(app):
    """Register the directive with Sphinx."""
    app.add_directive("equation-checks", EquationChecks)
    app.connect("doctree-resolved", mark_checked)
    app.connect("env-check-consistency", compare_with_sphinx)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
