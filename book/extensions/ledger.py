"""The ledger of what the book states, and what checks it: read from the pages and the tests.

A page numbers its equations (labels ``eq-...``) and its theorems, lemmas, propositions and corollaries
(``thm-...``). A claim in words names what it rests on with the role ``{claim}``: an equation or theorem
that it restates, or a label ``clm-...`` of its own. In the README, which is no page of the book, the role
stands in a comment.

A test says what it checks with ``@pytest.mark.checks("eq-...")``, a cell of a chapter that asserts with the
tag ``checks-clm-...``. tests/book/test_equations.py demands that the two sides meet, and that no
statement was edited since its test was last compared with it.

The page for teachers says what each exercise is for. That is compared with the exercise and its solution,
under the exercise's label, and again when any of the three was edited.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

PREFIXES = {"math": "eq-", "claim": "clm-"} | dict.fromkeys(
    ["prf:theorem", "prf:lemma", "prf:proposition", "prf:corollary"], "thm-"
)
SUMMARY = "What we now know"  # the section of a chapter in which each point is a claim
OPAQUE = re.compile("math|code|raw|literalinclude|mermaid")  # directives that hold no Markdown
CLAIM = re.compile(r"\{claim\}`([^`]+)`")
PURPOSE = re.compile(
    r"^\| \{ref\}`(ex-[\w-]+)` \| \d+ \| (.*) \|$", re.MULTILINE
)  # a row for teachers
REFERENCE = re.compile(r"\{(?:claim|eq|prf:ref)\}`[^`]*?((?:eq|thm|clm)-[\w-]+)[^`]*`")
# The parser and plugins of MyST itself, so that what counts as an equation here does so there.
MARKDOWN = MarkdownIt("commonmark").enable("table").use(amsmath_plugin).use(colon_fence_plugin)
MARKDOWN.use(dollarmath_plugin, allow_labels=True)


@dataclass(frozen=True)
class Label:
    """A statement: its label, "" where it has none; its directive; where it stands; what it says."""

    name: str
    kind: str
    chapter: str
    line: int
    statement: str = ""


@dataclass(frozen=True)
class Check:
    """A label that a test names, "" where that is not plain text; the test; what it is about."""

    label: str
    test: str
    summary: str


def pages(book_dir):
    """Return all pages, in the order of the table of contents, and the README."""
    root = Path(book_dir).parent
    toc = root / "_toc.yml"
    listed = re.findall(r"(?:root|file):\s*(\S+)", toc.read_text()) if toc.exists() else []
    order = {Path(entry).stem: place for place, entry in enumerate(listed)}
    found = Path(book_dir).glob("*.md")
    found = sorted(found, key=lambda p: (order.get(p.stem, len(order)), p.stem))
    return [*found, *root.glob("README.md")]


def labels(book_dir):
    """Return all statements, a Label for each place where one stands."""
    return [label for page in pages(book_dir) for label in _labels(page.read_text(), page.stem)]


def _labels(text, chapter, first_line=1):
    """Yield the statements of some Markdown, and of the directives in it."""
    for token in MARKDOWN.parse(text):
        line = first_line + token.map[0] if token.map else first_line
        if token.type == "math_block_label":
            yield Label(token.info, "math", chapter, line, token.content)
        elif token.type == "amsmath" and token.meta["numbered"] != "*":
            yield Label("", "math", chapter, line)  # MyST numbers it, but takes no label for it
        elif token.type in {"inline", "html_block"}:
            for match in CLAIM.finditer(token.content):
                for name in re.split(r",\s*", match[1]):
                    if not name.startswith(("eq-", "thm-")):
                        yield Label(name, "claim", chapter, line, token.content)
        elif parsed := directive(token):
            kind, options, body = parsed
            name = next((o.split()[1] for o in options if re.match(r":label:\s+\S", o)), "")
            if kind in PREFIXES and (name or kind != "math"):
                yield Label(name, kind, chapter, line, body)
            if not OPAQUE.match(kind):
                yield from _labels(token.content, chapter, line + 1)


def exercises(book_dir):
    """Return the exercises that the page for teachers lists, a Label for each.

    It states the purpose, the exercise, and the solution.
    """
    listed = Path(book_dir) / "teaching.md"
    purposes = dict(PURPOSE.findall(listed.read_text())) if listed.exists() else {}
    found = {}
    for page in pages(book_dir):
        text, name, opened = page.read_text(), "", 0
        for token in MARKDOWN.parse(text):
            first, end = token.map or (0, 0)
            kind, options, body = directive(token) or ("", [], "")
            if kind == "exercise":
                name = next((o.split()[1] for o in options if o.startswith(":label:")), "")
                found[name] = [page.stem, first + 1, body]
            elif kind in {"solution", "solution-start"}:
                name, opened = token.info.split()[-1], end
                found[name].append(body)
            elif kind == "solution-end":
                found[name] += text.splitlines()[opened:first]
    return [
        Label(name, "exercise", page, line, "\n".join([purposes[name], *parts]))
        for name, (page, line, *parts) in found.items()
        if name in purposes
    ]


def directive(token):
    """Return a fence's kind, its options and what is in it; None where it is no directive."""
    if token.type not in {"fence", "colon_fence"}:
        return None
    if not (match := re.match(r"\{(.+?)\}", token.info)):
        return None
    lines = token.content.splitlines()
    options = list(takewhile(lambda line: line.startswith(":"), lines))
    return match[1], options, "\n".join(lines[len(options) :])


def points(text):
    """Yield (line, text) for each point of a chapter's summary: a list item, a paragraph or a table's row."""
    within, row, line = False, None, 0
    tokens = MARKDOWN.parse(text)
    for before, token in pairwise(tokens):
        line = token.map[0] + 1 if token.map else line
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            if within and row:
                yield line, " ".join(row)
            row = None
        elif token.type == "inline" and before.type == "heading_open":
            within = token.content == SUMMARY if before.tag == "h2" else within
        elif token.type == "inline" and row is not None:
            row += [token.content] if before.type == "td_open" else []
        elif token.type == "inline" and within:
            yield line, token.content


def unsupported(book_dir):
    """Yield (page, line, text) for each point of a summary that leans on no label."""
    for page in pages(book_dir):
        for line, text in points(page.read_text()):
            if not REFERENCE.search(text):
                yield page.stem, line, text


def checks(book_dir, tests_dir):
    """Return what tests and cells say they check, a Check for each label of each mark."""
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
    return found + [check for page in pages(book_dir) for check in _cells(page)]


def _cells(page):
    """Yield a Check for each tag ``checks-...`` of a cell of code; no summary where it asserts nothing."""
    for token in MARKDOWN.parse(page.read_text()):
        parsed = directive(token)
        if parsed and parsed[0] == "code-cell":
            options, code = cell(token, parsed)
            asserts = re.search(r"^\s*assert\b", code, re.MULTILINE)
            for tag in options.get("tags", []):
                if tag.startswith("checks-"):
                    summary = "Asserted in a cell of the chapter." if asserts else ""
                    yield Check(tag.removeprefix("checks-"), page.name, summary)


def cell(token, parsed):
    """Return the options of a cell of code, written between lines of hyphens or as options, and its code."""
    _, options, body = parsed
    if header := re.match(r"---\n(.*?)\n---\n", token.content, re.DOTALL):
        return yaml.safe_load(header[1]) or {}, token.content[header.end() :]
    return yaml.safe_load("\n".join(option[1:] for option in options)) or {}, body


# ---- What a statement said when it was last compared with its test, or a purpose with its exercise ----


def normalized(label):
    """Return what a statement says, without what changes only its looks."""
    text = REFERENCE.sub(r"\1", label.statement)
    if label.kind == "math":
        text = re.sub(r"(?<!\\)%.*", "", text)
        text = re.sub(r"\\(begin|end)\{(aligned|gathered|split|align)\*?\}|(?<!\\)&", "", text)
        text = re.sub(r"\\(left|right|bigl?|bigr?|Bigl?|Bigr?|biggl?|biggr?)(?![a-zA-Z])", "", text)
        text = re.sub(r"\\(qquad|quad)(?![a-zA-Z])|\\[,;:! ]|(?<!\\)~|\\\\(\[.*?\])?", "", text)
        return re.sub(r"\s+", "", text).rstrip(".,;")
    return " ".join(text.split())


def compared(book_dir):
    """Return all that is compared with something: statements with tests, purposes with exercises."""
    return [*labels(book_dir), *exercises(book_dir)]


def checksums(stated):
    """Return {label: checksum of all that is said under it}."""
    said = {}
    for label in stated:
        said.setdefault(label.name, []).append(normalized(label))
    return {
        name: hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
        for name, texts in said.items()
    }


def reviewed(path):
    """Return the checksums of a file that ``review`` wrote."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def review(path, book_dir, names):
    """Write down that statements, as they stand now, were compared with their tests."""
    now, before = checksums(compared(book_dir)), reviewed(path)
    if unknown := sorted(set(names) - set(now)):
        raise SystemExit(f"no such label: {', '.join(unknown)}")
    after = {name: now[name] if name in names else before.get(name, "-") for name in sorted(now)}
    head = "# What each statement said when its test was last compared with it: make reviewed\n"
    Path(path).write_text(head + "".join(f"{name} {sum_}\n" for name, sum_ in after.items()))
