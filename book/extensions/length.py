"""How long a page takes to read: estimated from what is on it, so that no chapter's minutes are typed.

What is seen while everything is folded makes the first number of a page, and folded proofs, code and
solutions are added for the second. An exercise is in neither: its minutes are on the page for teachers.
``python book/extensions/length.py`` prints the estimates and what makes them up; ``chapters`` writes them
on the pages.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path

import yaml
from ledger import MARKDOWN, cell, directive

# Minutes for one of each: the whole estimate hangs on these six numbers.
WEIGHTS = {
    "words": 1 / 200,
    "formulas": 2 / 60,  # within a line of text
    "displays": 20 / 60,
    "code": 3 / 60,  # a line
    "proofs": 4,  # in place of what is in the proof
    "figures": 1,
}
LECTURES = 2 * 90  # minutes of a week of the course
# Tags of a cell whose code folds, and of one whose code is not on the page.
FOLDED = {"hide-input", "hide-cell"}
UNSEEN = {"remove-cell", "remove-input"}


@dataclass(frozen=True)
class Counts:
    """What takes a reader's time."""

    words: int = 0
    formulas: int = 0
    displays: int = 0
    code: int = 0
    proofs: int = 0
    figures: int = 0

    def __add__(self, other):
        """Return the counts of two pieces of a page together."""
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))

    @property
    def minutes(self):
        """The estimate."""
        return sum(weight * getattr(self, name) for name, weight in WEIGHTS.items())


@dataclass(frozen=True)
class Length:
    """A page: what a reader sees while everything is folded, and what unfolds."""

    seen: Counts
    folded: Counts

    @property
    def phrase(self):
        """What a chapter says of itself at its top."""
        rest = round_to_five((self.seen + self.folded).minutes)
        return f"about {round_to_five(self.seen.minutes)} minutes; {rest} with proofs and code"


def round_to_five(minutes):
    """Return an estimate no more precise than it is."""
    return 5 * max(1, round(minutes / 5))


def measure(text):
    """Return the Length of a page in MyST Markdown, without its exercises."""
    seen, folded, solution = Counts(), Counts(), False
    for counts, fold in pieces(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)):
        if isinstance(counts, str):
            solution = counts == "solution-start"
        elif fold or solution:
            folded += counts
        else:
            seen += counts
    return Length(seen, folded)


def pieces(text, folded=False):
    """Yield (Counts, whether they are folded) for what is in some Markdown, and the ends of solutions."""
    for token in MARKDOWN.parse(text):
        if token.type == "inline":
            yield inline(token), folded
        elif token.type in {"math_block", "math_block_label", "amsmath"}:
            yield Counts(displays=1), folded
        elif token.type in {"fence", "colon_fence"}:
            yield from fence(token, folded)


def fence(token, folded):
    """Yield what ``pieces`` does for a fence: a directive, a cell, or code that is only shown."""
    kind, options, body = parsed = directive(token) or ("code-block", [], token.content)
    folded = folded or kind == "solution" or any("dropdown" in option for option in options)
    if kind.startswith("solution-"):
        yield kind, folded
    elif kind == "code-cell":
        settings, code = cell(token, parsed)
        tags, shown = set(settings.get("tags", [])), settings.get("mystnb", {})
        if not tags & UNSEEN:
            yield Counts(code=lines(code)), folded or bool(tags & FOLDED)
        if "remove-cell" not in tags:
            drawn = bool(shown.keys() & {"figure", "image"}) or "explore(" in code
            yield Counts(figures=int(drawn)), folded
            yield from pieces(shown.get("figure", {}).get("caption", ""), folded)
    elif kind == "prf:proof":
        yield Counts(proofs=1), folded
    elif kind == "math":
        yield Counts(displays=1), folded
    elif kind.startswith("code") or kind == "eval-rst":
        yield Counts(code=lines(body)), folded
    elif kind != "exercise":
        yield Counts(figures=int(kind == "figure")), folded
        yield from pieces(body, folded)


def lines(code):
    """Return how many lines of code are not blank."""
    return sum(bool(line.strip()) for line in code.splitlines())


def inline(token):
    """Return the Counts of a line of text. A reference is a word, or the words that it shows."""
    words = formulas = 0
    for child in token.children:
        if child.type == "text":
            words += count(re.sub(r"\{[\w:-]+\}\Z", "", child.content))
        elif child.type == "code_inline":
            words += max(1, count(re.sub(r"\s*<[^<>]*>\Z", "", child.content)))
        formulas += child.type.startswith("math_inline")
    return Counts(words=words, formulas=formulas)


def count(text):
    """Return how many words there are in a text."""
    return len(re.findall(r"\w+(?:['’.,–-]\w+)*", text))


# ---- The chapters of this book ----


def chapters(root):
    """Return the names of the numbered pages, in order."""
    contents = yaml.safe_load((Path(root) / "_toc.yml").read_text("utf-8"))
    numbered = [part for part in contents["parts"] if part.get("numbered")]
    return [Path(page["file"]).name for part in numbered for page in part["chapters"]]


def length(root, page):
    """Return the Length of a page of the book."""
    return measure((Path(root) / "book" / f"{page}.md").read_text("utf-8"))


def hours(root, problems, pages):
    """Return a student's hours in a week, to the half hour: two lectures, a problem set, chapters to read."""
    master = (Path(root) / "assignments" / f"{problems}.md").read_text("utf-8")
    (desk,) = re.findall(r"\*\*Time:\*\* about (\d+) minutes", master)
    read = sum(length(root, page).seen.minutes for page in pages)
    return round((LECTURES + int(desk) + read) / 30) / 2


def exercises(root, pages):
    """Return the hours that the exercises of some pages take, to the half hour, by the page for teachers."""
    listed = (Path(root) / "book" / "teaching.md").read_text("utf-8")
    minutes = dict(re.findall(r"^\| \{ref\}`(ex-[\w-]+)` \| (\d+) \|", listed, re.MULTILINE))
    texts = [(Path(root) / "book" / f"{page}.md").read_text("utf-8") for page in pages]
    labels = re.findall(r"^:label: (ex-\S+)", "\n".join(texts), re.MULTILINE)
    return round(sum(int(minutes[label]) for label in labels) / 30) / 2


def misjudged(root, limit, too_long):
    """Yield (page, message) where a chapter above the limit is not listed, or a name is listed needlessly."""
    for page in chapters(root):
        minutes = length(root, page).seen.minutes
        if minutes > limit and page not in too_long:
            yield page, f"it takes about {minutes:.0f} minutes to read, and may take {limit}"
        elif minutes <= limit and page in too_long:
            yield page, f"it takes about {minutes:.0f} minutes: strike it from chapters_too_long"
    for page in sorted(set(too_long) - set(chapters(root))):
        yield page, f"chapters_too_long names {page}, which is no numbered chapter"


def table(root):
    """Return the lines of a table: both numbers for each chapter, and what is seen and folded."""
    names = [f.name for f in fields(Counts)]
    yield f"{'chapter':20} seen  all " + "".join(f"{name:>10}" for name in names)
    for page in chapters(root):
        parts = length(root, page)
        both = f"{parts.seen.minutes:4.0f} {(parts.seen + parts.folded).minutes:4.0f} "
        counted = [f"{getattr(parts.seen, n)}+{getattr(parts.folded, n)}" for n in names]
        yield f"{page:20} {both}" + "".join(f"{number:>10}" for number in counted)


if __name__ == "__main__":
    print(*table(Path(__file__).parents[2]), sep="\n")
