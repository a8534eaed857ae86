"""What a chapter's page says, block by block and sentence by sentence, and which of it is for a slide."""

import copy
import re
from html import escape

from bs4 import NavigableString

STATEMENT = "div.theorem, div.definition, div.lemma, div.proposition, div.corollary"
LEFT_OUT = (
    f"div.exercise, div.solution, div.proof:not({STATEMENT}), div.cell_input, figure.explore, "
    "p.checked, p.admonition-title"
)
FEW = 60  # characters: a sentence that needs the one before it
LIST, END = ("ol", "ul"), tuple(".?!")
ABBREVIATED = re.compile(r"(\b(e\.g|i\.e|vs|cf|al|eq|Fig|pp?|no)|\b[A-Z])\.$")


def own(part):
    """Return a copy of a part of a page that stands by itself: links and ids are gone."""
    part = copy.copy(part)
    for tag in part.select(".headerlink, .checked, .claim, script, button, .terms"):
        tag.decompose()
    for link in part.select("a"):
        link.unwrap()
    for tag in (part, *part.select("[id]")):
        tag.attrs.pop("id", None)
    for tag in part.select("section"):  # to reveal.js a section is a slide
        tag.name = "div"
    return part


def flow(parts):
    """Yield the blocks of parts of a page: paragraphs, lists, formulas, figures, tables, what cells print."""
    for part in parts:
        if part.css.match(LEFT_OUT):
            continue
        if part.name in ("p", "figure", "table", *LIST) or is_formula(part) or is_statement(part):
            yield part
        elif part.name != "pre":
            yield from flow(part.find_all(recursive=False))
        elif part.find_parent(class_="cell_output"):
            yield part


def is_statement(part):
    """Return whether a part is a definition, a theorem or the like."""
    return part.css.match(STATEMENT)


def is_formula(part):
    """Return whether a part is a formula on a line of its own."""
    return part.name == "div" and "math" in part.get("class", [])


def is_numbered(part):
    """Return whether a part is a formula that has a number."""
    return is_formula(part) and str(part.get("id", "")).startswith("equation-")


def stops(text):
    """Return whether a text, or a formula's source, ends with a full stop or the like."""
    text = re.sub(r"(\\end\{\w+\*?\}|\\[\])]|[\s}’”\")])+$", "", text)
    return text.endswith(END)


def sentences(paragraph):
    """Return the sentences of a paragraph, each a list of its pieces of HTML."""
    made, now = [], []

    def end():
        if "".join(now).strip():
            made.append(list(now))
        now.clear()

    for part in own(paragraph).children:
        if isinstance(part, NavigableString):
            text, start = str(part), 0
            for stop in re.finditer(r"[.?!][’”\")]*(?=\s)", text):
                if not ABBREVIATED.search(text[: stop.start() + 1]):
                    now.append(escape(text[start : stop.end()], quote=False))
                    end()
                    start = stop.end()
            now.append(escape(text[start:], quote=False))
        else:
            now.append(str(part))
            bare = part.get_text().strip()
            # A formula is kept with its stop. What a reference calls by its title ends no sentence.
            whole = part.name in ("strong", "em") or "keep" in part.get("class", [])
            if whole and bare.endswith(END):
                following = part.next_sibling
                if following is None or str(following)[:1].isspace():
                    end()
    end()
    return made


def is_bold(sentence):
    """Return whether a sentence ends in bold, with its stop."""
    ends = re.search(r"([.?!])\s*</strong>\s*$", "".join(sentence))
    return ends[1] if ends else ""


def key(paragraph):
    """Return which sentences of a paragraph are for a slide: those that end in bold.

    A paragraph that opens with a bold sentence, other than a question, is known by it and says what it
    means in the next.
    """
    found = sentences(paragraph)
    chosen = {k for k, sentence in enumerate(found) if is_bold(sentence)}
    opening = (
        found and found[0][0].lstrip().startswith("<strong>") and is_bold(found[0]) in (".", "!")
    )
    return chosen | {1} if opening and len(found) > 1 else chosen


def spelled(found, which):
    """Return some sentences of a paragraph; a bold one that stands alone is made large, and not bold."""
    made = []
    for run in [[k] for k in sorted(which) if k - 1 not in which]:
        while run[-1] + 1 in which:
            run.append(run[-1] + 1)
        text = "".join("".join(found[k]) for k in run).strip()
        if len(run) == 1 and is_bold(found[run[0]]):
            made.append(f'<p class="key">{re.sub("</?strong>", "", text)}</p>')
        else:
            made.append(f"<p>{text}</p>")
    return "".join(made)


class Choice:
    """Which blocks of a page go on slides, which of their sentences, and what must not be parted."""

    def __init__(self, parts):
        self.blocks = list(flow(parts))
        self.sentences = {
            k: sentences(block) for k, block in enumerate(self.blocks) if block.name == "p"
        }
        self.chosen = {}  # block: its sentences, or all of it
        self.tied = set()  # blocks that the next one belongs to
        for k, block in enumerate(self.blocks):
            if is_numbered(block):
                self.formula(k)
            elif block.name == "figure" or is_statement(block):
                self.chosen[k] = None
            elif block.name == "p":
                self.take(k, key(block))
            elif block.name in LIST and any(key(p) for p in block.select("p")):
                self.chosen.setdefault(k, set())

    def take(self, k, which):
        """Choose sentences of a paragraph, and what follows it where the last of them ends with a colon."""
        if not which:
            return
        self.chosen[k] = self.chosen.get(k, set()) | which
        if max(which) == len(self.sentences[k]) - 1 and not stops(self.text(k)):
            self.follow(k)

    def text(self, k):
        """Return a block's text."""
        return own(self.blocks[k]).get_text().strip()

    def follow(self, k):
        """Go on after a block that ends in the middle of a sentence."""
        if k + 1 == len(self.blocks):
            return
        following = self.blocks[k + 1]
        if following.name == "p":
            if is_formula(self.blocks[k]):
                self.tied.add(k)
                self.take(k + 1, {0})
        elif following.name != "figure":
            self.tied.add(k)
            if self.chosen.get(k + 1, ()) is not None:
                self.chosen[k + 1] = None
                if is_formula(following) and not stops(self.text(k + 1)):
                    self.follow(k + 1)

    def formula(self, k):
        """Choose a formula with the sentence that it stands in."""
        self.chosen[k] = None
        if not stops(self.text(k)):
            self.follow(k)
        while k and is_formula(self.blocks[k - 1]):  # one sentence, several formulas
            k -= 1
            self.tied.add(k)
            self.chosen[k] = None
        if k and self.blocks[k - 1].name == "p":
            self.tied.add(k - 1)
            last = len(self.sentences[k - 1]) - 1
            bare = [re.sub(r"<[^>]*>", "", "".join(s)).strip() for s in self.sentences[k - 1]]
            few = last and len(bare[last]) < FEW and not bare[last - 1][:1].islower()
            self.take(k - 1, {last - 1, last} if few else {last})
            if not last and bare[last][:1].islower() and k > 1 and is_formula(self.blocks[k - 2]):
                self.tied.add(k - 2)
                self.formula(k - 2)

    def html(self, k):
        """Return a chosen block, or the chosen sentences of it."""
        which = self.chosen[k]
        if which is None:
            return str(own(self.blocks[k]))
        if k in self.sentences:
            return spelled(self.sentences[k], which)
        return "".join(spelled(sentences(p), key(p)) for p in self.blocks[k].select("p"))

    def pieces(self):
        """Yield what must stand together on a slide: the numbers of the blocks."""
        piece = []
        for k in sorted(self.chosen):
            if piece and not (piece[-1] == k - 1 and k - 1 in self.tied):
                yield piece
                piece = []
            piece.append(k)
        if piece:
            yield piece
